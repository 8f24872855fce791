"""Any motion file, by its ending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from pathlib import Path

from robostack_sim.avatar.motion.amc import read_amc
from robostack_sim.avatar.motion.bvh import read_bvh
from robostack_sim.avatar.motion.clip import Clip, MotionError
from robostack_sim.avatar.motion.deepmimic import read_deepmimic

CLIPS = files("robostack_sim.avatar") / "clips"
READERS: dict[str, Callable[[Path], Clip]] = {
    ".amc": read_amc, ".bvh": read_bvh, ".txt": read_deepmimic, ".json": read_deepmimic, ".npz": Clip.load,
}  # fmt: skip


def read(path: Path) -> Clip:
    """Raises MotionError."""
    if path.suffix.lower() not in READERS:
        raise MotionError(f"{path}: not a motion file; {', '.join(READERS)} are read")
    return READERS[path.suffix.lower()](path)


def shipped() -> list[str]:
    """Names of the clips that come along."""
    return sorted(p.name[:-4] for p in CLIPS.iterdir() if p.name.endswith(".npz"))


def named(name_or_path: str) -> Clip:
    """A clip that comes along, or any file. Raises MotionError."""
    if name_or_path in shipped():
        with as_file(CLIPS / f"{name_or_path}.npz") as path:
            return Clip.load(path)
    path = Path(name_or_path)
    if not path.exists():
        raise MotionError(
            f"{name_or_path}: no such file, and none of the clips that come along ({', '.join(shipped())})"
        )
    return read(path)


def read_all(folder: Path) -> Iterator[Clip]:
    """Every motion below `folder`, or the one file, in order of their paths. Raises MotionError where there is none."""
    if not folder.exists():
        raise MotionError(f"{folder}: no such file or folder")
    found = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix.lower() in READERS)
    if not found:
        raise MotionError(f"{folder}: no motion in it; {', '.join(READERS)} are read")
    for path in found:
        yield read(path)
