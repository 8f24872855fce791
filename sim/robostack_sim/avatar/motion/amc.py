"""ASF skeletons and AMC motions of optical motion capture (Acclaim; the CMU database's form), y up, z ahead, x left.

A bone's rotation is given about axes of its own: L = C M C^-1, with C the bone's `axis` turn and M the frame's angles
in the order of `dof` (http://graphics.cs.cmu.edu/nsp/course/cs229/info/ACCLAIMdef.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robostack import quaternion as quat
from robostack.axes import from_y_up
from robostack_sim.avatar.motion.clip import Clip, MotionError, Skeleton

INCH_M = 0.0254
RATE_HZ = 120.0
"""of the CMU database; an AMC file does not say"""


@dataclass(frozen=True)
class _Bone:
    offset_m: np.ndarray
    """(3,) from its joint to its end, at rest"""
    axis: np.ndarray
    """(4,) C"""
    dof: tuple[str, ...]


@dataclass(frozen=True)
class Asf:
    """A skeleton as its file has it; y up."""

    bones: dict[str, _Bone]
    parents: dict[str, str]
    """in the order of the hierarchy"""
    unit_m: float
    root_order: tuple[str, ...]
    radian: float
    """an angle of the file, in rad"""

    @classmethod
    def read(cls, path: Path) -> Asf:
        """Raises MotionError with the line."""
        sections = _sections(path)
        units = dict(line.split()[:2] for _, line in sections.get("units", ()))
        try:
            unit_m = INCH_M / float(units["length"])
            radian = np.pi / 180.0 if units.get("angle", "deg") == "deg" else 1.0
        except (KeyError, ValueError, ZeroDivisionError) as error:
            raise MotionError(f"{path}: :units has no length that is a number") from error
        bones: dict[str, _Bone] = {}
        for number, words in _blocks(path, sections.get("bonedata", [])):
            try:
                bones[words["name"][0]] = _Bone(
                    np.array([float(w) for w in words["direction"]]) * float(words["length"][0]) * unit_m,
                    _turn("xyz", [radian * float(w) for w in words["axis"][:3]]),
                    tuple(w.lower() for w in words.get("dof", ())),
                )
            except (KeyError, ValueError, IndexError) as error:
                raise MotionError(f"{path}:{number}: this bone's {error} is not as it should be") from error
        order = next((line.split()[1:] for _, line in sections.get("root", ()) if line.startswith("order")), [])
        return cls(bones, _hierarchy(path, sections, bones), unit_m, tuple(w.lower() for w in order), radian)

    def skeleton(self) -> Skeleton:
        """With an end to each last bone."""
        names, parents, offsets = ["root"], [-1], [np.zeros(3)]
        for bone, parent in self.parents.items():
            names.append(bone)
            parents.append(names.index(parent))
            offsets.append(np.zeros(3) if parent == "root" else self.bones[parent].offset_m)
        for bone in [b for b in self.parents if b not in self.parents.values()]:
            names.append(f"{bone}_end")
            parents.append(names.index(bone))
            offsets.append(self.bones[bone].offset_m)
        return Skeleton(tuple(names), tuple(parents), from_y_up(np.stack(offsets)))


def read_amc(path: Path, asf: Path | None = None) -> Clip:
    """`asf` is the skeleton's file; by default the only one beside the motion, or the one whose name the motion's
    begins with (02.asf for 02_05.amc). Raises MotionError."""
    body = Asf.read(asf or _beside(path))
    skeleton = body.skeleton()
    frames = list(_frames(path))
    rotation = np.tile(quat.IDENTITY, (len(frames), len(skeleton.names), 1))
    root = np.zeros((len(frames), 3))
    for i, name in enumerate(skeleton.names):
        order = body.root_order if name == "root" else body.bones[name].dof if name in body.bones else ()
        if not order:
            continue
        try:
            values = np.array([f[name] for f in frames])
        except (KeyError, ValueError) as error:
            raise MotionError(f"{path}: a frame says nothing of {name!r}, or not the same number of angles") from error
        if values.shape[1:] != (len(order),):
            raise MotionError(f"{path}: {name!r} has {values.shape[1:]} numbers a frame, its skeleton says {order}")
        turns = [k for k, word in enumerate(order) if word.startswith("r")]
        turn = _turn("".join(order[k][1] for k in turns), body.radian * values[:, turns])
        if name == "root":
            root = values[:, [order.index(f"t{axis}") for axis in "xyz"]] * body.unit_m
        else:
            axis = body.bones[name].axis
            turn = quat.multiply(axis, quat.multiply(turn, quat.inverse(axis)))
        rotation[:, i] = from_y_up(turn)
    return Clip(path.stem, skeleton, RATE_HZ, from_y_up(root), rotation)


def _turn(order: str, angle_rad: list[float] | np.ndarray) -> np.ndarray:
    """About fixed axes, the first one first: the last one's turn stands leftmost."""
    return quat.from_euler(order.upper()[::-1], np.asarray(angle_rad)[..., ::-1])


def _sections(path: Path) -> dict[str, list[tuple[int, str]]]:
    """Numbered lines below each :keyword."""
    found: dict[str, list[tuple[int, str]]] = {}
    lines: list[tuple[int, str]] = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MotionError(f"{path}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.partition("#")[0].strip()
        if stripped.startswith(":"):
            lines = found.setdefault(stripped[1:].split()[0], [])
        elif stripped:
            lines.append((number, stripped))
    if "bonedata" not in found or "hierarchy" not in found:
        raise MotionError(f"{path} is no ASF skeleton: it has no :bonedata or no :hierarchy")
    return found


def _blocks(path: Path, lines: list[tuple[int, str]]) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """Each bone's first line and its words by keyword."""
    words: dict[str, list[str]] = {}
    first = 0
    for number, line in lines:
        key, *rest = line.split()
        if key == "begin":
            words, first = {}, number
        elif key == "end":
            if "name" not in words:
                raise MotionError(f"{path}:{first}: a bone without a name")
            yield first, words
        else:
            words[key] = rest


def _hierarchy(path: Path, sections: dict[str, list[tuple[int, str]]], bones: dict[str, _Bone]) -> dict[str, str]:
    parents: dict[str, str] = {}
    for number, line in sections["hierarchy"]:
        parent, *children = line.split()
        if parent in ("begin", "end"):
            continue
        if parent != "root" and parent not in parents:
            raise MotionError(f"{path}:{number}: {parent!r} comes before its own parent")
        for child in children:
            if child not in bones:
                raise MotionError(f"{path}:{number}: no bone {child!r} in :bonedata")
            parents[child] = parent
    return parents


def _beside(path: Path) -> Path:
    found = sorted(path.parent.glob("*.asf"))
    named = [p for p in found if path.stem.startswith(p.stem)]
    if len(named) == 1 or len(found) == 1:
        return (named or found)[0]
    raise MotionError(f"{path}: which skeleton is it? {len(found)} .asf files lie beside it; name one")


def _frames(path: Path) -> Iterator[dict[str, list[float]]]:
    frame: dict[str, list[float]] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MotionError(f"{path}: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words or words[0].startswith(":"):
            continue
        if len(words) == 1 and words[0].isdigit():
            if frame:
                yield frame
            frame = {}
            continue
        try:
            frame[words[0]] = [float(w) for w in words[1:]]
        except ValueError as error:
            raise MotionError(f"{path}:{number}: {error}") from error
    if frame:
        yield frame
