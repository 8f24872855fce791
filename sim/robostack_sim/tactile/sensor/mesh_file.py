"""Points and triangles of an STL file (binary or text) or an OBJ file."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Triangles = tuple[NDArray[np.float64], NDArray[np.int64]]
"""points (n, 3) in the file's unit, and the numbers of each triangle's three (m, 3)"""


def read_mesh(path: Path) -> Triangles:
    """Raises FileNotFoundError, and ValueError naming the file and what is wrong."""
    readers = {".stl": _read_stl, ".obj": _read_obj}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: a mesh is an .stl or .obj file")
    content = path.read_bytes()
    try:
        points, faces = readers[path.suffix.lower()](content)
    except (ValueError, IndexError, struct.error) as error:
        raise ValueError(f"{path}: not a mesh of that kind: {error}") from error
    if not len(faces):
        raise ValueError(f"{path}: no triangles in it")
    return points, faces


def _read_stl(content: bytes) -> Triangles:
    """A file that begins with `solid` may be either; in a binary one the length follows from the number of faces."""
    count = struct.unpack_from("<I", content, 80)[0] if len(content) >= 84 else 0
    if len(content) == 84 + 50 * count and count:
        record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
        corners = np.frombuffer(content, record, count, 84)["corners"].reshape(-1, 3).astype(np.float64)
    else:
        words = [line.split() for line in content.decode("ascii").splitlines()]
        corners = np.array([w[1:4] for w in words if w and w[0] == "vertex"], np.float64).reshape(-1, 3)
    # each triangle brings its own corners: those at the same place are one
    points, faces = np.unique(corners, axis=0, return_inverse=True)
    return points, faces.reshape(-1, 3)


def _read_obj(content: bytes) -> Triangles:
    """Faces of more than three corners become a fan."""
    points: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    for line in content.decode("utf-8").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            points.append([float(word) for word in words[1:4]])
        elif words[0] == "f":
            numbers = [int(word.partition("/")[0]) for word in words[1:]]
            corners = [n - 1 if n > 0 else len(points) + n for n in numbers]
            faces += [(corners[0], b, c) for b, c in pairwise(corners[1:])]
    return np.array(points, np.float64).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 3)
