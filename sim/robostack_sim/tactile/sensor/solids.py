"""What presses on a pad: spheres, cylinders, boxes, prisms, and meshes (see `mesh.py`), one an environment.

A solid lies about the origin of its own frame, with its axis, where it has one, along z.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import warp as wp
from torch import Tensor

from robostack import warp_start
from robostack.lanes import as_lanes, columns, num_threads, stored
from robostack.recorded import current_stream
from robostack_sim.tactile.sensor.distance import distance_kernel

if TYPE_CHECKING:
    from robostack_sim.tactile.sensor.mesh import Mesh

warp_start.start()


class Kind(IntEnum):
    SPHERE = 0
    CYLINDER = 1
    BOX = 2
    PRISM = 3
    MESH = 4


class C(IntEnum):
    """Columns of a solid's numbers, m."""

    WIDTH = 0  # radius; half of a box along x; apothem of a prism; spacing of a mesh's lattice
    FACE = 1  # half of a box along y; half a face of a prism; from here on a mesh's lattice begins, x, y and z
    HALF_HEIGHT = 2
    BORE = 3  # radius
    FOLDS = 4  # sine and cosine of two lines that fold a prism's plane, no lengths
    BOUND = 8  # radius of the smallest sphere about the origin that holds it all
    SIZE = 9


@dataclass(frozen=True)
class Sphere:
    radius_m: float

    kind = Kind.SPHERE

    def __post_init__(self) -> None:
        _check_sizes(self)

    def numbers(self) -> list[float]:
        return _row(self.radius_m, bound=self.radius_m)


@dataclass(frozen=True)
class Cylinder:
    """Also a round peg."""

    radius_m: float
    height_m: float

    kind = Kind.CYLINDER

    def __post_init__(self) -> None:
        _check_sizes(self)

    def numbers(self) -> list[float]:
        half = 0.5 * self.height_m
        return _row(self.radius_m, 0.0, half, bound=math.hypot(self.radius_m, half))


@dataclass(frozen=True)
class Box:
    """Edges along x, y and z."""

    x_m: float
    y_m: float
    z_m: float

    kind = Kind.BOX

    def __post_init__(self) -> None:
        _check_sizes(self)

    def numbers(self) -> list[float]:
        half = [0.5 * edge for edge in (self.x_m, self.y_m, self.z_m)]
        return _row(*half, bound=math.hypot(*half))


@dataclass(frozen=True)
class Prism:
    """A regular prism of six or eight sides with a face towards +x, and a round bore through it unless that is 0."""

    sides: int
    across_flats_m: float
    height_m: float
    bore_radius_m: float = 0.0

    kind = Kind.PRISM

    def __post_init__(self) -> None:
        _check_sizes(self, may_be_zero="bore_radius_m")
        if self.sides not in (6, 8):
            raise ValueError(f"Prism: sides = {self.sides!r}: must be 6 or 8")
        if self.bore_radius_m >= 0.5 * self.across_flats_m:
            raise ValueError(
                f"Prism: bore_radius_m = {self.bore_radius_m:g}: leaves nothing of across_flats_m = "
                f"{self.across_flats_m:g}; it must be less than half of it"
            )

    def numbers(self) -> list[float]:
        apothem, half = 0.5 * self.across_flats_m, 0.5 * self.height_m
        face = apothem * math.tan(math.pi / self.sides)
        # an octagon's second fold has nothing to do in a hexagon's place: nothing lies beyond a quarter turn
        folds = (math.pi / 6, math.pi / 2) if self.sides == 6 else (math.pi / 4, math.pi / 8)
        turns = [f(angle) for angle in folds for f in (math.sin, math.cos)]
        return _row(apothem, face, half, self.bore_radius_m, *turns, bound=math.hypot(apothem, face, half))


def hex_nut(across_flats_m: float, height_m: float, bore_radius_m: float) -> Prism:
    return Prism(6, across_flats_m, height_m, bore_radius_m)


def round_peg(diameter_m: float, length_m: float) -> Cylinder:
    return Cylinder(0.5 * diameter_m, length_m)


def octagonal_peg(across_flats_m: float, length_m: float) -> Prism:
    return Prism(8, across_flats_m, length_m)


