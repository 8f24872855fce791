"""What curricula get out of the same episodes: cells of a toy grid, and machines of a wide box that a quadrotor flies.

    python benchmarks/curricula.py [--quick]

The toy is ALP-GMM's own (`_cubes.py`), 20,000 episodes. The quadrotor is trained with the default learner on
machines drawn from the box, and each policy is asked for an episode on 1,000 machines uniform in it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from _cubes import mastered
from _results import row, write

from robostack.learn import ADR, PLR, SHAC, AlpGmm, Uniform
from robostack.learn.curriculum.curriculum import CurriculumSettings
from robostack.learn.curriculum.episodes import CurriculumTask
from robostack.learn.judge import judge
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor

EPISODES = 20_000
BOX = QuadrotorConfig(mass_scale=(0.6, 1.6), thrust_scale=(0.8, 1.2), rotor_time_s=(0.03, 0.3))
SETTINGS: dict[str, CurriculumSettings] = {"uniform": Uniform(), "ADR": ADR(), "ALP-GMM": AlpGmm(), "PLR": PLR()}
IN_THE_CORNER = ADR(start=(0.05, 0.05))
"""of the toy, the only cell that can be learned at first: a start is what ADR has to be told"""
CALIBRATED = 35.5
"""%, the mean of two seeds of the published method, re-implemented with a kd-tree and scikit-learn's mixtures"""


def flown(settings: CurriculumSettings, seed: int, iterations: int) -> float:
    """Share of machines, uniform in the box, on which an episode is survived."""
    torch.manual_seed(seed)
    task = CurriculumTask(Quadrotor(BOX), settings, seed)
    config = replace(SHAC(), iterations=iterations)
    learner = config.learner(task)
    task.follow(learner.value, config.gamma)
    while learner.iteration < iterations:
        learner.iterate()
    return judge(learner.actor, task.evaluation(1000), seed=1).success_rate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, the quadrotor with 60 iterations")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds, iterations = (1, 60) if options.quick else (3, SHAC().iterations)
    rows = []
    uniform = mean(mastered(Uniform(), seed, EPISODES) for seed in range(seeds))
    for name, settings in SETTINGS.items():
        chosen = IN_THE_CORNER if name == "ADR" else settings
        share = uniform if name == "uniform" else mean(mastered(chosen, seed, EPISODES) for seed in range(seeds))
        if name == "ALP-GMM":
            found = row(f"{name}: cells mastered", 100 * share, "%", 400 * uniform, better="higher",
                        reference="calibrated", reference_value=CALIBRATED)  # fmt: skip
        else:
            found = row(f"{name}: cells mastered", 100 * share, "%", better="higher")
        rows.append(found)
    for name, settings in SETTINGS.items():
        share = mean(flown(settings, seed, iterations) for seed in range(seeds))
        rows.append(row(f"{name}: machines flown", 100 * share, "%", better="higher"))
    write("curricula", rows, options.out)


if __name__ == "__main__":
    main()
