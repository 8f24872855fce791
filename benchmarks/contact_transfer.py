"""Policies that keep contact, in another simulator than the one that they were trained in.

    python benchmarks/contact_transfer.py [--quick] [--clips FOLDER [--trained NAME ...]] [--runs FOLDER]

The same MuJoCo model is stepped otherwise: half and twice the time step, Euler's integrator, another solver of contact
forces, another cone of friction. Flown are exported files behind their envelope: each avatar's that comes along, on
recordings that it was not trained on (without FOLDER: on the one that comes along), half of them pushed; and a student
that places pegs by the force field, trained here, from unseen starts.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from _placement import EXPERT, TASK, asked, student, trained
from _results import row, write
from avatar_policy import CHARACTERS

from robostack.distill.teacher import TeacherRun
from robostack.evaluate.episodes import fly_episodes
from robostack.export.onnx import load_policy
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.judged import ALONG, judged
from robostack_sim.avatar.task import Avatar
from robostack_sim.physics import Physics
from robostack_sim.tactile.gripper import SUBSTEPS
from robostack_sim.tactile.placement.task import TactilePlacement


def simulators(substeps: int, cone: Any) -> dict[str, Physics]:
    """Of a model that takes so many substeps a period and has the other cone."""
    return {
        "as trained": Physics(),
        "half the time step": Physics(substeps=2 * substeps),
        "twice the time step": Physics(substeps=substeps // 2),
        "Euler's integrator": Physics(integrator="Euler"),
        "conjugate gradients": Physics(solver="CG"),
        f"{cone} cone": Physics(cone=cone),
    }


def rows_of(title: str, found: dict[str, float]) -> list[dict[str, Any]]:
    """Success in per cent in each simulator, beside the first."""
    own = next(iter(found.values()))
    return [
        row(f"{title}: {name}", value, "%", better="higher", reference=None if k == 0 else "as trained",
            reference_value=None if k == 0 else float(f"{own:.4g}"))
        for k, (name, value) in enumerate(found.items())
    ]  # fmt: skip


def stands(name: str, clips: Path | None, without: list[str], episodes: int) -> dict[str, float]:
    """Of a character with the policy in its folder."""
    policy = load_policy(Character.load(name).folder / "policy.onnx")
    base = judged(AvatarConfig(character=name), [str(clips)] if clips else ALONG, without if clips else [])
    found = {}
    for title, physics in simulators(base.body.substeps, "elliptic").items():
        task = Avatar(replace(base.config, physics=physics), frames=base.frames, judged=True)
        found[title] = 100.0 * float(fly_episodes(policy, task, episodes).success.mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few episodes, and pegs placed by a student that cannot")
    parser.add_argument("--clips", type=Path, help="folder of recordings")
    parser.add_argument("--trained", nargs="*", default=[], help="those of them that the avatars were trained on")
    parser.add_argument("--runs", type=Path, help="where trainings are kept; those that are there are taken")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name in CHARACTERS:
        if Character.load(name).has_policy:
            found = stands(name, options.clips, options.trained, 16 if options.quick else 128)
            rows += rows_of(f"{name}, stands to the end", found)
    share, config = (0.04, replace(TASK, num_envs=64)) if options.quick else (1.0, TASK)
    shorter = lambda s: replace(s, iterations=max(2, round(share * s.iterations)))  # noqa: E731
    with nullcontext(options.runs) if options.runs else tempfile.TemporaryDirectory() as folder:
        expert, _ = trained(TactilePlacement(config), shorter(EXPERT), Path(folder) / "expert")
        pupil = shorter(student(TeacherRun.of(expert), "force_field"))
        run, _ = trained(TactilePlacement(config), pupil, Path(folder) / "force_field")
        placed = {
            name: 100.0 * float(asked(run, 64 if options.quick else 1024, task).success.mean())
            for name, physics in simulators(SUBSTEPS, "pyramidal").items()
            for task in [TactilePlacement(replace(config, physics=physics))]
        }
    write("contact_transfer", [*rows, *rows_of("force field, pegs placed", placed)], options.out)


if __name__ == "__main__":
    main()
