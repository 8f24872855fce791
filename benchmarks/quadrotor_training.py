"""Training time and flight quality of the exported quadrotor policy, on L2F's own Crazyflie and start distribution.

    python benchmarks/quadrotor_training.py [--seeds 5] [--quick]

Each seed trains on one CPU thread with the defaults, its checkpoint chosen by evaluation (that time included), is
exported, and the ONNX file flies: 1000 five-second episodes with noise and disturbances, starts tilted up to 90
degrees, lost when it leaves a box of +-0.6 m. Machines vary, so the time is also given as a ratio to a fixed matrix
product, timed in the same run. Every figure is the worst of the seeds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from _results import row, write
from _seeds import worst_of_seeds

from robostack.runtime.runner import Runner
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.trials import FIGURE_EIGHT_PERIODS_S, exported, figure_eight_rmse_m, survival

L2F = QuadrotorConfig(vehicle="crazyflie_l2f")


def judge(runner: Runner, episodes: int) -> dict[str, float]:
    policy, reset = exported(runner)
    judged = replace(L2F, num_envs=episodes, delay_s=(0.0, 0.02))
    flown = survival(policy, reset, judged)
    figures = {"lost": 1.0 - flown.survived, "rms": flown.rms_m}
    for delay in (0.0, 0.01, 0.02):
        figures[f"lost {delay:g}"] = 1.0 - survival(policy, reset, replace(judged, delay_s=(delay, delay))).survived
    figures["rms calm"] = survival(policy, reset, replace(judged, force_std=0.0, moment_std=0.0)).rms_m
    eights = replace(judged, num_envs=16)
    return figures | {f"eight {p:g}": figure_eight_rmse_m(policy, reset, eights, p) for p in FIGURE_EIGHT_PERIODS_S}


def main() -> None:
    found = worst_of_seeds(__doc__, 5, L2F, judge)
    worst = found.figures
    percent: dict[str, Any] = {"unit": "%", "better": "higher"}
    rows = [
        row(f"training, one CPU thread, {found.what}", worst["seconds"], "s", 10.0,
            reference="L2F, C++ TD3, on such a machine", reference_value=40.6),
        row("the same over 200 products of 512 x 512 matrices", worst["products"], "x"),
        row(f"survival, delay 0-20 ms, {found.what}", 100 * (1 - worst["lost"]), bar=93.0, **percent,
            reference="L2F without delay: 83-93 %"),
        row("survival, delay 0 ms", 100 * (1 - worst["lost 0"]), bar=95.0, **percent,
            reference="trained without delay", reference_value=93.0),
        row("survival, delay 10 ms", 100 * (1 - worst["lost 0.01"]), bar=93.0, **percent,
            reference="trained without delay", reference_value=0.0),
        row("survival, delay 20 ms", 100 * (1 - worst["lost 0.02"]), bar=85.0, **percent),
        row("RMS position error, last 2 s", worst["rms"], "m", 0.04, reference="L2F 0.21-0.41 m"),
        row("RMS position error without disturbance", worst["rms calm"], "m"),
        row("figure-eight 15 s, 3-D RMSE", worst["eight 15"], "m", 0.03, reference="L2F 0.17-0.23; RAPTOR 0.06"),
        row("figure-eight 5.5 s, 3-D RMSE", worst["eight 5.5"], "m", 0.10, reference="L2F 0.25-0.38; RAPTOR 0.21"),
        row("figure-eight 3.5 s, 3-D RMSE", worst["eight 3.5"], "m", 0.30, reference="L2F and RAPTOR fail"),
    ]  # fmt: skip
    write("quadrotor_training", rows, found.out)


if __name__ == "__main__":
    main()
