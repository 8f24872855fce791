"""What `robostack fly` flies with a quadrotor: tilted starts, a hover, figure-eights; and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from robostack.evaluate.flight import Flight, rms_position_error, survival, survived
from robostack.task import Scenario, Task
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import FIGURE_EIGHT_PERIODS_S, SETTLED_S, follow_figure_eight

RECOVERIES = 96
"""a share of 97 % survives: of 24 starts, one run in six would show less than the bar of 93 %, of 96 one in forty"""
FIGURE_EIGHT_BARS_M = (0.03, 0.10, 0.30)
L2F_FIGURE_EIGHT = ("L2F 0.17-0.23", "L2F 0.25-0.38", "L2F fails")


def scenarios(config: QuadrotorConfig) -> list[Scenario]:
    """A board armed in the air: its last command was neutral, sensor to motor takes up to 20 ms, all noise is on."""
    one = replace(
        config, num_envs=1, moving_share=0.0, idle_share=1.0, delay_s=config.flown_delay_s, box_m=100.0, episode_s=1e4
    )
    still = replace(one, force_std=0.0, moment_std=0.0, origin_share=1.0, velocity_max_m_s=0.0, rate_max_rad_s=0.0)
    found = [
        Scenario(f"recover_{i:02d}", "recover", config.episode_s, lambda: Quadrotor(one), seed=1 + i)
        for i in range(RECOVERIES)
    ]
    found.append(Scenario("hover", "hover", config.episode_s, lambda: Quadrotor(still)))
    for period in FIGURE_EIGHT_PERIODS_S:
        found.append(
            Scenario(
                f"figure_eight_{period:g}s",
                "figure_eight",
                2.0 * period + 2.0,
                lambda: Quadrotor(still),
                _following(period),
                about={"period_s": period},
            )
        )
    return found


def _following(period_s: float) -> Any:
    def prepare(task: Task) -> None:
        assert isinstance(task, Quadrotor)
        follow_figure_eight(task, period_s)

    return prepare


def judge_flights(flights: Sequence[Flight]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    starts = [f for f in flights if f.about["kind"] == "recover"]
    if starts:
        settled = [rms_position_error(f, SETTLED_S) for f in starts if survived(f)]
        rms = math.sqrt(sum(e * e for e in settled) / len(settled)) if settled else math.inf
        share = 100.0 * survival(starts)
        rows.append(_row(f"tilted starts survived, of {len(starts)}", share, "%", 93.0, "higher", "L2F 83-93 %"))
        rows.append(_row("RMS error of those, last 2 s", rms, "m", 0.04, "lower", "L2F 0.21-0.41 m"))
    for f in flights:
        if f.about["kind"] == "hover":
            what = f"hover, {f.about['transport']}, RMS error, last 2 s"
            rows.append(_row(what, rms_position_error(f, SETTLED_S), "m"))
    for period, bar, reference in zip(FIGURE_EIGHT_PERIODS_S, FIGURE_EIGHT_BARS_M, L2F_FIGURE_EIGHT, strict=True):
        for f in flights:
            if f.about["kind"] == "figure_eight" and f.about["period_s"] == period:
                error = rms_position_error(f, len(f) * f.dt_s - 3.0)
                rows.append(_row(f"figure-eight of {period:g} s, RMS error", error, "m", bar, "lower", reference))
    return rows


def _row(
    what: str, value: float, unit: str, bar: float | None = None, better: str = "lower", reference: str = ""
) -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "bar": bar, "better": better, "reference": reference}
