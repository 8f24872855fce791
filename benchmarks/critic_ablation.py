"""What a privileged critic at the horizon buys the first-order learner on the quadrotor: quality and seconds.

    python benchmarks/critic_ablation.py [--quick]

Each row is the mean over seeds of 1000 episodes from L2F's starts with delays of 0-20 ms, flown by the exported file.
The default of `robostack.learn.shac.SHAC.critic` is what this table says.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from _results import row, write

from robostack.learn.shac import SHAC, ShacLearner
from robostack.learn.trained import export_actor
from robostack.runtime.runner import Runner
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import Survival, exported, survival

TASK = QuadrotorConfig(vehicle="crazyflie_l2f")
DEFAULT = SHAC()
SHORT = replace(DEFAULT, horizon=DEFAULT.horizon // 2, iterations=2 * DEFAULT.iterations)
SETTINGS = {
    f"{name}, horizon {config.horizon}": config
    for base in (DEFAULT, SHORT)
    for name, config in (("no critic", base), ("critic", replace(base, critic=True, gamma=0.99)))
}
"""the short horizon has twice the updates, so that all see as many steps"""


def one(config: SHAC, seed: int, episodes: int, folder: Path) -> tuple[Survival, float]:
    torch.manual_seed(seed)
    start = time.perf_counter()
    learner = ShacLearner(Quadrotor(TASK, seed=seed), config)
    while learner.iteration < config.iterations:
        learner.iterate()
    seconds = time.perf_counter() - start
    runner = Runner(export_actor(learner.task, learner.actor, folder / "policy.onnx"))
    return survival(*exported(runner), replace(TASK, num_envs=episodes, delay_s=(0.0, 0.02))), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, 200 episodes")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds, episodes = (1, 200) if options.quick else (3, 1000)
    rows = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        for name, config in SETTINGS.items():
            found = [one(config, seed, episodes, Path(folder)) for seed in range(seeds)]
            rows += [
                row(f"{name}: survival", 100 * mean(f.survived for f, _ in found), "%", better="higher"),
                row(f"{name}: RMS error, last 2 s", mean(f.rms_m for f, _ in found), "m"),
                row(f"{name}: training", mean(s for _, s in found), "s"),
            ]
    write("critic_ablation", rows, options.out)


if __name__ == "__main__":
    main()
