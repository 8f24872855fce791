"""What a character is led by when a headset falls silent: hold, then ramp to standing, then back without a jump."""

from __future__ import annotations

from enum import Enum

import numpy as np

from robostack import quaternion as quat

SILENT_S = 0.1
"""of a pose's age: held from then on"""
HOLD_S, RAMP_S, RESUME_S = 0.5, 1.0, 0.5

PoseValue = tuple[np.ndarray, np.ndarray]


class Lead(Enum):
    """Seconds that it takes to get there from wherever the part is led when it begins."""

    LIVE = RESUME_S
    HOLD = float("inf")
    STAND = RAMP_S


class Steady:
    """One part's pose, (3,) and (4,) wxyz. `stand` is where it is led while nothing is known of it."""

    def __init__(self, stand: PoseValue) -> None:
        self.stand = self.led = stand
        self.lead = Lead.STAND
        self._from, self._since_s = stand, 0.0

    def step(self, live: PoseValue | None, age_s: float, dt_s: float) -> PoseValue:
        """The pose to lead by; `live` is None while none ever came."""
        if live is not None and age_s < SILENT_S:
            lead, goal = Lead.LIVE, live
        elif live is not None and age_s < SILENT_S + HOLD_S and self.lead is not Lead.STAND:
            lead, goal = Lead.HOLD, self.led
        else:
            lead, goal = Lead.STAND, self.stand
        if lead is not self.lead:
            self.lead, self._from, self._since_s = lead, self.led, 0.0
        self._since_s += dt_s
        share = min(1.0, self._since_s / lead.value)
        smooth = share * share * (3.0 - 2.0 * share)
        position = self._from[0] + smooth * (goal[0] - self._from[0])
        self.led = position, quat.slerp(self._from[1], goal[1], np.asarray(smooth))
        return self.led
