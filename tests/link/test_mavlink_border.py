"""Claims: what crosses the border to NED and FRD comes back, and where a nose looked at take-off is ahead."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostack_real.link.mavlink_border import Border, heading, multiply, rates

ANGLE = st.floats(-math.pi, math.pi)
VECTOR = st.tuples(*[st.floats(-50, 50)] * 3).map(np.array)
QUATERNION = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)
BORDER = st.builds(Border, ANGLE, st.tuples(*[st.floats(-50, 50)] * 3))


def unit(q: object) -> np.ndarray:
    q = np.array(q)
    return q / np.linalg.norm(q)


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    return multiply(multiply(q, np.array([0.0, *v])), q * [1, -1, -1, -1])[1:]


@given(BORDER, VECTOR, QUATERNION)
def test_everything_comes_back(border: Border, v: np.ndarray, q: tuple[float, ...]) -> None:
    assert border.position(border.position_ned(v)) == pytest.approx(v, abs=1e-9)
    assert border.vector(border.vector_ned(v)) == pytest.approx(v, abs=1e-9)
    assert border.attitude(border.attitude_ned(unit(q))) == pytest.approx(unit(q), abs=1e-12)
    assert rates(rates(v)) == pytest.approx(v)


@given(BORDER, VECTOR, QUATERNION)
def test_a_vector_of_the_body_is_the_same_one_in_both_worlds(
    border: Border, v: np.ndarray, q: tuple[float, ...]
) -> None:
    """v in FRD, turned into NED and taken across, is v in FLU turned by the attitude that came across."""
    there = rotate(unit(q), v)
    here = rotate(border.attitude(unit(q)), rates(v))
    assert border.vector(there) == pytest.approx(here, abs=1e-9)


@given(ANGLE)
def test_a_nose_that_looks_where_it_took_off_is_level_and_ahead_here(angle: float) -> None:
    q = np.array([math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)])
    assert math.cos(heading(q) - angle) == pytest.approx(1.0)
    assert np.abs(Border(heading(q)).attitude(q)) == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-9)


def test_the_signs_are_the_ones_of_the_books() -> None:
    east = Border(math.pi / 2)  # x looks east: ENU
    assert east.vector(np.array([1.0, 2.0, 3.0])) == pytest.approx([2.0, 1.0, -3.0])
    assert rates(np.array([1.0, 2.0, 3.0])) == pytest.approx([1.0, -2.0, -3.0])
    assert Border(0.0, (1.0, 2.0, -3.0)).position(np.array([2.0, 2.0, -5.0])) == pytest.approx([1.0, 0.0, 2.0])
