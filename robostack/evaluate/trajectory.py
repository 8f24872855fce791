"""What a flight is asked to follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Reference = tuple[np.ndarray, np.ndarray, np.ndarray]
"""position (m), velocity (m/s), acceleration (m/s2), each (3,), world, from where it starts"""


class Trajectory(Protocol):
    name: str

    def at(self, time_s: float) -> Reference: ...


@dataclass(frozen=True)
class Hover:
    """Stay."""

    name = "hover"

    def at(self, time_s: float) -> Reference:
        return np.zeros(3), np.zeros(3), np.zeros(3)


@dataclass(frozen=True)
class FigureEight:
    """Lissajous, 2 x 1 m, in its plane; its pace rises linearly over `ramp_s`.

    position = amplitude sin(frequency s(t)), s(t) = t^2 / (2 ramp) on the ramp and t - ramp / 2 after it.
    """

    period_s: float = 5.5
    amplitude_m: tuple[float, float] = (1.0, 0.5)
    ramp_s: float = 2.0
    name = "figure_eight"

    def at(self, time_s: float) -> Reference:
        on_ramp = min(time_s, self.ramp_s)
        pace = on_ramp / self.ramp_s
        s = time_s - on_ramp + 0.5 * on_ramp * pace
        gain = 1.0 / self.ramp_s if time_s < self.ramp_s else 0.0
        position, velocity, acceleration = np.zeros(3), np.zeros(3), np.zeros(3)
        for axis, (a, w) in enumerate(
            zip(self.amplitude_m, (2.0 * math.pi / self.period_s, 4.0 * math.pi / self.period_s), strict=True)
        ):
            position[axis] = a * math.sin(w * s)
            velocity[axis] = a * w * pace * math.cos(w * s)
            acceleration[axis] = a * w * (gain * math.cos(w * s) - w * pace**2 * math.sin(w * s))
        return position, velocity, acceleration
