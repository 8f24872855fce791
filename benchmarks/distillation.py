"""What a student makes of an expert that saw more: every method on one task, after as many steps of the simulator.

    python benchmarks/distillation.py [--quick]

The task is `_ridge.py`: a cart on a ridge in a hidden wind. The expert, trained by PPO, sees position, speed and wind;
students are GRUs that see the position. Success is the share of 1000 episodes that end at the target.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from _results import row, write
from _ridge import Ridge, RidgeConfig

from robostack.distill.aacd import AACD, AacdLearner
from robostack.distill.dagger import Cloning, DAgger, ImitationLearner
from robostack.distill.teacher import Teacher, TeacherRun
from robostack.learn.judge import judge
from robostack.learn.learner import Learner
from robostack.learn.ppo import PPO
from robostack.nets.actor import ActorConfig

ENVS = 128
EXPERT = ActorConfig(hidden=(32, 32), privileged=True)
STUDENT = ActorConfig(hidden=(32,), recurrent=32)
KL = 0.03
"""that an update of PPO may make: short of this few, imitation is held up too"""
BARS = {"DAgger": 95.0, "AACD + DAgger": 95.0}
"""success, %"""


def trained(learner: Learner, iterations: int) -> tuple[float, float]:
    """Success in per cent, and seconds of training."""
    start = time.perf_counter()
    while learner.iteration < iterations:
        learner.iterate()
    seconds = time.perf_counter() - start
    verdict = judge(learner.actor, Ridge(RidgeConfig(num_envs=1000)), 1)
    return 100 * verdict.success_rate, seconds


def methods(teacher: Teacher, iterations: int) -> dict[str, Any]:
    """Learners by name, from a task; all take the same steps."""
    asked: dict[str, Any] = {"teacher": TeacherRun("in memory", ""), "iterations": iterations, "actor": STUDENT}
    imitators = {"cloning": Cloning(horizon=24, **asked), "DAgger": DAgger(horizon=24, **asked)}
    critics = {
        "AACD": AACD(desired_kl=KL, **asked),
        "AACD, critic frozen": AACD(desired_kl=KL, freeze_critic=True, **asked),
        "AACD + DAgger": AACD(desired_kl=KL, imitation=10.0, **asked),
    }
    return {
        **{n: lambda task, c=c: ImitationLearner(task, c, teacher) for n, c in imitators.items()},
        **{n: lambda task, c=c: AacdLearner(task, c, teacher) for n, c in critics.items()},
        "PPO from scratch": PPO(desired_kl=KL, iterations=iterations, actor=STUDENT).learner,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a short training, from one seed")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds, expert_iterations, iterations = (1, 20, 12) if options.quick else (2, 60, 80)
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        settings = PPO(iterations=expert_iterations, actor=EXPERT)
        expert = settings.learner(Ridge(RidgeConfig(num_envs=ENVS), seed))
        found.setdefault("expert", []).append(trained(expert, expert_iterations))
        teacher = Teacher(expert.actor, settings, expert.critic.state_dict())
        for name, learner in methods(teacher, iterations).items():
            torch.manual_seed(seed)
            task = Ridge(RidgeConfig(num_envs=ENVS), seed)
            found.setdefault(name, []).append(trained(learner(task), iterations))
            print(f"seed {seed}, {name}: {found[name][-1][0]:.1f} %", flush=True)
    rows = []
    for name, results in found.items():
        bar = None if options.quick else BARS.get(name)
        rows.append(row(f"{name}: success", mean(s for s, _ in results), "%", bar, better="higher"))
        rows.append(row(f"{name}: training", mean(t for _, t in results), "s"))
    rows.append(row("steps of the simulator, each student", ENVS * 24 * iterations, "steps"))
    write("distillation", rows, options.out)
    missed = [r["what"] for r in rows if r["bar"] is not None and r["value"] < r["bar"]]
    if missed:
        raise SystemExit(f"distillation: bars missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
