"""Trainings of the quadrotor from several seeds, flown by their exported files: options and loop of such benchmarks."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from robostack.learn.shac import SHAC
from robostack.learn.trainer import export_policy, train
from robostack.run_folder import RunFolder
from robostack.runtime.runner import Runner
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor

Judge = Callable[[Runner, int], dict[str, float]]
"""(the exported policy, episodes) -> figures by name, each the worse the larger"""


@dataclass(frozen=True)
class Worst:
    """Of all seeds, by name: what the judge found; `seconds` of training, checkpoints judged among it; and
    `products`, these over a fixed matrix product that was timed beside them, since machines vary."""

    figures: dict[str, float]
    what: str
    """worst of how many"""
    out: Path | None
    """where the JSON goes"""


def worst_of_seeds(
    doc: str | None, seeds: int, config: QuadrotorConfig, judge: Judge, learner: SHAC | None = None
) -> Worst:
    """Trains on one CPU thread with each seed, exports, and judges the ONNX file; `seeds` unless --seeds says."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--quick", action="store_true", help="one seed, 200 episodes")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    seeds, episodes = (1, 200) if options.quick else (options.seeds, 1000)
    torch.set_num_threads(1)
    Quadrotor(config).unroll(1)
    found = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        for seed in range(seeds):
            before = _matrix_seconds()
            run = RunFolder.create("quadrotor", f"seed{seed}", Path(name))
            result = train(Quadrotor(config), learner, run, seed=seed)
            seconds = result["setup_s"] + result["wall_s"]
            products = seconds / (0.5 * (before + _matrix_seconds()))
            export_policy(run, run.policy)
            figures = judge(Runner(run.policy), episodes)
            found.append({"seconds": seconds, "products": products, **figures})
            print(f"seed {seed}: {found[-1]}")
    worst = {k: max(figures[k] for figures in found) for k in found[0]}
    return Worst(worst, f"worst of {seeds}" if seeds > 1 else "one seed", options.out)


def _matrix_seconds() -> float:
    """Two hundred products of 512 x 512 float32 matrices on one thread."""
    a = torch.randn(512, 512)
    a @ a
    start = time.perf_counter()
    for _ in range(200):
        a @ a
    return time.perf_counter() - start
