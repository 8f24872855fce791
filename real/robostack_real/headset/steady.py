"""What a character is led by when a headset falls silent: hold, then ramp to standing, then back without a jump."""

from __future__ import annotations

import numpy as np

from robostack import quaternion as quat

SILENT_S = 0.1
"""of a pose's age: held meanwhile"""
HOLD_S, RAMP_S, RESUME_S = 0.5, 1.0, 0.5

PoseValue = tuple[np.ndarray, np.ndarray]


class Steady:
    """One part's pose. `stand` is where it is led when nothing is known of it.

    `share` is how much of it is live: it falls from one to nothing over RAMP_S once the pose was silent for SILENT_S and
    HOLD_S, and rises over RESUME_S when it comes back; between, the led pose lies on the way from standing to the last
    live one, so that it never jumps by more than the wearer moved times the share that is left to rise.
    """

    def __init__(self, stand: PoseValue) -> None:
        self.stand, self.share = stand, 0.0
        self._live: PoseValue = stand

    def step(self, live: PoseValue | None, age_s: float, dt_s: float) -> PoseValue:
        """The pose to lead by; `live` is None while none ever came."""
        fresh = live is not None and age_s < SILENT_S
        if fresh:
            assert live is not None
            self._live = live
            self.share = min(1.0, self.share + dt_s / RESUME_S)
        elif live is None or age_s > SILENT_S + HOLD_S:
            self.share = max(0.0, self.share - dt_s / RAMP_S)
        smooth = self.share * self.share * (3.0 - 2.0 * self.share)
        position = self.stand[0] + smooth * (self._live[0] - self.stand[0])
        return position, quat.slerp(self.stand[1], self._live[1], np.asarray(smooth))
