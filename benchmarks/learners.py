"""What it takes each learner to fly: seconds and steps until the quadrotor survives as often as is asked.

    python benchmarks/learners.py [--quick] [--seconds 600] [--survival 90]

One CPU thread, one seed, L2F's Crazyflie and starts. A learner trains until a judgement of 256 episodes is at the
wanted survival, or its time is over; its best policy is exported, and the ONNX file flies 1000 episodes. A goal that
all may reach is half of the starts: the first such judgement counts, to a twentieth of its time. SHAC follows the
simulator's gradient. The others have steps alone, and are charged for a crash: the task's reward is minus a cost, and
without that charge the shortest flight is the cheapest. Judging is not counted as training.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from _results import row, write

from robostack.learn.judge import judge
from robostack.learn.learner import Algorithm
from robostack.learn.ppo import PPO
from robostack.learn.sac import SAC
from robostack.learn.shac import SHAC
from robostack.learn.td3 import TD3
from robostack.learn.trained import export_actor
from robostack.runtime.runner import Runner
from robostack_sim.quadrotor.config import Costs, QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import exported, survival

L2F = QuadrotorConfig(vehicle="crazyflie_l2f")
CHARGED = replace(L2F, costs=replace(Costs(), crash=300.0), moving_share=0.0, idle_share=0.0)
LONG = 1_000_000
"""iterations: time ends a training"""
LEARNERS: dict[str, tuple[Algorithm, QuadrotorConfig]] = {
    "SHAC": (SHAC(), L2F),
    "PPO": (
        PPO(iterations=LONG, steps=32, epochs=4, minibatches=8, gamma=0.98, desired_kl=0.02, std=0.3),
        replace(CHARGED, num_envs=1024),
    ),
    "SAC": (SAC(iterations=LONG, steps=1, updates=8, warmup=20_000), replace(CHARGED, num_envs=64)),
    "TD3": (TD3(iterations=LONG, steps=1, updates=8, warmup=20_000), replace(CHARGED, num_envs=64)),
}
JUDGED_EVERY_S, JUDGED_EVERY = 0.5, 0.05
"""seconds of training from one judgement to the next: so many, and so much of those before"""
EPISODES = 256
COMMON = 0.5
"""survival at which all of them are compared"""


@dataclass(frozen=True)
class Found:
    """The best that a learner judged, when that was, and when a judgement was first at COMMON."""

    seconds: float
    env_steps: int
    survived: float
    rms_m: float
    common: tuple[float, int] | None
    """seconds and steps; None: never"""


def train(config: Algorithm, plant: QuadrotorConfig, seconds: float, wanted: float, episodes: int, path: Path) -> Found:
    torch.manual_seed(0)
    task = Quadrotor(plant)
    task.reset(0)
    evaluation = task.evaluation(EPISODES)
    learner = config.learner(task)
    spent, due, best = 0.0, JUDGED_EVERY_S, (-1.0, 0.0, 0, deepcopy(learner.actor.state_dict()))
    common = None
    while spent < seconds and best[0] < wanted and learner.iteration < config.iterations:
        start = time.perf_counter()
        learner.iterate()
        spent += time.perf_counter() - start
        if spent > due or spent >= seconds or learner.iteration == config.iterations:
            due = spent + JUDGED_EVERY_S + JUDGED_EVERY * spent
            success = judge(learner.actor, evaluation, seed=1).success_rate
            steps = learner.iteration * learner.steps_per_iteration * task.num_envs
            if success > best[0]:
                best = (success, spent, steps, deepcopy(learner.actor.state_dict()))
            if success >= COMMON and common is None:
                common = (spent, steps)
            print(f"  {spent:5.0f} s, {steps / 1e6:.2f} M steps: {100 * success:.1f} %", file=sys.stderr)
    learner.actor.load_state_dict(best[3])
    policy, reset = exported(Runner(export_actor(task, learner.actor, path)))
    flown = survival(policy, reset, replace(L2F, num_envs=episodes, delay_s=(0.0, 0.02)))
    return Found(best[1], best[2], flown.survived, flown.rms_m, common)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds each: that they run, not what they reach")
    parser.add_argument("--seconds", type=float, default=600.0, help="that a learner may train")
    parser.add_argument("--survival", type=float, default=90.0, help="at which it is done, percent")
    parser.add_argument("--only", nargs="+", choices=LEARNERS, default=[*LEARNERS], help="learners to train")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds, episodes = (5.0, 200) if options.quick else (options.seconds, 1000)
    rows = []
    for name in options.only:
        print(name, file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
            wanted = options.survival / 100
            found = train(*LEARNERS[name], seconds, wanted, episodes, Path(folder) / "policy.onnx")
        rows += [
            row(f"{name}: survival", 100 * found.survived, "%", better="higher"),
            row(f"{name}: RMS error, last 2 s", found.rms_m, "m"),
            row(f"{name}: reached after", found.seconds, "s"),
            row(f"{name}: and after", found.env_steps / 1e6, "M steps"),
        ]
        after, steps = found.common or (None, None)
        never = None if found.common else "not reached"
        rows += [
            row(f"{name}: time to {100 * COMMON:.0f} % survival", after, "s", reference=never),
            row(f"{name}: steps to it", steps and steps / 1e6, "M steps", reference=never),
        ]
    write("learners", rows, options.out)


if __name__ == "__main__":
    main()
