"""A recorded motion as if somebody wore the headset now: what a demonstration and a test are driven by; and how what a
headset sends becomes a recording."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np

from robostack import quaternion as quat
from robostack_real.headset.poses import TRACKED, Headset, Pose

FIELDS = ("time_s", "position_m", "rotation", "seen")
"""of a stream's file"""


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
        self._waited_for = 0

    @classmethod
    def load(cls, path: Path) -> PlayedHeadset:
        """What a `HeadsetRecorder` kept. Raises ValueError for what is no such file."""
        try:
            with np.load(path, allow_pickle=False) as file:
                t, position, rotation, seen = (file[name] for name in FIELDS)
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path} is no recorded stream: {error}") from error
        n, seen = len(t), seen.astype(bool)
        if n == 0 or (position.shape, rotation.shape, seen.shape) != ((n, 3, 3), (n, 3, 4), (n, 3)):
            raise ValueError(f"{path}: {n} times, {position.shape} positions and {rotation.shape} rotations do not fit")
        if not (np.isfinite(t).all() and (np.diff(t) > 0.0).all() and np.isfinite(position[seen]).all()):
            raise ValueError(f"{path}: times do not go on, or a position is no number")
        rotation[seen] = quat.normalise(rotation[seen])
        return cls(str(path), t, position, rotation, seen)

    def begin(self) -> None:
        self._began = time.monotonic()

    @property
    def over(self) -> bool:
        return time.monotonic() - self._began > self._time_s[-1]

    def read(self) -> Mapping[str, Pose]:
        return self.at(time.monotonic() - self._began)

    def wait(self, seconds: float) -> int:
        def due() -> int:
            return int(np.searchsorted(self._time_s, time.monotonic() - self._began, side="right"))

        if due() <= self._waited_for:
            left_s = self._time_s[due()] - (time.monotonic() - self._began) if due() < len(self._time_s) else seconds
            time.sleep(max(0.0, min(seconds, float(left_s))))
        now = due()
        found, self._waited_for = now - self._waited_for, now
        return found

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


def is_stream(path: Path) -> bool:
    """Whether a `HeadsetRecorder` kept it; motions have the same ending."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return "seen" in file
    except (OSError, ValueError, EOFError, BadZipFile):
        return False


class HeadsetRecorder:
    """Hands on what a headset sends, and keeps it: a sample each time it is read. Leaving it writes the file."""

    def __init__(self, headset: Headset, path: Path) -> None:
        self._headset, self._path = headset, path
        self.where = headset.where
        self._samples: list[tuple[float, Mapping[str, Pose]]] = []

    def read(self) -> Mapping[str, Pose]:
        poses = self._headset.read()
        self._samples.append((time.monotonic(), poses))
        return poses

    def wait(self, seconds: float) -> int:
        return self._headset.wait(seconds)

    def told(self) -> list[str]:
        return self._headset.told()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._samples:
            return
        began = self._samples[0][0]
        n, before = len(self._samples), began
        t, position, rotation = np.zeros(n), np.zeros((n, 3, 3)), np.tile(quat.IDENTITY, (n, 3, 1))
        seen = np.zeros((n, 3), bool)
        for k, (now, poses) in enumerate(self._samples):
            t[k] = now - began
            for i, part in enumerate(TRACKED):
                if part in poses:
                    position[k, i], rotation[k, i] = poses[part].position_m, poses[part].rotation
                    seen[k, i] = poses[part].age_s <= now - before or k == 0  # came since the sample before
            before = now
        np.savez_compressed(
            self._path, allow_pickle=False, **dict(zip(FIELDS, (t, position, rotation, seen), strict=True))
        )
