"""What `robostack fly` corrects with a beam's policy: unseen machines, one after the other; and how it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robostack.evaluate.flight import STATUS, Flight
from robostack.task import Scenario
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit

MACHINES = 48
ENDLESS = 10**9


def scenarios(config: BeamOrbitConfig) -> list[Scenario]:
    """Machines as training draws them; a flight shows the orbit before the first move, and after each of
    `judged_steps`, and a stack steers on for as long as somebody does. Where the beam is lost, the next is drawn."""
    one = replace(config, num_envs=1, device="cpu", reward="smooth", steps=ENDLESS)
    seconds = (config.judged_steps + 1) * config.step_dt
    return [
        Scenario(
            f"machine_{i:02d}",
            "correct",
            seconds,
            lambda: BeamOrbit(one),
            seed=1 + i,
            about={"machine": i},
            changes=True,
        )
        for i in range(MACHINES)
    ]


def judge_flights(flights: Sequence[Flight], success_m: float) -> list[dict[str, Any]]:
    """RMS of the true orbit about its target, over the BPMs that live."""
    flown = [f for f in flights if f.about["kind"] == "correct" and "cut_short" not in f.about]
    if not flown:
        return []
    rms_mm = np.array([1e3 * f["rms"][-1, 0] for f in flown])
    fell_back = np.array([(f.status == STATUS.index("fallback")).any() for f in flown])
    share = 100.0 * float(np.mean((rms_mm < 1e3 * success_m) & ~fell_back))
    travel_a = np.array([np.abs(np.diff(f["corrector_current"], axis=0)).sum() for f in flown])
    what, moves = f"machines of {len(flown)} below {1e3 * success_m:g} mm", len(flown[0]) - 1
    return [
        _row(f"{what} after {moves} moves", share, "%", "higher"),
        _row(f"RMS of the orbit, median after {moves} moves", float(np.median(rms_mm)), "mm"),
        _row("travel of all correctors, median", float(np.median(travel_a)), "A"),
    ]


def _row(what: str, value: float, unit: str, better: str = "lower") -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "bar": None, "better": better, "reference": ""}
