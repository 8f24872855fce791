"""What a Crazyflie is asked to do, by the rules of its firmware's commander (firmware commit 2a18fc299d7b).

Low-level setpoints (one packet, one setpoint) go before high-level commands (take off, go to, land) until they are
said to have stopped. When they stop without a word, the machine levels out after half a second and stops after two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robostack_real.twins.crazyflie_app import Mode, Setpoint, position_setpoint

LEVEL_OUT_MS, STOP_MS = 500, 2000


@dataclass(frozen=True)
class Plan:
    """A way from rest to rest by a polynomial of degree 7, which starts and ends without acceleration and jerk."""

    start_m: np.ndarray
    goal_m: np.ndarray
    yaw_rad: float
    start_ms: int
    duration_ms: int
    lands: bool = False

    def at(self, time_ms: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position (m), velocity (m/s) and acceleration (m/s2), each (3,), world."""
        x = min(max((time_ms - self.start_ms) / self.duration_ms, 0.0), 1.0)
        way, per_s = self.goal_m - self.start_m, 1000.0 / self.duration_ms
        done = x**4 * (35.0 - 84.0 * x + 70.0 * x**2 - 20.0 * x**3)
        speed = 140.0 * x**3 * (1.0 - x) ** 3
        gain = 420.0 * x**2 * (1.0 - x) ** 2 * (1.0 - 2.0 * x)
        return self.start_m + done * way, speed * per_s * way, gain * per_s**2 * way

    def finished(self, time_ms: int) -> bool:
        return time_ms >= self.start_ms + self.duration_ms


class Commander:
    """`setpoint(...)` once a millisecond; the other methods are what packets ask for."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self._low: Setpoint | None = None
        """the newest low-level setpoint, while those rule"""

    @property
    def high_level_rules(self) -> bool:
        return self._low is None and self.plan is not None

    def plan_finished(self, time_ms: int) -> bool:
        return self.plan is not None and self.plan.finished(time_ms)

    def take_low_level(self, setpoint: Setpoint, time_ms: int) -> None:
        setpoint.timestamp = time_ms
        self._low = setpoint

    def low_level_stopped(self) -> None:
        """High-level commands rule again."""
        self._low = None

    def go(
        self, goal_m: np.ndarray, yaw_rad: float, duration_s: float, at_m: np.ndarray, time_ms: int, lands: bool = False
    ) -> None:
        """A way to `goal_m` from where the plan is, or from `at_m`, where the machine is, if it follows none."""
        start = self.plan.at(time_ms)[0] if self.plan is not None and self._low is None else at_m
        self.plan = Plan(start, goal_m, yaw_rad, time_ms, max(1, round(1000.0 * duration_s)), lands)

    def stop(self) -> None:
        """Motors off, whoever rules."""
        self.plan, self._low = None, None

    def setpoint(self, time_ms: int) -> Setpoint:
        """What the controller gets; stops the motors where nobody asks for anything."""
        if self._low is not None:
            return self._watched(self._low, time_ms)
        if self.plan is None or (self.plan.lands and self.plan.finished(time_ms)):
            self.plan = None
            return Setpoint(timestamp=time_ms)
        position, velocity, acceleration = self.plan.at(time_ms)
        x, y, z = position.tolist()
        made = position_setpoint(x, y, z, float(np.degrees(self.plan.yaw_rad)), time_ms)
        for field, value in ((made.velocity, velocity), (made.acceleration, acceleration)):
            field.x, field.y, field.z = map(float, value)
        return made

    def _watched(self, setpoint: Setpoint, time_ms: int) -> Setpoint:
        age_ms = time_ms - setpoint.timestamp
        if age_ms > STOP_MS:
            self.stop()
            return Setpoint(timestamp=time_ms)
        if age_ms > LEVEL_OUT_MS:
            level = Setpoint.from_buffer_copy(setpoint)
            level.mode.x = level.mode.y = Mode.DISABLE
            level.mode.roll = level.mode.pitch = Mode.ABS
            level.mode.yaw = Mode.VELOCITY
            level.attitude.roll = level.attitude.pitch = level.attitude_rate.yaw = 0.0
            return level
        return setpoint
