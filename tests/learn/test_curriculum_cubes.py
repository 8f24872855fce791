"""Claim: on the calibrated toy a curriculum that follows learning progress gets several times as far as none."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from _cubes import Cubes, mastered

from robostack.learn import PLR, AlpGmm, Uniform


@pytest.mark.parametrize("seed", [0, 1])
def test_alp_gmm_masters_at_least_four_times_what_uniform_does(seed):
    uniform = mastered(Uniform(), seed, 20_000)
    assert uniform == pytest.approx(0.04)  # as calibrated
    assert mastered(AlpGmm(), seed, 20_000) >= 4 * uniform


def test_replay_by_the_change_of_return_is_ahead_too():
    assert mastered(PLR(), 0, 10_000) >= 4 * mastered(Uniform(), 0, 10_000)


def test_a_cell_is_closed_until_one_before_it_is_known():
    cubes = Cubes()
    far, first, diagonal = [0.15, 0.25], [0.05, 0.0], [0.1, 0.15]
    assert [cubes.episode(diagonal) for _ in range(3)] == [0.0] * 3
    assert [cubes.episode(first) for _ in range(80)][-1] == 0.8
    assert cubes.mastered == 0.01
    assert cubes.episode(diagonal) == 0.01
    assert cubes.episode(far) == 0.0
