"""Claims: our few quaternion formulas are those of scipy, and safe at their borders."""

from __future__ import annotations

import numpy as np
import pytest

from robostack import quaternion as quat

Rotation = pytest.importorskip("scipy.spatial.transform").Rotation


@pytest.fixture
def turns() -> np.ndarray:
    return quat.normalise(np.random.default_rng(1).normal(size=(50, 4)))


def theirs(q: np.ndarray) -> object:
    return Rotation.from_quat(q, scalar_first=True)


def same(a: np.ndarray, b: np.ndarray) -> None:
    assert np.abs((a * b).sum(-1)) == pytest.approx(1.0)


def test_product_turn_and_vector_are_scipys(turns):
    vector = np.random.default_rng(2).normal(size=(50, 3))
    other = turns[::-1]
    same(quat.multiply(turns, other), (theirs(turns) * theirs(other)).as_quat(scalar_first=True))
    assert quat.rotate(turns, vector) == pytest.approx(theirs(turns).apply(vector))
    assert quat.to_rotation_vector(turns) == pytest.approx(theirs(turns).as_rotvec())
    same(quat.from_rotation_vector(quat.to_rotation_vector(turns)), turns)


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YX", "Z"])
def test_euler_angles_are_about_axes_as_the_turn_before_left_them(order):
    angle = np.random.default_rng(3).uniform(-3, 3, size=(20, len(order)))
    same(quat.from_euler(order, angle), Rotation.from_euler(order, angle).as_quat(scalar_first=True))


def test_half_way_is_half_the_angle_and_the_short_way_round(turns):
    half = quat.slerp(turns[:-1], -turns[1:], np.full(49, 0.5))
    whole = np.linalg.norm(quat.to_rotation_vector(quat.multiply(quat.inverse(turns[:-1]), turns[1:])), axis=-1)
    there = np.linalg.norm(quat.to_rotation_vector(quat.multiply(quat.inverse(turns[:-1]), half)), axis=-1)
    assert there == pytest.approx(0.5 * whole)
    assert (whole <= np.pi + 1e-9).all()


def test_a_quaternion_without_length_is_refused():
    for bad in (np.zeros(4), np.array([np.nan, 0, 0, 0])):
        with pytest.raises(ValueError, match="no length"):
            quat.normalise(np.stack([quat.IDENTITY, bad]))
    assert quat.normalise(np.array([2.0, 0, 0, 0])) == pytest.approx(quat.IDENTITY)
    assert quat.to_rotation_vector(quat.IDENTITY) == pytest.approx(np.zeros(3))
