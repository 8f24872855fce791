"""The live pipeline on real sockets: from a headset's datagram to the bones that answer it, by inverse kinematics alone
and, of a character with a policy of its own, in physics.

    python benchmarks/avatar_live.py [--quick] [--fifo PRIORITY]

A process of its own plays a headset and two controllers at 72 Hz by VMC. Here each frame is decoded, leads the
character and goes out as VMC bones; end to end is from the moment before the headset's datagram is sent to the moment
after the bones' is, by one clock, of the same frame. A frame is dropped when the next one was there before it was used,
or when it never arrived. No page shows it meanwhile. Both processes run as `robostack avatar live --fifo 50` does.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from _headset import CLIP
from _results import row, write

from robostack_real.headset.vmc import VmcHeadset, VmcSender
from robostack_real.nodes.realtime import schedule
from robostack_real.twins.avatar import LiveAvatar
from robostack_real.twins.avatar_body import LiveBody
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.motion.reading import named
from robostack_sim.avatar.reference import worn

RATE_HZ = 72.0
SECONDS = {"human": 300.0, "mouse": 60.0, "dinosaur": 60.0}
IN_PHYSICS_S = 60.0
QUICK_S = 4.0
PORT, RENDERER_PORT = 39640, 39639
SILENT_PERIODS = 72
STAGES = {"read": "calibration", "retarget": "inverse kinematics", "send": "bones, encoding and sending"}


class Watched(VmcHeadset):
    """Counts frames, and times what it takes to decode a datagram."""

    def __init__(self) -> None:
        super().__init__(PORT, left="left", right="right")
        self.frames, self.decode_s = 0, list[float]()

    def hear(self, data: bytes) -> None:
        start = time.perf_counter()
        super().hear(data)
        self.decode_s.append(time.perf_counter() - start)

    def wait(self, seconds: float) -> int:
        found = super().wait(seconds)
        self.frames += found
        return found


def drive(name: str, seconds: float, policy: str) -> tuple[LiveAvatar, Watched, np.ndarray, int]:
    """One run; the latencies (s) of the frames that were used, and how many were dropped."""
    _, calibration = worn(named(CLIP), RATE_HZ)
    frames = round(seconds * RATE_HZ)
    bones = VmcSender(port=RENDERER_PORT)
    answered: dict[int, float] = {}
    with Watched() as headset:
        character = Character.load(name)
        avatar = LiveAvatar(character, headset, bones, calibration, LiveBody.by(character, policy))
        gc.collect()
        gc.freeze()
        command = [sys.executable, str(Path(__file__).with_name("_headset.py")), *map(str, (PORT, frames, RATE_HZ))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wearer:
            assert wearer.stdout is not None
            silent = 0
            while headset.frames < frames and (
                silent < SILENT_PERIODS or (not headset.frames and wearer.poll() is None)
            ):
                before = headset.frames
                avatar.follow(1.5 / RATE_HZ)
                silent = 0 if headset.frames > before else silent + 1
                if headset.frames > before:
                    answered[headset.frames - 1] = time.monotonic()
                else:
                    avatar.timing.rows.pop()
            sent_s = np.array(json.loads(wearer.stdout.read()))
    bones.close()
    latency_s = np.array([at - sent_s[frame] for frame, at in answered.items()])
    return avatar, headset, latency_s, frames - len(answered)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_S:g} seconds a character")
    parser.add_argument("--fifo", type=int, default=50, help="SCHED_FIFO priority; 0 for none")
    parser.add_argument("--out", type=Path, help="results file instead of benchmarks/results/avatar_live.json")
    args = parser.parse_args()
    if lacking := schedule(args.fifo):
        raise SystemExit(f"avatar_live: {lacking}; or give --fifo 0")
    what = f"under SCHED_FIFO {args.fifo}" if args.fifo else "without priority"
    rows = [row(f"others that want the processors (load before), {what}", os.getloadavg()[0], "")]
    runs = [(name, name, seconds, "none") for name, seconds in SECONDS.items()]
    runs += [(f"{name} in physics", name, IN_PHYSICS_S, "own") for name in SECONDS if Character.load(name).has_policy]
    for name, character, whole_s, policy in runs:
        seconds = QUICK_S if args.quick else whole_s
        avatar, headset, latency_s, dropped = drive(character, seconds, policy)
        p50, p99 = (1e3 * float(np.percentile(latency_s, p)) for p in (50.0, 99.0))
        rows += [
            row(f"{name}: end to end, p50", p50, "ms", 5.0),
            row(f"{name}: end to end, p99", p99, "ms", 15.0),
            row(f"{name}: frames dropped in {seconds:g} s", dropped, "", 0),
        ]
        if avatar.body:
            rows.append(row(f"{name}: falls in {seconds:g} s", avatar.body.falls, ""))
        decode = [1e3 * float(np.percentile(headset.decode_s, p)) for p in (50.0, 99.0)]
        stages = [avatar.timing.percentile_s(p) for p in (50.0, 99.0)]
        shown = {**STAGES, **({"policy": "policy and physics"} if avatar.body else {})}
        parts = [("decoding", decode), *((of, [1e3 * s[stage] for s in stages]) for stage, of in shown.items())]
        for of, (half, most) in parts:
            rows.append(row(f"{name}: {of}, p50", half, "ms", reference="p99", reference_value=float(f"{most:.3g}")))
    write("avatar_live", rows, args.out)


if __name__ == "__main__":
    main()
