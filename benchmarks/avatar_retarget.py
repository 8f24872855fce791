"""A recorded motion on every character by inverse kinematics, frame by frame as it would go live.

    python benchmarks/avatar_retarget.py [--quick] [--clips FOLDER]

Error is a part's distance from where it is led, in the character's own size; 95 % of frames are below. The centre of
mass is above the feet when it is inside the hull of their outlines; it counts where both feet of the person stand, and
has a bar in clips where they do nearly always. Processor time is of one frame: targets and the
quadratic program.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from _results import row, write

from robostack_sim.avatar.character import Character
from robostack_sim.avatar.motion.reading import named, read_all
from robostack_sim.avatar.reference import Reference
from robostack_sim.avatar.retargeted import retargeted

RATE_HZ = 72.0
CHARACTERS = ("human", "mouse", "dinosaur")
LED = ("head", "left_hand", "right_hand")
PLANTED = 95.0
"""% of its frames that a planted clip is on both feet"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two seconds of each clip")
    parser.add_argument("--clips", type=Path, help="folder of motions; by default the one that comes along")
    parser.add_argument("--out", type=Path, help="results file instead of benchmarks/results/avatar_retarget.json")
    args = parser.parse_args()
    clips = list(read_all(args.clips)) if args.clips else [named("punch")]
    references = [Reference(c.cut(0.0, 2.0) if args.quick else c, RATE_HZ) for c in clips]
    frames = sum(map(len, references))
    rows: list[dict[str, Any]] = []
    for name in CHARACTERS:
        character = Character.load(name)
        start = time.process_time()
        results = [retargeted(character, reference) for reference in references]
        each_s = (time.process_time() - start) / frames
        errors = [100.0 * np.stack([r.error_m[p] for p in LED], -1) for r in results]
        each = [float(np.percentile(e, 95.0)) for e in errors]
        worst = int(np.argmax(each))
        figures = [r.figures(character) for r in results]
        inside = [f["centre of mass inside, %"] for f in figures if f["feet stand, %"] >= PLANTED]
        skate = [f["feet skate, cm/s"] for f in figures if np.isfinite(f["feet skate, cm/s"])]
        past = max(f["joints past their limits, %"] for f in figures)
        if not rows:
            rows.append(row(f"frames of {len(clips)} clips at 72 Hz, {len(inside)} of them planted", frames, ""))
        rows += [
            row(f"{name}: head and hands, error, p95", float(np.percentile(np.concatenate(errors), 95.0)), "cm", 2.0,
                reference=f"worst clip, {clips[worst].name}", reference_value=float(f"{each[worst]:.3g}")),
            row(f"{name}: joint values past their limits", past, "%", 0),
            row(f"{name}: centre of mass above the feet, worst planted clip", min(inside, default=None), "%", 100,
                better="higher", reference=None if inside else "no clip is planted"),
            row(f"{name}: feet skate while they stand, worst clip", max(skate), "cm/s"),
            row(f"{name}: processor time of a frame", 1e3 * each_s, "ms"),
        ]  # fmt: skip
    write("avatar_retarget", rows, args.out)


if __name__ == "__main__":
    main()
