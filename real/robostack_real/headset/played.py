"""A recorded motion as if somebody wore the headset now: what a demonstration and a test are driven by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self

import numpy as np

from robostack_real.headset.poses import TRACKED, Pose


class PlayedHeadset:
    """`time_s` (T,), `position_m` (T, 3, 3), `rotation` (T, 3, 4) and `seen` (T, 3) of head, left and right hand.

    Begins when it is entered, or anew by `begin`. After the end nothing arrives any more; `over` says so.
    """

    def __init__(
        self, where: str, time_s: np.ndarray, position_m: np.ndarray, rotation: np.ndarray, seen: np.ndarray
    ) -> None:
        self.where = where
        self._time_s, self._position_m, self._rotation = time_s, position_m, rotation
        arrival = np.where(seen, time_s[:, None], -np.inf)
        self._arrival_s = np.maximum.accumulate(arrival, axis=0)
        """(T, 3) when what holds at each sample arrived"""

    def begin(self) -> None:
        self._began = time.monotonic()

    @property
    def over(self) -> bool:
        return time.monotonic() - self._began > self._time_s[-1]

    def read(self) -> Mapping[str, Pose]:
        return self.at(time.monotonic() - self._began)

    def at(self, now_s: float) -> dict[str, Pose]:
        """As it would be read so long after it began."""
        k = int(np.searchsorted(self._time_s, now_s, side="right")) - 1
        if k < 0:
            return {}
        return {
            part: Pose(self._position_m[k, i], self._rotation[k, i], now_s - float(self._arrival_s[k, i]))
            for i, part in enumerate(TRACKED)
            if np.isfinite(self._arrival_s[k, i])
        }

    def told(self) -> list[str]:
        return []

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *exc: object) -> None: ...
