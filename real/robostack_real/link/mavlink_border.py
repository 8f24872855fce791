"""The border to MAVLink: NED and FRD there, a level frame ahead-left-up and FLU here. One place, with a round trip.

A policy keeps its nose along x, so x is where the nose pointed at take-off: the frame here is ENU turned about up, with
its origin where the machine stood. A rotation of half a turn about the first axis makes FRD of FLU; NED is N, W, up
flipped the same way. Quaternions are (w, x, y, z), Hamilton, body to world, on both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robostack.quaternion import multiply

FLIP = np.array([1.0, -1.0, -1.0])
"""FRD and FLU, or NED and north-west-up, one from the other"""


@dataclass(frozen=True)
class Border:
    """`heading_rad` of the nose, clockwise from north, and `origin_ned_m` (3,) of the frame here."""

    heading_rad: float = 0.0
    origin_ned_m: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def position(self, ned_m: np.ndarray) -> np.ndarray:
        return self.vector(np.asarray(ned_m) - self.origin_ned_m)

    def position_ned(self, position_m: np.ndarray) -> np.ndarray:
        return self.vector_ned(position_m) + self.origin_ned_m

    def vector(self, ned: np.ndarray) -> np.ndarray:
        """(3,) north, east, down to ahead, left, up."""
        return _about_up(self.heading_rad, FLIP * ned)

    def vector_ned(self, vector: np.ndarray) -> np.ndarray:
        return FLIP * _about_up(-self.heading_rad, np.asarray(vector))

    def attitude(self, frd_to_ned_wxyz: np.ndarray) -> np.ndarray:
        """Body FLU to the frame here."""
        half = 0.5 * self.heading_rad
        turn = np.array([math.cos(half), 0.0, 0.0, math.sin(half)])
        return multiply(turn, np.array([1.0, *FLIP]) * frd_to_ned_wxyz)

    def attitude_ned(self, attitude_wxyz: np.ndarray) -> np.ndarray:
        """Body FRD to NED."""
        half = -0.5 * self.heading_rad
        turn = np.array([math.cos(half), 0.0, 0.0, math.sin(half)])
        return np.array([1.0, *FLIP]) * multiply(turn, np.asarray(attitude_wxyz))


def rates(frd: np.ndarray) -> np.ndarray:
    """(3,) body rates FRD to FLU, and back."""
    flipped: np.ndarray = FLIP * frd
    return flipped


def heading(frd_to_ned_wxyz: np.ndarray) -> float:
    """Of the nose, rad clockwise from north."""
    w, x, y, z = frd_to_ned_wxyz
    return math.atan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z)


def _about_up(angle_rad: float, v: np.ndarray) -> np.ndarray:
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]])
