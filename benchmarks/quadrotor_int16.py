"""Does a quadrotor fly as well with an int16 network? The generated C of one policy in both precisions, closed loop.

    python benchmarks/quadrotor_int16.py [--quick]

One policy is trained (vehicle crazyflie_l2f), exported, and calibrated on its own flights. Its float32 and its int16 C
then fly the same episodes: L2F's starts, noise and disturbances, delay 0-20 ms, and three figure-eights.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from _results import row, write

from robostack.export.calibration import calibrated
from robostack.export.host import HostPolicy
from robostack.learn.flown import observed_in_flight
from robostack.learn.trained import export_policy
from robostack.learn.trainer import train
from robostack.run_folder import RunFolder
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import FIGURE_EIGHT_PERIODS_S, exported, figure_eight_rmse_m, survival

from quadrotor_training import L2F  # isort: skip

WORSE = 1.1
"""Bar: what int16 may have of float32's error."""


def flown(port: HostPolicy, episodes: int) -> dict[str, float]:
    policy, reset = exported(port)
    found = survival(policy, reset, replace(L2F, num_envs=episodes, delay_s=(0.0, 0.02)))
    figures = {"survival": found.survived, "RMS error, last 2 s": found.rms_m}
    for period in FIGURE_EIGHT_PERIODS_S:
        eights = replace(L2F, num_envs=16, delay_s=(0.0, 0.02))
        figures[f"figure-eight {period:g} s, 3-D RMSE"] = figure_eight_rmse_m(policy, reset, eights, period)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 episodes instead of 1000")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    episodes = 200 if options.quick else 1000
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        run, task = RunFolder.create("quadrotor", "int16", Path(name)), Quadrotor(L2F)
        train(task, None, run, seed=0)
        policy = export_policy(run, run.policy)
        policy = calibrated(policy, observed_in_flight(policy, task))
    float32, int16 = (flown(HostPolicy(policy, precision), episodes) for precision in ("float32", "int16"))
    assert policy.spec.calibration
    survived, bar = 100 * int16["survival"], 100 * float32["survival"] - 1.0
    rows = [
        row("output error, largest on the calibration's rows", 100 * policy.spec.calibration.max_error, "% of range"),
        row("output error, rms", 100 * policy.spec.calibration.rms_error, "% of range"),
        row(f"survival of {episodes}, int16", survived, "%", bar, better="higher", reference="float32",
            reference_value=100 * float32["survival"]),
        *(row(f"{what}, int16", int16[what], "m", WORSE * float32[what], reference="float32",
              reference_value=float32[what]) for what in list(int16)[1:]),
    ]  # fmt: skip
    write("quadrotor_int16", rows, options.out)
    if survived < bar or any(int16[k] > WORSE * float32[k] for k in list(int16)[1:]):
        raise SystemExit("quadrotor_int16: a bar was missed")


if __name__ == "__main__":
    main()
