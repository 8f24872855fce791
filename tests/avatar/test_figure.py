"""Claims: the stick figure of a wearer has its hands where they are, its bones as long as they are, and its feet on the
floor."""

from __future__ import annotations

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_sim.avatar.figure import figure
from robostack_sim.avatar.wearer import Wearer

WEARER = Wearer(head_m=1.6, shoulder_m=1.35, arm_m=0.6, width_m=0.36)


@pytest.mark.parametrize("yaw_rad", [0.0, 2.0])
@pytest.mark.parametrize("head_m", [1.6, 1.2])
def test_hands_and_head_are_where_they_are_and_limbs_keep_their_lengths(yaw_rad, head_m):
    turn = quat.from_rotation_vector(np.array([0.0, 0.0, yaw_rad]))
    place = {"head": (0.0, 0.0, head_m), "left_hand": (0.3, 0.3, 1.1), "right_hand": (0.1, -0.5, 1.2)}
    poses = {p: (quat.rotate(turn, np.array(x)), turn) for p, x in place.items()}
    bones = quat.rotate(quat.inverse(turn), figure(WEARER, poses))
    length = np.linalg.norm(bones[:, 1] - bones[:, 0], axis=-1)
    assert bones[0, 0] == pytest.approx(place["head"])
    for first, hand, side in ((2, "left_hand", 1.0), (8, "right_hand", -1.0)):
        neck, upper, lower, _, thigh, shin = range(first, first + 6)
        assert bones[neck, 1, 1] == pytest.approx(side * 0.18) and bones[lower, 1] == pytest.approx(place[hand])
        assert (length[upper], length[lower]) == pytest.approx((0.3, 0.3))
        assert bones[shin, 1, 2] == 0.0 and length[thigh] == pytest.approx(length[shin])
        assert length[thigh] + length[shin] == pytest.approx(0.566 * 1.6)
        assert bones[thigh, 1, 0] > -1e-9, "knees bend ahead"
        assert bones[upper, 1, 0] < 0.2, "elbows do not"


def test_a_hand_out_of_reach_is_reached_by_a_straight_arm():
    place = {"head": (0.0, 0.0, 1.6), "left_hand": (0.0, 1.5, 1.35), "right_hand": (0.0, -0.5, 1.2)}
    poses = {p: (np.array(x), quat.IDENTITY) for p, x in place.items()}
    bones = figure(WEARER, poses)
    assert bones[3, 1] == pytest.approx(0.5 * (bones[3, 0] + bones[4, 1])) and np.isfinite(bones).all()
