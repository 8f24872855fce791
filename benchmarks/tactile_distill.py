"""Five ways from an expert to a student that feels: steps of the simulator to 90 %, and success where AACD is half-way.

    python benchmarks/tactile_distill.py [--quick] [--seeds N] [--runs FOLDER]

Placement, the student of the force field. One expert for all; a student is judged every so many steps on 128 unseen
starts. AAC is PPO with the expert's critic's channels and none of what it learned; the others are `robostack distill
--method`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _placement import EXPERT, TASK, student, trained
from _results import row, write
from numpy.typing import NDArray

from robostack.distill.aacd import AACD, AacdLearner
from robostack.distill.dagger import Cloning, ImitationLearner
from robostack.distill.teacher import Teacher, TeacherRun
from robostack.learn.judge import judge
from robostack.learn.learner import Learner
from robostack.learn.ppo import PPO
from robostack_sim.tactile.placement.config import PlacementConfig
from robostack_sim.tactile.placement.task import TactilePlacement

NOBODY = TeacherRun("in memory", "")
ITERATIONS = 60
JUDGED_EVERY, JUDGED_ON, SEED = 5, 128, 3_000_017
"""iterations, episodes, and where these start"""
GOOD, DONE = 90.0, 98.0
"""%: what is asked for, and where a training is not carried on"""
HALF_WAY = 75.0
"""%, of AACD, where all are compared"""

Make = Callable[[TactilePlacement], Learner]
Curve = NDArray[np.float64]
"""(2, judgements): steps of the simulator, and success in per cent then"""


def methods(teacher: Teacher, iterations: int) -> dict[str, Make]:
    """Learners by name; all take as many steps an iteration."""
    dagger = student(NOBODY, "force_field", iterations)
    cloning = Cloning(teacher=NOBODY, iterations=iterations, horizon=dagger.horizon, epochs=dagger.epochs,
                      learning_rate=dagger.learning_rate, actor=dagger.actor)  # fmt: skip
    asked: dict[str, Any] = {"iterations": iterations, "steps": EXPERT.steps, "std": EXPERT.std, "actor": dagger.actor}
    aacd = AACD(teacher=NOBODY, **asked)
    return {
        "BC": lambda task: ImitationLearner(task, cloning, teacher),
        "DAgger": lambda task: ImitationLearner(task, dagger, teacher),
        "AAC": PPO(gamma=EXPERT.gamma, **asked).learner,
        "AACD": lambda task: AacdLearner(task, aacd, teacher),
        "AACD + DAgger": lambda task: AacdLearner(task, replace(aacd, imitation=10.0), teacher),
    }


def curve(make: Make, seed: int, iterations: int, config: PlacementConfig) -> Curve:
    """Of one training."""
    torch.manual_seed(seed)
    learner = make(TactilePlacement(config, seed))
    asked = TactilePlacement(replace(config, num_envs=JUDGED_ON))
    found = [(0.0, 0.0)]
    while learner.iteration < iterations and found[-1][1] < DONE:
        learner.iterate()
        if learner.iteration % JUDGED_EVERY == 0 or learner.iteration == iterations:
            steps = learner.iteration * learner.steps_per_iteration * config.num_envs
            found.append((steps, 100.0 * judge(learner.actor, asked, SEED).success_rate))
    return np.array(found).T


def first_at(of: Curve, level: float) -> float | None:
    """Steps at which the curve first is at `level`, between two judgements on the line between them."""
    steps, success = of
    over = np.flatnonzero(success >= level)
    if not len(over):
        return None
    k = int(over[0])
    part = (level - success[k - 1]) / (success[k] - success[k - 1])
    return float(steps[k - 1] + part * (steps[k] - steps[k - 1]))


def mean_of(curves: Sequence[Curve]) -> Curve:
    """One that was not carried on stays where it was."""
    steps = max((c[0] for c in curves), key=len)
    return np.array([steps, np.mean([np.interp(steps, *c) for c in curves], 0)])


def table(curves: dict[str, list[Curve]]) -> list[dict[str, Any]]:
    """Means over the seeds. Where a seed never gets there, there is no mean, and the row says how many did."""
    budget = first_at(mean_of(curves["AACD"]), HALF_WAY)
    rows = [row(f"budget: where AACD stands at {HALF_WAY:g} %", budget, "steps")]
    to_good: dict[str, float] = {}
    for name, own in curves.items():
        reached = [s for c in own if (s := first_at(c, GOOD)) is not None]
        if len(reached) == len(own):
            to_good[name] = float(np.mean(reached))
        said = f"seeds: {_list(reached)} steps" if reached else f"no seed of {len(own)} got there"
        if 0 < len(reached) < len(own):
            said = f"{len(reached)} of {len(own)} seeds got there"
        rows.append(row(f"{name}: steps to {GOOD:g} %", to_good.get(name), "steps", reference=said))
        if budget:
            at = [float(np.interp(budget, *c)) for c in own]
            rows.append(row(f"{name}: success at the budget", float(np.mean(at)), "%", better="higher",
                            reference=f"seeds: {_list(at)} %"))  # fmt: skip
        rows.append(row(f"{name}: success at the end", float(mean_of(own)[1, -1]), "%", better="higher"))
    theirs = to_good.get("AACD")
    best = min((n for n in to_good if n != "AACD"), key=lambda n: to_good[n], default="none")
    share = to_good[best] / theirs if theirs and best in to_good else None
    rows.append(row(f"steps to {GOOD:g} %, the best, {best}, over AACD's", share, "x", 0.5))
    return rows


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{v:,.0f}".replace(",", " ") for v in sorted(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="trainings far too short to learn anything")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of the physics; 0: one a core")
    parser.add_argument("--runs", type=Path, help="where expert and curves are kept; those that are there are taken")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, iterations, expert, seeds = replace(TASK, threads=options.threads), ITERATIONS, EXPERT, options.seeds
    if options.quick:
        config, iterations, expert, seeds = replace(config, num_envs=32), 2, replace(EXPERT, iterations=2), 1
    curves: dict[str, list[Curve]] = {}
    with nullcontext(options.runs) if options.runs else tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, _ = trained(TactilePlacement(config), expert, folder / "expert")
        teacher = TeacherRun.of(run).load(TactilePlacement(replace(config, num_envs=1)))
        for seed in range(seeds):
            for method, make in methods(teacher, iterations).items():
                kept = folder / f"{method}, seed {seed}.json"
                if not kept.exists():
                    kept.write_text(json.dumps(curve(make, seed, iterations, config).tolist()))
                found = np.array(json.loads(kept.read_text()))
                curves.setdefault(method, []).append(found)
                print(
                    f"seed {seed}, {method}: {np.array2string(found[1], precision=0, max_line_width=200)}", flush=True
                )
    longest = max(float(c[0, -1]) for own in curves.values() for c in own)
    rows = [*table(curves), row("seeds", seeds, ""), row("steps of a student at the most", longest, "steps")]
    write("tactile_distill", rows, options.out)


if __name__ == "__main__":
    main()
