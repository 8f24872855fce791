"""Claims: axes go there and back, turn what they should, and know a left-handed system."""

from __future__ import annotations

import numpy as np
import pytest

from robostack import axes
from robostack import quaternion as quat

AHEAD, LEFT, UP = np.eye(3)
PAIRS = [
    (axes.from_y_up, None, ([0, 0, 1], [1, 0, 0], [0, 1, 0])),
    (axes.from_openxr, None, ([0, 0, -1], [-1, 0, 0], [0, 1, 0])),
    (axes.from_unity, axes.to_unity, ([0, 0, 1], [-1, 0, 0], [0, 1, 0])),
    (axes.from_x_ahead, None, ([1, 0, 0], [0, 0, -1], [0, 1, 0])),
]


@pytest.mark.parametrize(("here", "there", "directions"), PAIRS)
def test_ahead_left_and_up_are_where_the_format_has_them(here, there, directions):
    for ours, theirs in zip((AHEAD, LEFT, UP), directions, strict=True):
        assert here(np.array(theirs)) == pytest.approx(ours)
        if there is not None:
            assert there(ours) == pytest.approx(theirs)


@pytest.mark.parametrize(("here", "there", "directions"), PAIRS)
def test_a_turned_vector_is_the_same_whether_it_is_turned_there_or_here(here, there, directions):
    random = np.random.default_rng(0)
    turn = quat.normalise(random.normal(size=(20, 4)))
    vector = random.normal(size=(20, 3))
    # the product formula means a left-handed turn in left-handed axes
    assert quat.rotate(here(turn), here(vector)) == pytest.approx(here(quat.rotate(turn, vector)))
    if there is not None:
        assert there(here(turn)) == pytest.approx(turn)


def test_a_headset_that_looks_left_in_unity_looks_left_here():
    quarter = np.sqrt(0.5)
    # left-handed: a positive turn about up, seen from above, is clockwise, so left is negative
    assert axes.from_unity(np.array([quarter, 0.0, -quarter, 0.0])) == pytest.approx([quarter, 0.0, 0.0, quarter])
