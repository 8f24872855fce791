"""Which mode a PX4 is in and whether it is armed, by the rules of its Commander as its documentation gives them.

OFFBOARD wants a stream of setpoints of more than 2 Hz for a second before, and is lost when none came for
COM_OF_LOSS_T; COM_OBL_RC_ACT says what then. Hold wants a global position, take-off and landing a local one.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from robostack_real.link.mavlink import dialect
from robostack_real.link.px4_modes import Mode

SLOWEST_S, STREAM_S = 0.5, 1.0
AFTER_LOSS = {0: Mode.POSITION, 1: Mode.ALTITUDE, 2: Mode.STABILIZED, 3: Mode.RETURN, 4: Mode.LAND, 5: Mode.HOLD}
"""by COM_OBL_RC_ACT; 6 terminates, 7 disarms"""
STICKS = (Mode.POSITION, Mode.ALTITUDE, Mode.STABILIZED, Mode.MANUAL, Mode.ACRO)


class Commander:
    """`step` once a period; the other methods are what commands ask for. They return a MAV_RESULT."""

    def __init__(self, parameters: MutableMapping[str, float]) -> None:
        self._parameters = parameters
        self.mode, self.armed, self.flying, self.failsafe = Mode.POSITION, False, False, False
        self.ready, self.has_global_position, self.has_pilot = True, True, False
        """passes its own checks; can hold; somebody at the sticks"""
        self.said: list[str] = []
        """what goes out as STATUSTEXT"""
        self._stream_began_s = self._last_setpoint_s = -1e9
        self._down_s: float | None = None

    def arm(self, wanted: bool, force: bool = False) -> int:
        if wanted and not self.ready and not force:
            self.said.append("Arming denied: Resolve system health failures first")
            return int(dialect.MAV_RESULT_TEMPORARILY_REJECTED)
        if not wanted and self.flying and not force:
            self.said.append("Disarming denied: not landed")
            return int(dialect.MAV_RESULT_DENIED)
        self.armed, self._down_s = wanted, None
        if not wanted:
            self.failsafe = False
        return int(dialect.MAV_RESULT_ACCEPTED)

    def take_off(self, time_s: float) -> int:
        if not self.armed:
            return int(dialect.MAV_RESULT_TEMPORARILY_REJECTED)
        return self.set_mode(Mode.TAKEOFF, time_s)

    def set_mode(self, mode: Mode, time_s: float) -> int:
        if mode is Mode.OFFBOARD and not self.offboard_possible(time_s):
            self.said.append("Switching to mode 'Offboard' is currently not possible: no offboard signal")
            return int(dialect.MAV_RESULT_TEMPORARILY_REJECTED)
        if mode is Mode.HOLD and not self.has_global_position:
            self.said.append("Switching to mode 'Hold' is currently not possible: no global position")
            return int(dialect.MAV_RESULT_TEMPORARILY_REJECTED)
        self.mode, self.failsafe = mode, False
        return int(dialect.MAV_RESULT_ACCEPTED)

    def setpoint(self, time_s: float) -> None:
        """One came from outside."""
        if time_s - self._last_setpoint_s > SLOWEST_S:
            self._stream_began_s = time_s
        self._last_setpoint_s = time_s

    def offboard_possible(self, time_s: float) -> bool:
        streams = time_s - self._last_setpoint_s <= SLOWEST_S
        return streams and self._last_setpoint_s - self._stream_began_s >= STREAM_S

    def step(self, time_s: float, *, on_floor: bool, at_height: bool) -> None:
        """`at_height`: a take-off has reached its altitude."""
        if self.mode is Mode.TAKEOFF and at_height:
            self.mode = Mode.HOLD if self.has_global_position else Mode.TAKEOFF
        if self.mode is Mode.OFFBOARD and time_s - self._last_setpoint_s > self._parameters["COM_OF_LOSS_T"]:
            self._lose_offboard()
        self.flying = self.armed and (not on_floor or self.mode is Mode.TAKEOFF)
        self._disarm_on_the_floor(time_s, on_floor)

    def _lose_offboard(self) -> None:
        act = int(self._parameters["COM_OBL_RC_ACT"])
        self.failsafe = True
        self.said.append("Offboard signal lost")
        if act in (6, 7):
            self.armed = False
            return
        mode = AFTER_LOSS[act]
        if mode in STICKS and not self.has_pilot:
            mode = Mode.HOLD
        self.mode = Mode.LAND if mode is Mode.HOLD and not self.has_global_position else mode

    def _disarm_on_the_floor(self, time_s: float, on_floor: bool) -> None:
        if not (self.armed and on_floor and self.mode is Mode.LAND):
            self._down_s = None
            return
        self._down_s = time_s if self._down_s is None else self._down_s
        if time_s - self._down_s >= self._parameters["COM_DISARM_LAND"]:
            self.armed = False
