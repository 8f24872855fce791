"""The quadrotor flown by thrust and body rates through an autopilot's rate controller: training time and flight.

    python benchmarks/quadrotor_rates.py [--seeds 3] [--quick]

As quadrotor_training.py: each seed trains on one CPU thread with the defaults, is exported, and the ONNX file flies
1000 five-second episodes with noise, disturbances and 0-20 ms of delay, from L2F's starts and from level ones at the
origin, lost when it leaves a box of +-0.6 m. The vehicle is a Crazyflie 2.1 with PX4's parameters for it. Every figure
is the worst of the seeds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from _results import row, write
from _seeds import worst_of_seeds

from robostack.runtime.runner import Runner
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.trials import FIGURE_EIGHT_PERIODS_S, exported, figure_eight_rmse_m, survival

CONFIG = QuadrotorConfig(action="thrust_and_rates")


def judge(runner: Runner, episodes: int) -> dict[str, float]:
    policy, reset = exported(runner)
    judged = replace(CONFIG, num_envs=episodes, delay_s=(0.0, 0.02))
    tilted, level = (survival(policy, reset, replace(judged, origin_share=share)) for share in (0.1, 1.0))
    eights = replace(judged, num_envs=16)
    return {
        "lost tilted": 1.0 - tilted.survived,
        "rms tilted": tilted.rms_m,
        "lost level": 1.0 - level.survived,
        **{f"eight {p:g}": figure_eight_rmse_m(policy, reset, eights, p) for p in FIGURE_EIGHT_PERIODS_S},
    }


def main() -> None:
    found = worst_of_seeds(__doc__, 3, CONFIG, judge)
    worst = found.figures
    percent: dict[str, Any] = {"unit": "%", "better": "higher"}
    rows = [
        row(f"training, one CPU thread, {found.what}", worst["seconds"], "s"),
        row("survival, starts tilted up to 90 degrees", 100 * (1 - worst["lost tilted"]), **percent,
            reference="L2F by rotor speeds, without delay: 83-93 %"),
        row("survival, level starts", 100 * (1 - worst["lost level"]), **percent),
        row("RMS position error, last 2 s", worst["rms tilted"], "m", 0.04),
        *(row(f"figure-eight {p:g} s, 3-D RMSE", worst[f"eight {p:g}"], "m") for p in FIGURE_EIGHT_PERIODS_S),
    ]  # fmt: skip
    write("quadrotor_rates", rows, found.out)


if __name__ == "__main__":
    main()
