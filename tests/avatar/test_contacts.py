"""Claims: who stands is seen to stand, who walks lifts a foot, and nobody is below the floor afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_sim.avatar.motion.clip import Clip
from robostack_sim.avatar.motion.contacts import contacts, on_floor, skate_m_s
from robostack_sim.avatar.motion.parts import FEET, parts_of


def feet(clip: Clip) -> list[int]:
    return [parts_of(clip.skeleton)[f] for f in FEET]


@pytest.fixture
def marching(waving: Clip) -> Clip:
    """Lifts the left thigh once a second, half of the time."""
    time = np.arange(len(waving)) / waving.rate_hz
    angle = -0.8 * np.maximum(0.0, np.sin(2.0 * np.pi * time))
    rotation = waving.rotation.copy()
    for joint, share in (("LeftUpLeg", 1.0), ("LeftLeg", -2.0), ("LeftFoot", 1.0)):
        rotation[:, waving.skeleton.index(joint)] = quat.from_rotation_vector(np.outer(share * angle, [0.0, 1.0, 0.0]))
    return replace(waving, rotation=rotation)


def test_who_stands_stands_on_both_feet_and_does_not_skate(waving):
    assert contacts(waving, feet(waving)).all()
    assert skate_m_s(waving, feet(waving)) == 0.0


def test_a_lifted_foot_does_not_stand_while_it_is_up(marching):
    found = contacts(marching, feet(marching))
    height = marching.position_m[:, feet(marching)[0], 2]
    assert found[:, 2:].all(), "the right foot"
    assert not found[height > height.min() + 0.05, 0].any()
    assert 0.3 < found[:, 0].mean() < 0.7


@pytest.mark.parametrize("off_m", [-0.3, 0.0, 0.2])
def test_standing_feet_are_put_on_the_floor(marching, off_m):
    placed = on_floor(marching.lifted(np.array(off_m)), feet(marching), sole_m=0.02)
    lowest = placed.position_m[:, feet(placed), 2].min(1)
    assert lowest.min() > 0.0199 and np.median(lowest) == pytest.approx(0.02, abs=2e-3)


def test_a_foot_that_sinks_for_a_moment_is_lifted_and_smoothly(waving):
    time = np.arange(len(waving)) / waving.rate_hz
    sunk = waving.lifted(-0.05 * np.exp(-(((time - 2.0) / 0.1) ** 2)))
    placed = on_floor(sunk, feet(waving))
    assert placed.position_m[:, feet(waving), 2].min() > 0.0199
    speed = np.abs(np.diff(placed.root_m[:, 2])).max() * waving.rate_hz
    assert speed <= np.abs(np.diff(sunk.root_m[:, 2])).max() * waving.rate_hz
