"""Claims: searches climb a smooth hill in the moves of a tuning, and hold the best they have read."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks/_searches.py"
SPEC = importlib.util.spec_from_file_location("_searches", PATH)
searches = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(searches)

TOP = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 4))


def hill(at):
    return np.exp(-0.5 * np.square(at - TOP).sum(1))


@pytest.mark.parametrize("make", [searches.coordinates, searches.nelder_mead])
def test_a_search_climbs_a_hill(make):
    kept = searches.held([make(np.zeros(4), 0.5) for _ in TOP], hill, 30)
    assert kept.shape == (31, 50, 4)
    values = np.array([hill(at) for at in kept])
    assert (np.diff(values, axis=0) >= 0.0).all(), "what is held never gets worse where readings are true"
    assert values[0].mean() < 0.6 and values[-1].mean() > 0.97


def test_parabolas_through_logarithms_find_the_top_of_a_gaussian_in_one_visit_of_each_magnet():
    kept = searches.held([searches.coordinates(np.zeros(4), 0.5) for _ in TOP], hill, 12)
    assert np.allclose(kept[-1], TOP, atol=1e-6)
