"""What `robostack fly` places with a policy: pegs that lean from one end to the other; and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from robostack.evaluate.flight import Flight
from robostack.task import Scenario
from robostack_sim.tactile.grips import flown_row, grips, held
from robostack_sim.tactile.placement.config import PlacementConfig
from robostack_sim.tactile.placement.task import TactilePlacement

KIND = "place"


def scenarios(config: PlacementConfig) -> list[Scenario]:
    return grips(TactilePlacement, config, KIND)


def stands(flight: Flight, config: PlacementConfig | None = None) -> bool:
    """Whether the peg stood right at the flight's end, the policy in command until then."""
    end = (flight[name][-1, 0] for name in ("tilt", "off_centre", "gap"))
    return bool((config or PlacementConfig()).stands(*end) and held(flight))


def judge_flights(flights: Sequence[Flight], config: PlacementConfig) -> list[dict[str, Any]]:
    flown = [f for f in flights if f.about["kind"] == KIND]
    if not flown:
        return []
    share = 100.0 * float(np.mean([stands(f, config) for f in flown]))
    tilt = math.degrees(float(np.median([f["tilt"][-1, 0] for f in flown])))
    return [
        flown_row(f"pegs of {len(flown)} that stand", share, "%", "higher"),
        flown_row("their tilt, median", tilt, "degrees"),
    ]
