"""One motion in one form, whatever file it came from.

World frame: x ahead at the start by the format's custom, y left, z up; metres, seconds. At rest, all rotations
identity, every joint's frame is the world's: an offset is read off in the same axes at every joint. A joint is named
for the bone that it moves; ends of bones (toes, fingertips, the top of the head) are joints that do not turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from robostack import quaternion as quat


class MotionError(ValueError):
    """A file or clip that cannot be used; the message says where and what to do."""


@dataclass(frozen=True)
class Skeleton:
    """Joints, parents before children; the first is the root."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """index of each one's parent, -1 for the root's"""
    offset_m: np.ndarray
    """(J, 3) from the parent's joint, in the parent's frame"""

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            twice = next(n for n in self.names if self.names.count(n) > 1)
            raise MotionError(f"joint {twice!r} is there twice")
        if self.parents[0] != -1 or any(not 0 <= p < i for i, p in enumerate(self.parents) if i):
            raise MotionError("a skeleton is one tree, its root first and parents before their children")

    def index(self, name: str) -> int:
        return self.names.index(name)

    def rest_m(self) -> np.ndarray:
        """(J, 3) joints at rest, the root at the origin."""
        found = np.zeros_like(self.offset_m)
        for i, parent in enumerate(self.parents):
            if parent >= 0:
                found[i] = found[parent] + self.offset_m[i]
        return found

    def mirrored(self) -> Skeleton:
        """Left and right swapped across the plane y = 0, names too."""
        pairs = [self.index(partner(n, self.names)) for n in self.names]
        return replace(self, offset_m=self.offset_m[pairs] * np.array([1.0, -1.0, 1.0]))


def partner(name: str, names: Sequence[str]) -> str:
    """The joint of the other side: Left and Right, left and right, or a first l and r. Itself where there is none."""
    for one, other in (("Left", "Right"), ("left", "right"), ("Right", "Left"), ("right", "left")):
        if one in name and (found := name.replace(one, other)) in names:
            return found
    swapped = {"l": "r", "r": "l", "L": "R", "R": "L"}.get(name[:1], "") + name[1:]
    return swapped if swapped in names else name


@dataclass(frozen=True)
class Clip:
    """T frames at `rate_hz`."""

    name: str
    skeleton: Skeleton
    rate_hz: float
    root_m: np.ndarray
    """(T, 3) of the root joint in the world"""
    rotation: np.ndarray
    """(T, J, 4) wxyz of each joint in its parent's frame, the root's in the world"""

    def __post_init__(self) -> None:
        frames, joints = self.rotation.shape[:2]
        if frames < 2 or self.root_m.shape != (frames, 3) or joints != len(self.skeleton.names):
            raise MotionError(
                f"{self.name}: {self.root_m.shape} positions and {self.rotation.shape} rotations are no motion of "
                f"{len(self.skeleton.names)} joints over two frames and more"
            )
        if not (np.isfinite(self.root_m).all() and np.isfinite(self.rotation).all()):
            frame = int(np.argmin(np.isfinite(self.root_m).all(1) & np.isfinite(self.rotation).all((1, 2))))
            raise MotionError(f"{self.name}: frame {frame + 1} has a number that is none")

    def __len__(self) -> int:
        return len(self.root_m)

    @property
    def duration_s(self) -> float:
        return (len(self) - 1) / self.rate_hz

    @cached_property
    def _world(self) -> tuple[np.ndarray, np.ndarray]:
        position, rotation = np.zeros((*self.rotation.shape[:2], 3)), np.zeros_like(self.rotation)
        position[:, 0], rotation[:, 0] = self.root_m, self.rotation[:, 0]
        for i, parent in enumerate(self.skeleton.parents[1:], 1):
            offset = np.broadcast_to(self.skeleton.offset_m[i], (len(self), 3))
            position[:, i] = position[:, parent] + quat.rotate(rotation[:, parent], offset)
            rotation[:, i] = quat.multiply(rotation[:, parent], self.rotation[:, i])
        return position, rotation

    @property
    def position_m(self) -> np.ndarray:
        """(T, J, 3) of each joint in the world."""
        return self._world[0]

    @property
    def orientation(self) -> np.ndarray:
        """(T, J, 4) of each joint's frame in the world."""
        return self._world[1]

    def at(self, rate_hz: float) -> Clip:
        """The same motion at another rate: positions linear, rotations along the shortest arc, between frames."""
        if not rate_hz > 0.0:
            raise MotionError(f"{self.name}: a rate of {rate_hz:g} Hz is none")
        if self.duration_s * rate_hz < 1.0 - 1e-9:
            raise MotionError(
                f"{self.name}: {self.duration_s:.3g} s are no two frames at {rate_hz:g} Hz; give more of it"
            )
        where = np.arange(int(self.duration_s * rate_hz + 1e-9) + 1) * (self.rate_hz / rate_hz)
        before = np.minimum(where.astype(int), len(self) - 2)
        share = where - before
        rotation = quat.continuous(self.rotation)
        turned = quat.slerp(
            rotation[before], rotation[before + 1], np.broadcast_to(share[:, None], (len(where), rotation.shape[1]))
        )
        root = self.root_m[before] + share[:, None] * (self.root_m[before + 1] - self.root_m[before])
        return replace(self, rate_hz=rate_hz, root_m=root, rotation=turned)

    def cut(self, start_s: float, stop_s: float) -> Clip:
        """Frames in [start, stop]. Raises MotionError where fewer than two are."""
        first, last = round(start_s * self.rate_hz), round(stop_s * self.rate_hz)
        return replace(self, root_m=self.root_m[first : last + 1], rotation=self.rotation[first : last + 1])

    def mirrored(self) -> Clip:
        """Seen in a mirror that stands on the plane y = 0."""
        names = self.skeleton.names
        pairs = [self.skeleton.index(partner(n, names)) for n in names]
        return replace(
            self,
            name=f"{self.name}_mirrored",
            skeleton=self.skeleton.mirrored(),
            root_m=self.root_m * np.array([1.0, -1.0, 1.0]),
            rotation=self.rotation[:, pairs] * np.array([1.0, -1.0, 1.0, -1.0]),
        )

    def facing_ahead(self) -> Clip:
        """Turned and moved over the floor so that it starts above the origin, the root's nose along x."""
        back = -0.5 * quat.yaw(self.rotation[0, 0])
        turn = np.array([np.cos(back), 0.0, 0.0, np.sin(back)])
        rotation = self.rotation.copy()
        rotation[:, 0] = quat.multiply(turn, rotation[:, 0])
        root = quat.rotate(turn, self.root_m - self.root_m[0] * np.array([1.0, 1.0, 0.0]))
        return replace(self, root_m=root, rotation=rotation)

    def lifted(self, by_m: np.ndarray) -> Clip:
        """`by_m` (T,) or () added to the height of the root."""
        return replace(self, root_m=self.root_m + np.multiply.outer(by_m, [0.0, 0.0, 1.0]))

    def save(self, path: Path) -> None:
        """As a compressed .npz, which `load` reads without executing anything."""
        np.savez_compressed(
            path, allow_pickle=False, name=self.name, names=np.array(self.skeleton.names),
            parents=np.array(self.skeleton.parents), offset_m=self.skeleton.offset_m, rate_hz=self.rate_hz,
            root_m=self.root_m.astype(np.float32), rotation=self.rotation.astype(np.float32),
        )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Clip:
        """Raises MotionError for what is no clip."""
        try:
            with np.load(path, allow_pickle=False) as file:
                skeleton = Skeleton(
                    tuple(map(str, file["names"])), tuple(map(int, file["parents"])), file["offset_m"].astype(float)
                )
                rotation = quat.normalise(file["rotation"].astype(float))
                return cls(str(file["name"]), skeleton, float(file["rate_hz"]), file["root_m"].astype(float), rotation)
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise MotionError(f"{path} is no clip of ours: {error}") from error
