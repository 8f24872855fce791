"""Inserting a peg by touch: how fast the physics is, and how an expert, its students and two scripts do.

    python benchmarks/tactile_insertion.py [--quick] [--pegs round octagonal] [--runs FOLDER]

As benchmarks/tactile_placement.py: an expert that sees peg and hole is trained by PPO; students of it, by DAgger, feel
the force field or nothing. Each student is exported, and the file inserts 1024 pegs from starts that no training drew.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _placement import asked, budget_rows, expert_rows, speed, student, trained
from _results import row, write

from robostack.distill.teacher import TeacherRun
from robostack.evaluate.episodes import UNSEEN
from robostack.learn.ppo import PPO
from robostack.nets.actor import ActorConfig
from robostack_sim.tactile.gripper import PegShape
from robostack_sim.tactile.insertion.config import InsertionConfig
from robostack_sim.tactile.insertion.task import TactileInsertion

PEGS: tuple[PegShape, ...] = ("round", "octagonal")
EXPERT = PPO(iterations=300, steps=20, gamma=0.97, std=0.5, actor=ActorConfig(hidden=(128, 64), privileged=True))
ITERATIONS = {"force_field": 200, "blind": 40}
"""of each student; who feels nothing has little to learn"""
BARS = {"expert": 97.0, "force_field": 93.0}
TACSL = {"force_field": 92.5, "blind": 5.3}
"""per cent in simulation by DAgger, by its keypoints (Akinola et al. 2024)"""
HIGHER: dict[str, Any] = {"better": "higher"}


def scripted(config: InsertionConfig, episodes: int, knows: bool) -> float:
    """Success in per cent of a script that goes over the hole, and down until something pushes with 3 N. It knows how
    the peg leans and where the hole is, or keeps the wrist upright over the place that is told."""
    task = TactileInsertion(replace(config, num_envs=episodes))
    obs, _ = task.reset(UNSEEN)
    action = torch.zeros(episodes, 6)
    for _ in range(task.max_episode_length):
        ahead = -task.foot[:, :2] if knows else (obs["place"] - obs["arm_target_position"])[:, :2]
        lean = task.tilt_in_grip if knows else torch.zeros(episodes)
        action[:, :2] = 0.2 * ahead
        action[:, 4] = 0.3 * (-lean - obs["arm_target_rotation"][:, 1])
        ready = (ahead.norm(dim=1) < 0.0015) & (action[:, 4].abs() < 0.01)
        down = torch.where(task.pushed_n < 1.5, -0.003, 0.0005 * (task.pushed_n - 3.0).clamp(max=6.0))
        action[:, 2] = torch.where(ready | (task.pushed_n > 1.5), down, 0.0)
        obs, *_, extras = task.step(action)
    return 100.0 * float(extras["success"].float().mean())


def learned(config: InsertionConfig, folder: Path, episodes: int, share: float) -> list[dict[str, Any]]:
    """An expert and its students, `share` of their trainings long."""
    peg, shorter = config.peg, lambda s: replace(s, iterations=max(2, round(share * s.iterations)))
    expert, _ = trained(TactileInsertion(config), shorter(EXPERT), folder / f"{peg}_expert")
    rows = expert_rows(expert, episodes, f"{peg}, expert", BARS["expert"])
    for name, reference in TACSL.items():
        taught = shorter(student(TeacherRun.of(expert), name, ITERATIONS[name]))
        run, _ = trained(TactileInsertion(config), taught, folder / f"{peg}_{name}")
        found = asked(run, episodes)
        success = 100.0 * found.success.mean()
        rows.append(row(f"{peg}, {name}: success", success, "%", BARS.get(name), **HIGHER))
        near = 100.0 * float(np.mean(found.ends["keypoints_m"] < config.keypoints_m))
        rows.append(row(f"{peg}, {name}: success by TacSL's keypoints", near, "%", reference="TacSL, DAgger",
                        reference_value=reference, **HIGHER))  # fmt: skip
        if name == "force_field":
            other = next(p for p in PEGS if p != peg)
            found = asked(run, episodes, TactileInsertion(replace(config, peg=other)))
            rows.append(row(f"{other}, by a student of the {peg} one: success", 100.0 * found.success.mean(), "%",
                            **HIGHER))  # fmt: skip
        rows += budget_rows(run, f"{peg}, {name}")
        print(f"{peg}, {name}: {success:.1f} %", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="trainings far too short to insert anything")
    parser.add_argument("--threads", type=int, default=0, help="of the physics; 0: one a core")
    parser.add_argument("--pegs", nargs="+", default=PEGS, choices=PEGS, help="which are trained for")
    parser.add_argument("--runs", type=Path, help="where trainings are kept; those that are there are taken")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, episodes, share = InsertionConfig(threads=options.threads), 1024, 1.0
    if options.quick:
        config, episodes, share = replace(config, num_envs=64), 64, 0.005
    rows = []
    for peg in PEGS:
        shaped = replace(config, peg=peg)
        task = TactileInsertion(replace(shaped, num_envs=128, threads=1))
        rows.append(row(f"{peg}: steps of an environment, one core", speed(task, 0.002, 2.0), "steps/s", **HIGHER))
        for knows, words in ((True, "knows lean and hole"), (False, "feels nothing")):
            rows.append(row(f"{peg}: a script that {words}: success", scripted(shaped, episodes, knows), "%"))
    with nullcontext(options.runs) if options.runs else tempfile.TemporaryDirectory() as folder:
        for peg in options.pegs:
            rows += learned(replace(config, peg=peg), Path(folder), episodes, share)
    write("tactile_insertion", rows, options.out)


if __name__ == "__main__":
    main()
