"""What `robostack fly` places with a policy: pegs that lean from one end to the other; and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robostack.evaluate.flight import STATUS, Flight
from robostack.task import Scenario
from robostack_sim.tactile.placement.config import PlacementConfig
from robostack_sim.tactile.placement.task import TactilePlacement

KIND = "place"
GRIPS = 12
ENDLESS = 10**9


def scenarios(config: PlacementConfig) -> list[Scenario]:
    """Grips as training draws them; a row more than an episode has steps, so that the last shows how it ended."""
    one = replace(config, num_envs=1, threads=1, steps=ENDLESS)
    seconds = (config.steps + 1) * TactilePlacement.step_dt
    return [
        Scenario(f"grip_{i:02d}", KIND, seconds, lambda: TactilePlacement(one), seed=1 + i, about={"grip": i},
                 changes=True)
        for i in range(GRIPS)
    ]  # fmt: skip


def stands(flight: Flight, config: PlacementConfig | None = None) -> bool:
    """Whether the peg stood right at the flight's end, the policy in command until then."""
    end = (flight[name][-1, 0] for name in ("tilt", "off_centre", "gap"))
    fell_back = (flight.status == STATUS.index("fallback")).any()
    return bool((config or PlacementConfig()).stands(*end) and not fell_back and "cut_short" not in flight.about)


def judge_flights(flights: Sequence[Flight], config: PlacementConfig) -> list[dict[str, Any]]:
    flown = [f for f in flights if f.about["kind"] == KIND]
    if not flown:
        return []
    share = 100.0 * float(np.mean([stands(f, config) for f in flown]))
    tilt = math.degrees(float(np.median([f["tilt"][-1, 0] for f in flown])))
    return [_row(f"pegs of {len(flown)} that stand", share, "%", "higher"), _row("their tilt, median", tilt, "degrees")]


def _row(what: str, value: float, unit: str, better: str = "lower") -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "bar": None, "better": better, "reference": ""}
