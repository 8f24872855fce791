"""A mesh as what presses on a pad: its signed distance, baked once on a lattice, kept on disk, interpolated from then.

Between the lattice's points a distance is linear: near a surface of radius R it is off by up to spacing^2 / 4R, near an
edge by up to half a spacing. Off the lattice, whose margin is two spacings, it is a lower bound of the distance.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import warp as wp
from numpy.typing import NDArray

from robostack import warp_start
from robostack_sim.tactile.sensor.baking import bake_kernel
from robostack_sim.tactile.sensor.mesh_file import read_mesh
from robostack_sim.tactile.sensor.solids import C, Kind

warp_start.start()

MARGIN = 2
"""lattice points around the mesh on each side"""
MOST_POINTS = 2**24


@dataclass(frozen=True, eq=False)
class Mesh:
    """A baked mesh. `lattice` is (nx, ny, nz) float32, signed distances in m, its first point at `first_m`."""

    name: str
    lattice: NDArray[np.float32]
    first_m: tuple[float, float, float]
    spacing_m: float
    bound_m: float

    kind = Kind.MESH

    def numbers(self) -> list[float]:
        row = [self.spacing_m, *self.first_m]
        return [*row, *[0.0] * (C.BOUND - len(row)), self.bound_m]


def load_mesh(path: str | Path, scale: float = 1.0, spacing_m: float = 0.25e-3, cache: Path | None = None) -> Mesh:
    """An STL or OBJ file, `scale` m a unit of it (0.001 for one in millimetres), as `bake` makes it."""
    points, faces = read_mesh(Path(path))
    return bake(points * scale, faces, spacing_m, cache=cache, name=str(path))


def bake(
    points_m: NDArray[np.float64],
    faces: NDArray[np.int64],
    spacing_m: float = 0.25e-3,
    cache: Path | None = None,
    name: str = "mesh",
) -> Mesh:
    """Signed distances to a closed surface of `points_m` (n, 3) and triangles `faces` (m, 3), counter-clockwise from
    outside. The same mesh and spacing is read from `cache` the next time (by default ~/.cache/robostack/meshes).

    Raises ValueError naming the mesh when it is not closed, inside out, not of a pad's size, or too fine to bake.
    """
    points = np.ascontiguousarray(points_m, np.float32)
    triangles = np.ascontiguousarray(faces, np.int32)
    check_closed(name, points, triangles)
    low, high = points.min(0), points.max(0)
    shape = np.ceil((high - low) / spacing_m).astype(int) + 1 + 2 * MARGIN
    if not spacing_m > 0.0 or shape.prod() > MOST_POINTS:
        raise ValueError(
            f"{name}: spacing_m = {spacing_m:g} makes a lattice of {shape[0]} x {shape[1]} x {shape[2]} points, more "
            f"than {MOST_POINTS}; choose a larger one"
        )
    first = (low + high) / 2 - 0.5 * spacing_m * (shape - 1)
    bound = float(np.linalg.norm(points, axis=1).max())
    known = hashlib.sha256(points.tobytes() + triangles.tobytes() + np.float64(spacing_m).tobytes()).hexdigest()
    kept = (cache or _cache_folder()) / f"{known[:32]}.npz"
    lattice = _read(kept, tuple(shape))
    if lattice is None:
        lattice = _bake(points, triangles, first, spacing_m, tuple(shape))
        _write(kept, lattice)
    return Mesh(name, lattice, (float(first[0]), float(first[1]), float(first[2])), spacing_m, bound)


def check_closed(name: str, points: NDArray[np.float32], faces: NDArray[np.int32]) -> None:
    """Raises ValueError unless the triangles close a volume, each edge once in either direction, seen from outside."""
    if not len(faces) or not np.isfinite(points).all() or faces.min() < 0 or faces.max() >= len(points):
        raise ValueError(f"{name}: no mesh: {len(points)} points, {len(faces)} faces, or numbers that are none")
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ways, counts = np.unique(edges, axis=0, return_counts=True)
    met = {(a, b) for a, b in ways.tolist()}
    lone = [(a, b) for a, b in met if (b, a) not in met]
    if lone or counts.max() > 1:
        repeated = int((counts > 1).sum())
        what = f"{len(lone)} edges have a face on one side only" if lone else f"{repeated} edges have several faces"
        at = points[lone[0][0] if lone else ways[counts.argmax()][0]]
        raise ValueError(
            f"{name}: not watertight: {what}, one of them at ({at[0]:.4g}, {at[1]:.4g}, {at[2]:.4g}) m; close the mesh "
            "and make all its faces look outwards"
        )
    corners = points[faces].astype(np.float64)
    volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    if volume <= 0.0:
        raise ValueError(f"{name}: inside out, its volume is {volume:.3g} m3; turn its faces round")
    extent = float((points.max(0) - points.min(0)).max())
    if extent > 1.0:
        raise ValueError(f"{name}: {extent:.3g} m long; is it in millimetres? then scale is 0.001")


def _bake(
    points: NDArray[np.float32],
    faces: NDArray[np.int32],
    first: NDArray[np.float64],
    spacing_m: float,
    shape: tuple[int, ...],
) -> NDArray[np.float32]:
    mesh = wp.Mesh(
        wp.array(points, dtype=wp.vec3, device="cpu"),
        wp.array(faces.ravel(), dtype=wp.int32, device="cpu"),
        support_winding_number=True,
    )
    lattice = wp.zeros(shape, dtype=wp.float32, device="cpu")
    wp.launch(bake_kernel, shape, [mesh.id, wp.vec3(*map(float, first)), spacing_m, 10.0], [lattice], device="cpu")
    return np.array(lattice.numpy())


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robostack" / "meshes"


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """What `_write` left there, or None: nothing, or a file that somebody cut."""
    try:
        with np.load(path) as kept:
            lattice: NDArray[np.float32] = kept["lattice"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return lattice if lattice.shape == shape and lattice.dtype == np.float32 else None


def _write(path: Path, lattice: NDArray[np.float32]) -> None:
    """At once or not at all; a folder that cannot be written costs the next start its time, and nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            np.savez_compressed(part, lattice=lattice)
        os.replace(part.name, path)
    except OSError:
        return
