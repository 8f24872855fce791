"""What `robostack fly` does with a policy of a manipulation: grips as training draws them, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from robostack.evaluate.flight import STATUS, Flight
from robostack.task import Scenario
from robostack_sim.tactile.config import ManipulationConfig
from robostack_sim.tactile.manipulation import Manipulation

GRIPS = 12
ENDLESS = 10**9


def grips(
    make: Callable[[Any], Manipulation], config: ManipulationConfig, kind: str, about: Mapping[str, Any] | None = None
) -> list[Scenario]:
    """A row more than an episode has steps, so that the last shows how it ended."""
    one = replace(config, num_envs=1, threads=1, steps=ENDLESS)
    seconds = (config.steps + 1) * Manipulation.step_dt
    return [
        Scenario(f"grip_{i:02d}", kind, seconds, lambda: make(one), seed=1 + i, about={"grip": i, **(about or {})},
                 changes=True)
        for i in range(GRIPS)
    ]  # fmt: skip


def held(flight: Flight) -> bool:
    """Whether the policy was in command until the end."""
    fell_back = (flight.status == STATUS.index("fallback")).any()
    return not fell_back and "cut_short" not in flight.about


def flown_row(what: str, value: float, unit: str, better: str = "lower") -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "bar": None, "better": better, "reference": ""}
