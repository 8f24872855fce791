"""A stick figure of who wears the headset: head and hands as they are, the rest as it may well be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robostack import quaternion as quat
from robostack_sim.avatar.wearer import HANDS, PoseValue, Wearer, about_up

HIPS, FOOT_APART = 0.566, 0.09
"""height of the hips, and of a foot's way from the middle, over the height of the eyes (Drillis and Contini, 1966)"""


def figure(wearer: Wearer, poses: Mapping[str, PoseValue]) -> np.ndarray:
    """(14, 2, 3) m ends of its bones; `poses` of head and hands of a wearer who stood at the origin, nose along x.

    The trunk hangs from the head and faces as it does, the feet stand below. Elbows and knees bend as far as a hand is
    near its shoulder and the hips are low, backwards and ahead.
    """
    head, turn = poses["head"]
    heading = about_up(float(quat.yaw(turn)))
    ahead, left, up = (quat.rotate(heading, axis) for axis in np.eye(3))
    neck = head - (wearer.head_m - wearer.shoulder_m) * up
    hips = neck - (wearer.shoulder_m - HIPS * wearer.head_m) * up
    bones = [(head, neck), (neck, hips)]
    for hand, side in zip(HANDS, (1.0, -1.0), strict=True):
        shoulder = neck + 0.5 * side * wearer.width_m * left
        hip = hips + side * FOOT_APART * wearer.head_m * left
        foot = hip * [1.0, 1.0, 0.0]
        elbow = _bent(shoulder, poses[hand][0], wearer.arm_m, -ahead - up)
        knee = _bent(hip, foot, HIPS * wearer.head_m, ahead)
        bones += [(neck, shoulder), (shoulder, elbow), (elbow, poses[hand][0]), (hips, hip), (hip, knee), (knee, foot)]
    return np.array(bones)


def _bent(start: np.ndarray, end: np.ndarray, length_m: float, towards: np.ndarray) -> np.ndarray:
    """(3,) the joint in the middle of a limb of two halves, on the side of `towards`."""
    way = end - start
    far = float(np.linalg.norm(way))
    aside = towards - way * (towards @ way) / max(far**2, 1e-12)
    off = 0.5 * np.sqrt(max(0.0, length_m**2 - far**2))
    return np.asarray(start + 0.5 * way + off * aside / max(float(np.linalg.norm(aside)), 1e-9))
