"""Claims: a path through space is drawn as one looks at it from a corner, whatever it holds."""

import re

import numpy as np
import pytest

from robostack.evaluate.chart_space import Path, space


def drawn(*paths):
    """(points, 2) pixels of each path."""
    svg = space([Path(np.array(p, float), label="p") for p in paths])
    found = re.findall(r'<polyline class="line[^"]*" points="([^"]*)"><title>', svg)
    return [np.array([pair.split(",") for pair in f.split()], float) for f in found]


def test_up_is_up_right_is_right_and_far_is_higher():
    up, right, back = drawn([[0, 0, 0], [0, 0, 1]], [[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 1, 0]])
    assert up[1, 0] == pytest.approx(up[0, 0], abs=0.2) and up[1, 1] < up[0, 1] - 50
    assert right[1, 0] > right[0, 0] + 50
    assert back[1, 1] < back[0, 1] - 10


def test_all_of_it_is_in_the_picture():
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 50.0):
        (points,) = drawn(scale * rng.normal(size=(500, 3)))
        assert (points >= 0).all() and (points[:, 0] <= 520).all() and (points[:, 1] <= 300).all()


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((1, 3)), np.full((4, 3), np.nan), np.ones((5, 3))])
def test_a_path_of_anything_is_finite(points):
    assert not re.search(r"\b(nan|inf)\b", space([Path(points, end_dot=True)]))


def test_the_floors_squares_are_round_and_told():
    assert "squares of 0.5 m" in space([Path(np.array([[0, 0, 0], [3.1, 0, 0]]))])
