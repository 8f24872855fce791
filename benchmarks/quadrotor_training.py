"""Training time and flight quality of the exported quadrotor policy, on L2F's own Crazyflie and start distribution.

    python benchmarks/quadrotor_training.py [--seeds 5] [--quick]

Each seed trains on one CPU thread with the defaults, its checkpoint chosen by evaluation (that time included), is
exported, and the ONNX file flies: 1000 five-second episodes with noise and disturbances, starts tilted up to 90
degrees, lost when it leaves a box of +-0.6 m. Machines vary, so the time is also given as a ratio to a fixed matrix
product, timed in the same run. Every figure is the worst of the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from _results import row, write

from robostack.learn.trainer import export_policy, train
from robostack.run_folder import RunFolder
from robostack.runtime.runner import Runner
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import FIGURE_EIGHT_PERIODS_S, exported, figure_eight_rmse_m, survival

L2F = QuadrotorConfig(vehicle="crazyflie_l2f")


@dataclass(frozen=True)
class Outcome:
    """Figures of one seed by the name of their row."""

    seconds: float
    figures: dict[str, float]


def matrix_seconds() -> float:
    """Two hundred products of 512 x 512 float32 matrices on one thread."""
    a = torch.randn(512, 512)
    a @ a
    start = time.perf_counter()
    for _ in range(200):
        a @ a
    return time.perf_counter() - start


def one_seed(seed: int, episodes: int, folder: Path) -> Outcome:
    run = RunFolder.create("quadrotor", f"seed{seed}", folder)
    result = train(Quadrotor(L2F), None, run, seed=seed)
    export_policy(run, run.policy)
    policy, reset = exported(Runner(run.policy))
    judged = replace(L2F, num_envs=episodes, delay_s=(0.0, 0.02))
    found = survival(policy, reset, judged)
    figures = {"survived": found.survived, "rms": found.rms_m}
    for delay in (0.0, 0.01, 0.02):
        at = survival(policy, reset, replace(judged, delay_s=(delay, delay)))
        figures[f"survived {delay:g}"] = at.survived
    figures["rms calm"] = survival(policy, reset, replace(judged, force_std=0.0, moment_std=0.0)).rms_m
    for period in FIGURE_EIGHT_PERIODS_S:
        eights = replace(L2F, num_envs=16, delay_s=(0.0, 0.02))
        figures[f"eight {period:g}"] = figure_eight_rmse_m(policy, reset, eights, period)
    return Outcome(result["setup_s"] + result["wall_s"], figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one seed, 200 episodes")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    seeds, episodes = (1, 200) if options.quick else (options.seeds, 1000)
    torch.set_num_threads(1)
    Quadrotor(L2F).unroll(1)
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        outcomes, ratios = [], []
        for seed in range(seeds):
            before = matrix_seconds()
            outcomes.append(one_seed(seed, episodes, Path(name)))
            ratios.append(outcomes[-1].seconds / (0.5 * (before + matrix_seconds())))
            print(f"seed {seed}: {outcomes[-1].seconds:.1f} s, {outcomes[-1].figures}")
    low = {k: min(o.figures[k] for o in outcomes) for k in outcomes[0].figures}
    high = {k: max(o.figures[k] for o in outcomes) for k in outcomes[0].figures}
    worst = f"worst of {seeds}" if seeds > 1 else "one seed"
    percent: dict[str, Any] = {"unit": "%", "better": "higher"}
    rows = [
        row(f"training, one CPU thread, {worst}", max(o.seconds for o in outcomes), "s", 10.0,
            reference="L2F, C++ TD3, on such a machine", reference_value=40.6),
        row("the same over 200 products of 512 x 512 matrices", max(ratios), "x"),
        row(f"survival, delay 0-20 ms, {worst}", 100 * low["survived"], bar=93.0, **percent,
            reference="L2F without delay: 83-93 %"),
        row("survival, delay 0 ms", 100 * low["survived 0"], bar=95.0, **percent,
            reference="trained without delay", reference_value=93.0),
        row("survival, delay 10 ms", 100 * low["survived 0.01"], bar=93.0, **percent,
            reference="trained without delay", reference_value=0.0),
        row("survival, delay 20 ms", 100 * low["survived 0.02"], bar=85.0, **percent),
        row("RMS position error, last 2 s", high["rms"], "m", 0.04, reference="L2F 0.21-0.41 m"),
        row("RMS position error without disturbance", high["rms calm"], "m"),
        row("figure-eight 15 s, 3-D RMSE", high["eight 15"], "m", 0.03, reference="L2F 0.17-0.23; RAPTOR 0.06"),
        row("figure-eight 5.5 s, 3-D RMSE", high["eight 5.5"], "m", 0.10, reference="L2F 0.25-0.38; RAPTOR 0.21"),
        row("figure-eight 3.5 s, 3-D RMSE", high["eight 3.5"], "m", 0.30, reference="L2F and RAPTOR fail"),
    ]  # fmt: skip
    write("quadrotor_training", rows, options.out)


if __name__ == "__main__":
    main()
