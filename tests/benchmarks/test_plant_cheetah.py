"""Claims: cheetah's machines are ours where it is given our gaps, so a gap in the table is no fault of the adapter."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.machines import Errors
from robostack_sim.beam.orbit import BeamOrbit

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CONFIG = BeamOrbitConfig(num_envs=6)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module; skips where cheetah is not installed."""
    pytest.importorskip("cheetah")
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module("_plant_cheetah")


def size(a: torch.Tensor) -> float:
    return float(a.abs().max())


def test_with_our_gaps_its_machines_are_ours(plant: Any) -> None:
    ours, theirs = BeamOrbit(CONFIG, seed=3), plant.CheetahOrbit(CONFIG, seed=3)
    assert torch.equal(ours.gain, theirs.gain) and torch.equal(ours.offset_m, theirs.offset_m)
    for name, bound in (("zero_m", 1e-4), ("from_start", 1e-4), ("per_ampere", 2e-3)):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert size(a) > 0 and size(a - b) < bound * size(a), name


def test_with_its_own_cavities_it_is_another_optics(plant: Any) -> None:
    ours, theirs = BeamOrbit(CONFIG, seed=3), plant.CheetahOrbit(CONFIG, seed=3, own_cavity=True)
    assert 0.02 < size(ours.per_ampere - theirs.per_ampere) / size(ours.per_ampere) < 1.0


def test_its_orbits_are_sums_of_what_start_and_currents_do(plant: Any) -> None:
    task = plant.CheetahOrbit(CONFIG, seed=3, own_cavity=True)
    errors, draw = Errors.none(1, task.lattice), torch.Generator().manual_seed(0)
    start = 1e-3 * torch.randn(5, 4, generator=draw, dtype=torch.float64)
    currents = torch.randn(5, len(task.lattice.corrector_names), generator=draw, dtype=torch.float64)
    response = task.response(errors)
    summed = response.orbit(start.float(), currents.float())
    flown = task.fly(errors, start, currents)[0]
    assert size(summed - flown) < 1e-5 * size(flown)
