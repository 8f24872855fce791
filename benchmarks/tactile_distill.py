"""Five ways from an expert to a student that feels: steps of the simulator to 90 %, and success where AACD is half-way.

    python benchmarks/tactile_distill.py [--quick] [--seeds N]

Placement, the force field student. One expert for all; a student is judged every so many steps on 128 unseen starts.
AAC is PPO with the expert's critic's channels and none of what it learned; the others are `robostack distill --method`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from _placement import EXPERT, TASK, student, trained
from _results import row, write

from robostack.distill.aacd import AACD, AacdLearner
from robostack.distill.dagger import Cloning, ImitationLearner
from robostack.distill.teacher import Teacher, TeacherRun
from robostack.learn.judge import judge
from robostack.learn.learner import Learner
from robostack.learn.ppo import PPO
from robostack_sim.tactile.placement.task import TactilePlacement

NOBODY = TeacherRun("in memory", "")
JUDGED_EVERY, JUDGED_ON, SEED = 5, 128, 3_000_017
"""iterations, episodes, and where these start"""
GOOD = 90.0
HALF_WAY = 75.0
"""%, where AACD is compared at"""

Make = Callable[[TactilePlacement], Learner]


def methods(teacher: Teacher, iterations: int) -> dict[str, Make]:
    """Learners by name; all take as many steps an iteration."""
    dagger = student(NOBODY, "force_field", iterations)
    cloning = Cloning(teacher=NOBODY, iterations=iterations, horizon=dagger.horizon, epochs=dagger.epochs,
                      learning_rate=dagger.learning_rate, actor=dagger.actor)  # fmt: skip
    asked: dict[str, Any] = {"iterations": iterations, "steps": EXPERT.steps, "std": EXPERT.std, "actor": dagger.actor}
    aac = PPO(gamma=EXPERT.gamma, **asked)
    aacd = AACD(teacher=NOBODY, **asked)
    return {
        "BC": lambda task: ImitationLearner(task, cloning, teacher),
        "DAgger": lambda task: ImitationLearner(task, dagger, teacher),
        "AAC": aac.learner,
        "AACD": lambda task: AacdLearner(task, aacd, teacher),
        "AACD + DAgger": lambda task: AacdLearner(task, replace(aacd, imitation=10.0), teacher),
    }


def curve(make: Make, seed: int, iterations: int, config: Any) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the simulator, and success in per cent then."""
    torch.manual_seed(seed)
    learner = make(TactilePlacement(config, seed))
    asked = TactilePlacement(replace(config, num_envs=JUDGED_ON))
    steps, success = [0.0], [0.0]
    while learner.iteration < iterations:
        learner.iterate()
        if learner.iteration % JUDGED_EVERY == 0 or learner.iteration == iterations:
            steps.append(float(learner.iteration * learner.steps_per_iteration * config.num_envs))
            success.append(100.0 * judge(learner.actor, asked, SEED).success_rate)
    return np.array(steps), np.array(success)


def first_at(steps: np.ndarray, success: np.ndarray, level: float) -> float | None:
    """Steps at which the curve first is at `level`, between two judgements on the line between them."""
    over = np.flatnonzero(success >= level)
    if not len(over):
        return None
    k = int(over[0])
    part = (level - success[k - 1]) / (success[k] - success[k - 1])
    return float(steps[k - 1] + part * (steps[k] - steps[k - 1]))


def table(curves: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> list[dict[str, Any]]:
    """Means over the seeds. Where a seed never gets there, there is no mean, and the row says how many did."""
    half = [first_at(*c, HALF_WAY) for c in curves["AACD"]]
    there = [h for h in half if h is not None]
    budget = mean(there) if there else None
    rows = [row(f"budget: AACD's steps to {HALF_WAY:g} %", budget, "steps")]
    to_good = {}
    for name, own in curves.items():
        reached = [s for s in (first_at(*c, GOOD) for c in own) if s is not None]
        to_good[name] = mean(reached) if len(reached) == len(own) else None
        said = None if to_good[name] else f"{len(reached)} of {len(own)} seeds got there"
        rows.append(row(f"{name}: steps to {GOOD:g} %", to_good[name], "steps", reference=said))
        at = mean(float(np.interp(budget, *c)) for c in own) if budget else None
        rows.append(row(f"{name}: success at the budget", at, "%", better="higher"))
        rows.append(row(f"{name}: success at the end", mean(float(c[1][-1]) for c in own), "%", better="higher"))
    best = min((s for n, s in to_good.items() if s and n != "AACD"), default=None)
    theirs = to_good["AACD"]
    share = best / theirs if best and theirs else None
    rows.append(row(f"steps to {GOOD:g} %, our best over AACD's", share, "x", 0.5))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="trainings far too short to learn anything")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of the physics; 0: one a core")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, iterations, expert, seeds = replace(TASK, threads=options.threads), 60, EXPERT, options.seeds
    if options.quick:
        config, iterations, expert, seeds = replace(config, num_envs=32), 2, replace(EXPERT, iterations=2), 1
    with tempfile.TemporaryDirectory() as folder:
        run, _ = trained(expert, Path(folder) / "expert", config=config)
        teacher = TeacherRun.of(run).load(TactilePlacement(replace(config, num_envs=1)))
    curves: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for seed in range(seeds):
        for name, make in methods(teacher, iterations).items():
            found = curve(make, seed, iterations, config)
            curves.setdefault(name, []).append(found)
            print(f"seed {seed}, {name}: {np.array2string(found[1], precision=0, max_line_width=200)}", flush=True)
    rows = [*table(curves), row("seeds", seeds, ""), row("steps of each student", float(found[0][-1]), "steps")]
    write("tactile_distill", rows, options.out)


if __name__ == "__main__":
    main()
