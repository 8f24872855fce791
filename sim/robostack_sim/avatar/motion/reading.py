"""Any motion file, by its ending."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robostack_sim.avatar.motion.amc import read_amc
from robostack_sim.avatar.motion.bvh import read_bvh
from robostack_sim.avatar.motion.clip import Clip, MotionError
from robostack_sim.avatar.motion.deepmimic import read_deepmimic

READERS = {".amc": read_amc, ".bvh": read_bvh, ".txt": read_deepmimic, ".json": read_deepmimic, ".npz": Clip.load}


def read(path: Path) -> Clip:
    """Raises MotionError."""
    if path.suffix.lower() not in READERS:
        raise MotionError(f"{path}: not a motion file; {', '.join(READERS)} are read")
    return READERS[path.suffix.lower()](path)


def read_all(folder: Path) -> Iterator[Clip]:
    """Every motion below `folder`, or the one file, in order of their paths. Raises MotionError where there is none."""
    if not folder.exists():
        raise MotionError(f"{folder}: no such file or folder")
    found = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix.lower() in READERS)
    if not found:
        raise MotionError(f"{folder}: no motion in it; {', '.join(READERS)} are read")
    for path in found:
        yield read(path)
