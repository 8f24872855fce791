"""The newest pose of head and hands, with its age; whoever receives puts, whoever drives a character reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from robostack import quaternion as quat
from robostack_real.headset.steady import SILENT_S

TRACKED = ("head", "left_hand", "right_hand")
TOGETHER_S = 0.007
"""within which the parts of one frame come, where each is sent by itself: half a period of a headset of 72 Hz"""


@dataclass(frozen=True)
class Pose:
    """In the tracking space: x ahead, y left, z up, floor at 0."""

    position_m: np.ndarray
    rotation: np.ndarray
    """(4,) wxyz"""
    age_s: float
    """since it arrived"""


class Headset(Protocol):
    """Enter it to receive. `read` never waits and may be asked as often as one likes."""

    where: str

    def read(self) -> Mapping[str, Pose]:
        """Of what was seen at all. Raises ConnectionError when nothing can come any more."""

    def wait(self, seconds: float) -> int:
        """Until the next frame, head and hands together, or so long. How many came since the last time: 0 when it is
        silent, above 1 when some were passed over."""

    def told(self) -> list[str]:
        """What went wrong since it was last asked, a line each."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


class Newest:
    """Poses as they arrive, from any thread. What is no pose is counted, said once a second, and changes nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poses: dict[str, tuple[np.ndarray, np.ndarray, float]] = {}
        self._said: list[str] = []
        self._said_at: dict[str, float] = {}
        self._fresh: set[str] = set()
        self._frames = 0
        self._frame = threading.Event()
        self.refused = 0

    def put(self, part: str, position_m: np.ndarray, rotation: np.ndarray) -> None:
        try:
            if not np.isfinite(position_m).all():
                raise ValueError("a position is no number")
            turn = quat.normalise(np.asarray(rotation, float))
        except ValueError as error:
            self.refused += 1
            self.say(f"{part}: {error}; the last one holds")
            return
        with self._lock:
            now = time.monotonic()
            self._poses[part] = np.asarray(position_m, float), turn, now
            self._fresh.add(part)
            live = {p: now - at for p, (_, _, at) in self._poses.items() if now - at < SILENT_S}
            if self._fresh >= live.keys() and max(live.values()) < TOGETHER_S:
                self._fresh.clear()
                self._frames += 1
                self._frame.set()

    def wait(self, seconds: float) -> int:
        """As a `Headset` does. A frame has come when all that is live has come anew, and together."""
        self._frame.wait(seconds)
        with self._lock:
            self._frame.clear()
            found, self._frames = self._frames, 0
        return found

    def say(self, line: str) -> None:
        """Once a second at most, each."""
        now = time.monotonic()
        with self._lock:
            if now - self._said_at.get(line, -1.0) >= 1.0:
                self._said_at[line] = now
                self._said.append(line)

    def read(self) -> dict[str, Pose]:
        now = time.monotonic()
        with self._lock:
            return {part: Pose(p, q, now - at) for part, (p, q, at) in self._poses.items()}

    def told(self) -> list[str]:
        with self._lock:
            found, self._said = self._said, []
        return found


class Listening:
    """A `Headset` that keeps the newest of what it hears."""

    def __init__(self) -> None:
        self._newest = Newest()

    def read(self) -> Mapping[str, Pose]:
        return self._newest.read()

    def wait(self, seconds: float) -> int:
        return self._newest.wait(seconds)

    def told(self) -> list[str]:
        return self._newest.told()
