"""Claims: what the benchmark holds the pads' kernels against computes the same fields."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def tactile_field(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module("tactile_field")


@pytest.mark.parametrize("solid", ["round peg", "hex nut", "box", "octagonal peg"])
@pytest.mark.parametrize("law", ["penalty", "bristle", "bristle, loaded"])
def test_numpy_and_warp_feel_the_same(tactile_field: Any, law: str, solid: str) -> None:
    ours, numpys = tactile_field.both_ways(law, solid, num_envs=32)
    for _ in range(3):
        a, b = ours(), numpys()
        assert np.abs(b).max() > 0
        assert tactile_field.difference(a, b) < tactile_field.EQUAL
