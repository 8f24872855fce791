"""A recorded motion as somebody would send it who puts a headset on: a T, the motion, and back to the T."""

from __future__ import annotations

import numpy as np

from robostack import quaternion as quat
from robostack_real.headset.poses import TRACKED
from robostack_sim.avatar.motion.reading import named
from robostack_sim.avatar.reference import worn
from robostack_sim.avatar.wearer import Calibration, PoseValue

T_S, WAY_S = 2.0, 1.0
"""for which the T is held, and in which one gets from it to where the motion begins, and back from its end"""


def as_sent(motion: str, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """(T, 3, 3) and (T, 3, 4) of head, left and right hand; the end leads back to the beginning.

    `motion` is a file, or one that comes along. Raises MotionError.
    """
    tracked, calibration = worn(named(motion), rate_hz)
    place, turn = (np.stack(found) for found in zip(*(in_a_t(calibration)[p] for p in TRACKED), strict=True))
    hold, way = round(T_S * rate_hz), round(WAY_S * rate_hz)
    share = (np.arange(way) / way)[:, None]
    share = share * share * (3.0 - 2.0 * share)

    def between(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return a[0] + share[..., None] * (b[0] - a[0]), quat.slerp(a[1], b[1], np.repeat(share, len(TRACKED), 1))

    first, last = ((tracked.position_m[k], tracked.rotation[k]) for k in (0, -1))
    ways = between((place, turn), first), between(last, (place, turn))
    positions = np.tile(place, (hold, 1, 1)), ways[0][0], tracked.position_m, ways[1][0]
    rotations = np.tile(turn, (hold, 1, 1)), ways[0][1], tracked.rotation, ways[1][1]
    return np.concatenate(positions), np.concatenate(rotations)


def in_a_t(calibration: Calibration) -> dict[str, PoseValue]:
    """In the room, of who stands in a T and is to be calibrated so."""
    w = calibration.wearer
    reach = 0.5 * w.width_m + w.arm_m
    place = {"head": (0.0, 0.0, w.head_m), "left_hand": (0.0, reach, w.shoulder_m),
             "right_hand": (0.0, -reach, w.shoulder_m)}  # fmt: skip
    return {
        part: (
            calibration.origin_m + quat.rotate(calibration.heading, np.array(there)),
            quat.multiply(calibration.heading, calibration.at_rest[part]),
        )
        for part, there in place.items()
    }