def _row(*numbers: float, bound: float) -> list[float]:
    return [*numbers, *[0.0] * (C.BOUND - len(numbers)), bound]


def _check_sizes(solid: Any, may_be_zero: str = "") -> None:
    """Raises ValueError that names the first length which is no length."""
    for field in fields(solid):
        if not field.name.endswith("_m"):
            continue
        value = getattr(solid, field.name)
        if not (0.0 < value < 1.0 or (field.name == may_be_zero and value == 0.0)):
            what = f"{type(solid).__name__}: {field.name} = {value!r}"
            raise ValueError(f"{what}: must be more than 0 and less than 1 m; is it in millimetres?")


Solid = Sphere | Cylinder | Box | Prism


class Indenters:
    """The solid of each environment, one of `solids`; at first number 0 everywhere.

    `kinds` (num_envs,) int32, `numbers` (num_envs, C.SIZE) and `cells` (num_envs, 4) int32 are what kernels read, with
    the lattices of all meshes one after the other in `values`. They may be edited in place between steps.
    """

    def __init__(self, solids: Sequence[Solid | Mesh], num_envs: int, device: str | torch.device = "cpu") -> None:
        if not solids:
            raise ValueError("Indenters: no solids; give at least one")
        self.solids, self.num_envs, self.device = tuple(solids), num_envs, torch.device(device)
        cells, lattices, begin = [], [], 0
        for solid in self.solids:
            lattice = np.zeros((0, 0, 0), np.float32) if isinstance(solid, Solid) else solid.lattice
            cells.append([begin, *lattice.shape])
            lattices.append(lattice.ravel())
            begin += lattice.size
        self._kinds = torch.tensor([s.kind for s in self.solids], dtype=torch.int32, device=self.device)
        self._numbers = torch.tensor([s.numbers() for s in self.solids], device=self.device)
        self._cells = torch.tensor(cells, dtype=torch.int32, device=self.device)
        # never empty, since Warp has no array of nothing
        self.values = torch.tensor(np.concatenate([*lattices, [0.0]]), dtype=torch.float32, device=self.device)
        self.kinds = self._kinds[:1].repeat(num_envs)
        self.numbers = self._numbers[:1].repeat(num_envs, 1)
        self.cells = self._cells[:1].repeat(num_envs, 1)

    def choose(self, which: Tensor | Sequence[int], env_ids: Tensor | slice = slice(None)) -> None:
        """Gives environments (all by default) the solids of these numbers, one each. Raises ValueError."""
        which = torch.as_tensor(which, device=self.device)
        if len(which) and not 0 <= int(which.min()) <= int(which.max()) < len(self.solids):
            raise ValueError(f"choose: which has {int(which.min())} to {int(which.max())}: 0 to {len(self.solids) - 1}")
        self.kinds[env_ids] = self._kinds[which]
        self.numbers[env_ids] = self._numbers[which]
        self.cells[env_ids] = self._cells[which]

    def arrays(self) -> list[Any]:
        """Leading arguments of every kernel that asks for a distance."""
        return [wp.from_torch(t) for t in (self.kinds, self.numbers, self.cells, self.values)]

    def distance(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance (num_envs, n), m, negative inside, of points (num_envs, n, 3) in each solid's own frame, and
        its gradient (num_envs, n, 3): the outward normal of the nearest surface."""
        num_envs, count, _ = points.shape
        if num_envs != self.num_envs:
            raise ValueError(f"distance: points of {num_envs} environments, there are {self.num_envs}")
        inside = columns(count, 3 * num_envs, self.device)
        found = columns(count, 4 * num_envs, self.device)
        inside.copy_(points.permute(1, 0, 2).flatten(1))
        wp.launch(
            distance_kernel,
            (num_envs, num_threads(count, self.device)),
            [*self.arrays(), as_lanes(inside)],
            [as_lanes(found)],
            device=wp.device_from_torch(self.device),
            stream=current_stream(self.device),
        )
        rows = stored(found).view(num_envs, 4, -1)[..., :count]
        return rows[:, 0], rows[:, 1:].transpose(1, 2)
