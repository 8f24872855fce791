"""Whether a Crazyflie may fly, by the rules of its firmware's supervisor (firmware commit 2a18fc299d7b)."""

from __future__ import annotations

import numpy as np

IDLE_RATIO = 0.10
"""a motor above it means to fly"""
FLYING_FOR_MS = 2000
"""after the last of them stood still"""
TUMBLE_G, TUMBLE_MS = 0.5, 1000
UPSIDE_DOWN_G, UPSIDE_DOWN_MS = -0.2, 100


class Supervisor:
    """`step` once a millisecond. A tumble in flight is a crash: motors stop until it is recovered."""

    def __init__(self) -> None:
        self.armed = self.flying = self.tumbled = self.crashed = self.locked = False
        self._spun_ms, self._upright_ms, self._not_over_ms = -FLYING_FOR_MS, 0, 0

    @property
    def can_be_armed(self) -> bool:
        return not (self.armed or self.tumbled or self.crashed or self.locked)

    @property
    def can_fly(self) -> bool:
        return self.armed and not (self.tumbled or self.crashed or self.locked)

    @property
    def bits(self) -> int:
        """The first eight of the bit field that cflib's `Supervisor` reads."""
        flags = (
            self.can_be_armed, self.armed, False, self.can_fly, self.flying, self.tumbled, self.locked, self.crashed
        )  # fmt: skip
        return sum(flag << i for i, flag in enumerate(flags))

    def arm(self, wanted: bool) -> bool:
        """Returns whether it is armed now."""
        self.armed = wanted and (self.armed or self.can_be_armed)
        return self.armed

    def recover(self, upright: bool) -> bool:
        """After a crash, on its legs again; arming is asked anew."""
        if upright and not self.locked:
            self.tumbled = self.crashed = self.armed = False
        return not (self.tumbled or self.crashed or self.locked)

    def emergency_stop(self) -> None:
        """For good: until it is restarted."""
        self.locked = True

    def step(self, time_ms: int, ratios: np.ndarray, up_g: float, *, upright: bool, on_floor: bool) -> None:
        """`ratios` of PWM (4,), `up_g` what the accelerometer feels along the body's z axis, in g."""
        if (ratios > IDLE_RATIO).any():
            self._spun_ms = time_ms
        self.flying = self.armed and time_ms - self._spun_ms < FLYING_FOR_MS
        lying = on_floor and not upright
        self._upright_ms = time_ms if up_g > TUMBLE_G and not lying else self._upright_ms
        self._not_over_ms = time_ms if up_g > UPSIDE_DOWN_G and not lying else self._not_over_ms
        over = time_ms - self._upright_ms >= TUMBLE_MS or time_ms - self._not_over_ms >= UPSIDE_DOWN_MS
        if over and not self.tumbled:
            self.tumbled = True
            self.crashed = self.flying
