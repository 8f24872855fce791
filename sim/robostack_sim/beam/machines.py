"""Many machines of one lattice, each with its own errors: where their beams go.

Every element of a machine is an affine map of the centroid, x -> R x + c + K i with i the currents of its correctors,
so the orbit is affine in start and currents: `track` goes through the line, `response` says it in three tensors once
and for all. Everything is differentiable in errors, currents and start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from robostack_sim.beam import optics
from robostack_sim.beam.lattice import Lattice, Steered


@dataclass(frozen=True)
class Errors:
    """What N machines of E elements are built with. Offsets are of an element's middle, tilts its axis's slopes
    there, both (x, y); a roll turns it about the beam, x towards y."""

    strength: Tensor
    """(N, E) relative to the design"""
    offset_m: Tensor
    """(N, E, 2)"""
    tilt_rad: Tensor
    """(N, E, 2)"""
    roll_rad: Tensor
    """(N, E)"""

    @classmethod
    def none(cls, machines: int, lattice: Lattice, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Errors:
        ones = torch.ones(machines, len(lattice.elements), dtype=dtype, device=device)
        pairs = torch.zeros(*ones.shape, 2, dtype=dtype, device=device)
        return cls(ones, pairs, pairs, torch.zeros_like(ones))

    def __post_init__(self) -> None:
        for f in fields(self):
            wanted = self.strength.shape + ((2,) if f.name in ("offset_m", "tilt_rad") else ())
            if getattr(self, f.name).shape != wanted:
                raise ValueError(f"Errors.{f.name} has shape {tuple(getattr(self, f.name).shape)}, not {tuple(wanted)}")


@dataclass(frozen=True)
class Response:
    """Orbits of N machines, (N, E, 2) m at the exit of each element: `zero` + `start` @ x0 + `corrector` @ currents."""

    zero: Tensor
    """(N, E, 2) m, on the axis at the entrance and without currents"""
    start: Tensor
    """(N, E, 2, 4) of x, x', y, y' at the entrance"""
    corrector: Tensor
    """(N, E, 2, C) m/A"""

    def orbit(self, start: Tensor, currents_a: Tensor) -> Tensor:
        """(N, 4), (N, C) A -> (N, E, 2) m."""
        moved = torch.einsum("nepk,nk->nep", self.start, start)
        return self.zero + moved + torch.einsum("nepc,nc->nep", self.corrector, currents_a)


class Machines:
    """N machines. With `dim` = 4 the transverse planes alone are tracked, with 6 energy and phase too."""

    def __init__(self, lattice: Lattice, errors: Errors, dim: int = 4) -> None:
        self.lattice, self.dim = lattice, dim
        if errors.strength.shape[1] != len(lattice.elements):
            raise ValueError(
                f"errors of {errors.strength.shape[1]} elements; {lattice.name} has {len(lattice.elements)}"
            )
        self.num_machines = errors.strength.shape[0]
        self._like = errors.strength
        self.matrices: list[Tensor] = []
        """(N, dim, dim) of each element; (1, dim, dim) where its errors are none"""
        self.shifts: list[Tensor | None] = []
        """(N, dim): what its offset and tilt add"""
        self.kicks: list[Tensor | None] = []
        """(N, dim, planes) m and rad an ampere"""
        turned = bool(errors.roll_rad.any())
        moved = ((errors.offset_m != 0) | (errors.tilt_rad != 0)).any(0).any(-1).tolist()
        for i, (element, beam) in enumerate(zip(lattice.elements, lattice.beams, strict=False)):
            matrix = element.matrix(beam, errors.strength[:, i])
            kick = (
                element.steering(beam, errors.strength[:, i])
                if isinstance(element, Steered) and element.planes
                else None
            )
            if matrix.dim() == 2:
                matrix = matrix[None]
            if turned:
                there, back = optics.roll(errors.roll_rad[:, i]), optics.roll(-errors.roll_rad[:, i])
                matrix = back @ matrix @ there
                kick = back @ kick if kick is not None else None
            matrix = matrix[:, :dim, :dim]
            self.matrices.append(matrix)
            self.kicks.append(kick[:, :dim] if kick is not None else None)
            self.shifts.append(self._shift(matrix, errors, i) if moved[i] else None)

    def _shift(self, matrix: Tensor, errors: Errors, i: int) -> Tensor:
        """x - axis at the entry is mapped, and is x - axis at the exit."""
        offset, tilt = errors.offset_m[:, i], errors.tilt_rad[:, i]
        arm = 0.5 * self.lattice.elements[i].length_m * tilt
        rest = offset.new_zeros(self.num_machines, self.dim - 4)
        front, back = (
            torch.cat([torch.stack([middle, tilt], -1).flatten(1), rest], -1) for middle in (offset - arm, offset + arm)
        )
        return back - (matrix @ front[..., None])[..., 0]

    def track(self, start: Tensor, currents_a: Tensor | None = None) -> Tensor:
        """(N, dim) centroid at the entrance, (N, C) A -> (N, E, dim) at the exit of each element."""
        x, found, used = start, [], 0
        for matrix, shift, kick in zip(self.matrices, self.shifts, self.kicks, strict=True):
            x = x @ matrix[0].T if len(matrix) == 1 else (matrix @ x[..., None])[..., 0]
            if shift is not None:
                x = x + shift
            if kick is not None:
                if currents_a is not None:
                    x = x + (kick @ currents_a[:, used : used + kick.shape[-1], None])[..., 0]
                used += kick.shape[-1]
            found.append(x)
        return torch.stack(found, 1)

    def covariance(self, start: Tensor) -> Tensor:
        """(N, dim, dim) second moments about the centroid at the entrance -> (N, E, dim, dim)."""
        found = []
        for matrix in self.matrices:
            if len(matrix) == 1:  # one product of rows: nine times as fast as a batch of small ones
                start = (start.flatten(1) @ torch.kron(matrix[0], matrix[0]).T).view_as(start)
            else:
                start = matrix @ start @ matrix.mT
            found.append(start)
        return torch.stack(found, 1)

    def response(self, places: Sequence[int] | None = None) -> Response:
        """At the exits of the elements in `places`, rising, or of all: one pass with start and currents side by side.
        What lies between two of them is multiplied out first. Needs `dim` 4."""
        if self.dim != 4:
            raise ValueError(f"a response is of the transverse planes: make the machines with dim = 4, not {self.dim}")
        wanted = set(range(len(self.matrices)) if places is None else places)
        n, correctors = self.num_machines, len(self.lattice.corrector_names)
        columns = torch.eye(4, dtype=self._like.dtype, device=self._like.device).repeat(
            n, 1, 1
        )  # of start, then by current
        zero = columns.new_zeros(n, 4, 1)
        stretch: Tensor | None = None  # from the last place on
        found = []
        for i, (matrix, shift, kick) in enumerate(zip(self.matrices, self.shifts, self.kicks, strict=True)):
            stretch = matrix if stretch is None else matrix @ stretch
            zero = matrix @ zero if shift is None else matrix @ zero + shift[..., None]
            if kick is not None or i in wanted:
                columns, stretch = stretch @ columns, None
            if kick is not None:
                columns = torch.cat([columns, kick.expand(n, -1, -1)], -1)
            if i in wanted:
                at = torch.cat([zero, columns], -1)[:, (0, 2)]
                found.append(torch.nn.functional.pad(at, (0, 5 + correctors - at.shape[-1])))
        zeros, start, corrector = torch.stack(found, 1).split([1, 4, correctors], -1)
        return Response(zeros[..., 0], start, corrector)


def survival(lattice: Lattice, orbit_m: Tensor, covariance: Tensor) -> Tensor:
    """As `passing`, with (N, E, dim, dim) moments about the centroid."""
    return passing(lattice, orbit_m, covariance[..., (0, 2), (0, 2)].sqrt())


def passing(lattice: Lattice, orbit_m: Tensor, rms_m: Tensor) -> Tensor:
    """(N,) share of a Gaussian beam that passes the narrowest place of the line.

    (N, E, 2) centroids, (N, E, 2) rms sizes. Each plane is cut at the pipe's radius by itself, as in a square
    pipe: a round one loses more, by under two percent of the beam while three sigma fit.
    """
    radius = orbit_m.new_tensor([e.aperture_m for e in lattice.elements])[None, :, None]
    sigma = rms_m * math.sqrt(2.0)
    inside = 0.5 * (torch.erf((radius - orbit_m) / sigma) + torch.erf((radius + orbit_m) / sigma))
    return inside.prod(-1).amin(1)
