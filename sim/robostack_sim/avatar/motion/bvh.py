"""BVH motions: a hierarchy of joints with channels, then a line of numbers a frame.

A joint's rotation is the product of its channels' turns in their order, each about the axes as the one before left
them; at rest all frames are the file's own. By custom y is up and z ahead. A BVH has no unit: it is guessed from how
tall the skeleton stands, and can be said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from robostack import quaternion as quat
from robostack.axes import from_y_up
from robostack_sim.avatar.motion.clip import Clip, MotionError, Skeleton

UNITS_M = (1.0, 0.01, 0.0254, 0.0254 / 0.45)
"""a metre, a centimetre, an inch, the CMU database's length"""
STANDS_M = 1.65


@dataclass
class _Hierarchy:
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offset: list[list[float]] = field(default_factory=list)
    channels: list[tuple[int, str]] = field(default_factory=list)
    """joint and name of each number of a frame"""


def read_bvh(path: Path, unit_m: float | None = None) -> Clip:
    """`unit_m` is the length of the file's unit. Raises MotionError with the line."""
    try:
        words = _Words(path, path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise MotionError(f"{path}: {error.strerror}") from error
    found = _Hierarchy()
    words.expect("HIERARCHY")
    words.expect("ROOT")
    _joint(words, found, -1)
    words.expect("MOTION")
    words.expect("Frames:")
    frames = round(words.number())
    words.expect("Frame", "Time:")
    period_s = words.number()
    if not period_s > 0.0:
        raise words.error(f"a frame time of {period_s:g} s is none")
    values = np.array(list(words.numbers()))
    if frames < 2 or values.size != frames * len(found.channels):
        raise MotionError(
            f"{path}: {values.size} numbers are not {frames} frames of {len(found.channels)}; is it cut short?"
        )
    values = values.reshape(frames, -1)
    skeleton = Skeleton(tuple(found.names), tuple(found.parents), from_y_up(np.array(found.offset)))
    unit = unit_m or _guess(path, skeleton)
    rotation = np.tile(quat.IDENTITY, (frames, len(found.names), 1))
    root = np.zeros((frames, 3))
    for i, name in enumerate(found.names):
        mine = [(k, c) for k, (joint, c) in enumerate(found.channels) if joint == i]
        turns = [(k, c) for k, c in mine if c.endswith("rotation")]
        if turns:
            order = "".join(c[0] for _, c in turns)
            rotation[:, i] = from_y_up(quat.from_euler(order, np.deg2rad(values[:, [k for k, _ in turns]])))
        moves = {c[0]: k for k, c in mine if c.endswith("position")}
        if i == 0 and set(moves) == set("XYZ"):
            root = from_y_up(values[:, [moves[axis] for axis in "XYZ"]])
        elif i == 0:
            raise MotionError(f"{path}: the root {name!r} has no Xposition, Yposition and Zposition")
        # a limb's own position channels repeat its offset in the exports that have them: its bone keeps its length
    sized = Skeleton(skeleton.names, skeleton.parents, unit * skeleton.offset_m)
    return Clip(path.stem, sized, 1.0 / period_s, unit * root, rotation)


def _guess(path: Path, skeleton: Skeleton) -> float:
    height = float(np.ptp(skeleton.rest_m()[:, 2]))
    unit = min(UNITS_M, key=lambda u: abs(np.log(max(u * height, 1e-9) / STANDS_M)))
    if not 0.8 < unit * height < 2.6:
        raise MotionError(f"{path}: its skeleton is {height:g} units tall at rest; say how long a unit is (unit_m)")
    return unit


def _joint(words: _Words, found: _Hierarchy, parent: int) -> None:
    """One joint's block, its name first, and all below it."""
    name = words.until("{")
    here = len(found.names)
    found.names.append(name or f"joint_{here}")
    found.parents.append(parent)
    words.expect("OFFSET")
    found.offset.append([words.number() for _ in range(3)])
    while (word := words.next()) != "}":
        if word == "CHANNELS":
            for _ in range(round(words.number())):
                channel = words.next()
                if channel not in {f"{axis}{kind}" for axis in "XYZ" for kind in ("rotation", "position")}:
                    raise words.error(f"{channel!r} is no channel")
                found.channels.append((here, channel))
        elif word == "JOINT":
            _joint(words, found, here)
        elif word == "End":
            words.until("{")
            words.expect("OFFSET")
            found.names.append(f"{name}_end")
            found.parents.append(here)
            found.offset.append([words.number() for _ in range(3)])
            words.expect("}")
        else:
            raise words.error(f"{word!r} where CHANNELS, JOINT, End Site or }} should be")


class _Words:
    """Reads a text word by word and knows the line."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._words = [(number, word) for number, line in enumerate(text.splitlines(), 1) for word in line.split()]
        self._at = 0

    def error(self, what: str) -> MotionError:
        line = self._words[min(self._at, len(self._words)) - 1][0] if self._words else 1
        return MotionError(f"{self._path}:{line}: {what}")

    def next(self) -> str:
        if self._at == len(self._words):
            raise self.error("the file ends in the middle")
        self._at += 1
        return self._words[self._at - 1][1]

    def expect(self, *words: str) -> None:
        for wanted in words:
            if (word := self.next()) != wanted:
                raise self.error(f"{word!r} where {wanted!r} should be")

    def until(self, word: str) -> str:
        """What stands before it; names may have blanks."""
        found = []
        while (here := self.next()) != word:
            found.append(here)
        return "_".join(found)

    def number(self) -> float:
        word = self.next()
        try:
            return float(word)
        except ValueError as error:
            raise self.error(f"{word!r} is no number") from error

    def numbers(self) -> Iterator[float]:
        while self._at < len(self._words):
            yield self.number()
