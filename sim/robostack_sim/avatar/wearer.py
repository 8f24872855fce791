"""Who wears the headset: measures, where they stand and look, and their poses away from a T."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robostack import quaternion as quat
from robostack_sim.avatar.motion.clip import Skeleton

PoseValue = tuple[np.ndarray, np.ndarray]
"""(3,) m and (4,) wxyz"""
HANDS = ("left_hand", "right_hand")
WIDTH = 0.22
"""breadth of the shoulders' joints over the height of the eyes (Drillis and Contini, 1966)"""
STILL_M, HELD_S = 0.03, 1.0


@dataclass(frozen=True)
class Wearer:
    """Measures, m."""

    head_m: float
    """height of the tracked point of the head, standing"""
    shoulder_m: float
    """height of the shoulders"""
    arm_m: float
    """from a shoulder to the tracked point of its hand, stretched"""
    width_m: float
    """between the shoulders"""

    @classmethod
    def in_a_t(cls, poses: Mapping[str, PoseValue]) -> Wearer:
        """Of one who stands upright with the arms straight out. Raises ValueError when this is no T."""
        head, left, right = (poses[p][0] for p in ("head", *HANDS))
        height, shoulder = float(head[2]), 0.5 * float(left[2] + right[2])
        span = float(np.linalg.norm((left - right)[:2]))
        level = abs(float(left[2] - right[2])) < 0.15 * height
        if not (
            0.8 < height < 2.4 and 0.6 * height < span < 1.4 * height and 0.65 * height < shoulder < height and level
        ):
            raise ValueError(
                f"this is no T: the head is at {height:.2f} m, the hands are {span:.2f} m apart at {left[2]:.2f} and "
                f"{right[2]:.2f} m; stand upright, arms straight out to the sides"
            )
        width = WIDTH * height
        return cls(height, shoulder, 0.5 * (span - width), width)

    @classmethod
    def of_skeleton(cls, skeleton: Skeleton, parts: Mapping[str, int]) -> Wearer:
        """By its bones, its legs straight down: no T is needed."""
        rest = {p: skeleton.rest_m()[i] for p, i in parts.items()}

        def along(*names: str) -> float:
            return float(sum(np.linalg.norm(rest[b] - rest[a]) for a, b in itertools.pairwise(names)))

        hips = along("left_hip", "left_knee", "left_foot") + ankle_m(rest)
        above = hips - rest["left_hip"][2]
        return cls(
            float(rest["head"][2] + above),
            float(0.5 * (rest["left_shoulder"][2] + rest["right_shoulder"][2]) + above),
            along("left_shoulder", "left_elbow", "left_hand"),
            along("left_shoulder", "right_shoulder"),
        )


def ankle_m(rest: Mapping[str, np.ndarray]) -> float:
    """Height of an ankle over its toes, of a skeleton's parts (3,)."""
    return float(max(rest["left_foot"][2] - rest["left_toes"][2], 0.0))


@dataclass(frozen=True)
class Calibration:
    """Takes poses from the room to a wearer who stands at the origin, nose along x, turns to those away from a T."""

    wearer: Wearer
    origin_m: np.ndarray
    """(3,) on the floor of the room, below the head"""
    heading: np.ndarray
    """(4,) of the nose in the room, about z"""
    at_rest: Mapping[str, np.ndarray]
    """(4,) of each device in the T, in the wearer's frame"""
    swapped: bool = False
    """what is sent as the left hand was on the right: they change places"""

    @classmethod
    def of(cls, poses: Mapping[str, PoseValue]) -> Calibration:
        """Raises ValueError when this is no T, or a device was not seen."""
        for part in ("head", *HANDS):
            if part not in poses:
                raise ValueError(f"no {part.replace('_', ' ')} was seen yet")
        head_m, head_turn = poses["head"]
        heading = about_up(float(quat.yaw(head_turn)))
        origin = head_m * np.array([1.0, 1.0, 0.0])
        there = {p: _seen_from(origin, heading, pose) for p, pose in poses.items()}
        swapped = bool(there["left_hand"][0][1] < there["right_hand"][0][1])
        if swapped:
            there |= {"left_hand": there["right_hand"], "right_hand": there["left_hand"]}
        return cls(Wearer.in_a_t(there), origin, heading, {p: q for p, (_, q) in there.items()}, swapped)

    def poses(self, poses: Mapping[str, PoseValue]) -> dict[str, PoseValue]:
        """Of the wearer's parts, away from the T."""
        found = {}
        for part, pose in poses.items():
            if self.swapped and part in HANDS:
                part = HANDS[part == "left_hand"]  # noqa: PLW2901
            place, turn = _seen_from(self.origin_m, self.heading, pose)
            found[part] = place, quat.multiply(turn, quat.inverse(self.at_rest[part]))
        return found


def about_up(angle_rad: float) -> np.ndarray:
    """(4,) a turn about z."""
    return np.array([np.cos(0.5 * angle_rad), 0.0, 0.0, np.sin(0.5 * angle_rad)])


def _seen_from(origin: np.ndarray, heading: np.ndarray, pose: PoseValue) -> PoseValue:
    back = quat.inverse(heading)
    return quat.rotate(back, pose[0] - origin), quat.multiply(back, pose[1])


class TPose:
    """Watches for a T that is held still for a second."""

    def __init__(self) -> None:
        self._held: Mapping[str, PoseValue] | None = None
        self._since_s = 0.0
        self.missing = "stand in a T: upright, arms straight out to the sides"
        """what has to happen yet, for the wearer to read"""

    def step(self, poses: Mapping[str, PoseValue], dt_s: float) -> Calibration | None:
        """The calibration, once there is one."""
        try:
            found = Calibration.of(poses)
        except ValueError as error:
            self.missing, self._held = str(error), None
            return None
        if self._held is None or any(np.abs(poses[p][0] - self._held[p][0]).max() > STILL_M for p in found.at_rest):
            self._held, self._since_s = dict(poses), 0.0
        self._since_s += dt_s
        self.missing = f"hold still for {max(0.0, HELD_S - self._since_s):.1f} s more"
        return found if self._since_s >= HELD_S else None
