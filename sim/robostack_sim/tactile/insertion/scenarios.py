"""What `robostack fly` inserts with a policy: pegs that lean from one end to the other; and how it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robostack.evaluate.flight import Flight
from robostack.task import Scenario
from robostack_sim.tactile.grips import flown_row, grips, held
from robostack_sim.tactile.insertion.config import InsertionConfig
from robostack_sim.tactile.insertion.task import TactileInsertion

KIND = "insert"


def scenarios(config: InsertionConfig) -> list[Scenario]:
    return grips(TactileInsertion, config, KIND, {"peg": config.peg})


def is_in(flight: Flight, config: InsertionConfig | None = None) -> bool:
    """Whether the peg was in at the flight's end, the policy in command until then."""
    end = (flight[name][-1, 0] for name in ("foot", "off_centre"))
    return bool((config or InsertionConfig()).is_in(*end) and held(flight))


def judge_flights(flights: Sequence[Flight], config: InsertionConfig) -> list[dict[str, Any]]:
    flown = [f for f in flights if f.about["kind"] == KIND]
    if not flown:
        return []
    share = 100.0 * float(np.mean([is_in(f, config) for f in flown]))
    foot = 1e3 * float(np.median([f["foot"][-1, 0] for f in flown]))
    return [
        flown_row(f"pegs of {len(flown)} that are in", share, "%", "higher"),
        flown_row("height of their feet above the hole's floor, median", foot, "mm"),
    ]
