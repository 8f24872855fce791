"""Machines of the orbit task in cheetah-accelerator: the same errors, its elements and its tracking of a ParameterBeam.

cheetah's solenoids hold no corrector and its correctors are thin: a solenoid becomes SLICES of them with kicks between.
A thin accelerating gap for slow ions is not among its elements either. Either ours is given to it as a matrix, so that
all else is compared, or with `own_cavity` its standing-wave cavity takes the place of gap and drifts: made for
electrons, which at a twentieth of the speed of light is another optics altogether. cheetah is GPL-3: nothing of
robostack imports it.
"""

from __future__ import annotations

import math
from typing import Any

import cheetah
import torch
from torch import Tensor

from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.lattice import Corrector, Quadrupole, RfGap, Solenoid, Steered
from robostack_sim.beam.machines import Errors, Response
from robostack_sim.beam.orbit import BeamOrbit

SLICES = 16
SMALL = 1e-3
"""m, rad, A: what start and currents are moved by to see what they do"""


class CheetahOrbit(BeamOrbit):
    """Everything but where the beam goes is the task's own, to the same random numbers."""

    def __init__(self, config: BeamOrbitConfig | None = None, seed: int = 0, own_cavity: bool = False) -> None:
        self._own_cavity = own_cavity
        super().__init__(config, seed)

    def response(self, errors: Errors) -> Response:
        """One flight a machine, start coordinate and current, all side by side."""
        correctors = len(self.lattice.corrector_names)
        columns = SMALL * torch.eye(4 + correctors, dtype=torch.float64)
        columns = torch.cat([torch.zeros_like(columns[:1]), columns])  # (1 + 4 + C, 4 + C), the first moves nothing
        orbit = self.fly(errors, columns[:, :4], columns[:, 4:])  # (N, 1 + 4 + C, P, 2)
        zero = orbit[:, 0]
        moved = ((orbit[:, 1:] - zero[:, None]) / SMALL).permute(0, 2, 3, 1)
        return Response(zero.float(), moved[..., :4].float(), moved[..., 4:].float())

    def fly(self, errors: Errors, start: Tensor, currents_a: Tensor) -> Tensor:
        """(N machines, K, P, 2) m for each of (K, 4) at the entrance and (K, C) A."""
        b = self.lattice.beam
        number = lambda value: torch.tensor(value, dtype=torch.float64)  # noqa: E731
        mu = torch.cat([start, torch.zeros(len(start), 2, dtype=torch.float64), torch.ones_like(start[:, :1])], 1)
        beam = cheetah.ParameterBeam(
            mu=mu,
            cov=torch.zeros(7, 7, dtype=torch.float64),
            energy=number(b.kinetic_ev + b.mass_ev),
            species=cheetah.Species("ion", num_elementary_charges=number(b.charge), mass_eV=number(b.mass_ev)),
        )
        found, used = [], 0
        for i, element in enumerate(self.lattice.elements):
            angles: tuple[Tensor, ...] = ()
            if isinstance(element, Steered) and element.planes:
                count = len(element.planes)
                per_ampere = element.steering_t_m_a / self.lattice.beams[i].rigidity_t_m
                angles = tuple((per_ampere * currents_a[:, used : used + count]).unbind(1))
                used += count
            for part in self._parts(i, errors, angles):
                beam = part.track(beam)
            if i in self._places:
                found.append(beam.mu[..., (0, 2)].expand(len(errors.strength), len(start), 2))
        return torch.stack(found, 2)

    def _parts(self, i: int, errors: Errors, angles: tuple[Tensor, ...]) -> list[Any]:
        """Element i as theirs, with (K,) kicks for its planes."""
        element, beam = self.lattice.elements[i], self.lattice.beams[i]
        length = torch.tensor(element.length_m, dtype=torch.float64)
        strength, offset = errors.strength[:, i, None].double(), errors.offset_m[:, i, None].double()
        options = {"sanitize_name": False}
        match element:
            case Solenoid():
                k = strength * element.field_t / (2.0 * beam.rigidity_t_m)
                slices: list[Any] = []
                for n in range(SLICES):
                    slices += _kicks(element, angles, (0.5 if n == 0 else 1.0) / SLICES)
                    slices.append(cheetah.Solenoid(length=length / SLICES, k=k, misalignment=offset, **options))
                return slices + _kicks(element, angles, 0.5 / SLICES)
            case Quadrupole():
                k1 = strength * element.gradient_t_m / beam.rigidity_t_m
                return [cheetah.Quadrupole(length, k1=k1, misalignment=offset, **options)]
            case Corrector():
                half = cheetah.Drift(length / 2.0, **options)
                return [half, *_kicks(element, angles, 1.0), half]
            case RfGap() if self._own_cavity:
                around = sum(self.lattice.elements[n].length_m for n in (i - 1, i + 1))
                return [
                    cheetah.Cavity(
                        torch.tensor(around, dtype=torch.float64),
                        voltage=torch.tensor(-element.voltage_v, dtype=torch.float64),  # accelerates electrons
                        phase=torch.tensor(math.degrees(element.phase_rad), dtype=torch.float64),
                        frequency=torch.tensor(element.frequency_hz, dtype=torch.float64),
                        **options,
                    )
                ]
            case RfGap():
                matrix = torch.eye(7, dtype=torch.float64)
                matrix[:4, :4] = element.matrix(beam, torch.ones((), dtype=torch.float64))[:4, :4]
                return [cheetah.CustomTransferMap(matrix, **options)]
        in_cavity = any(isinstance(e, RfGap) for e in self.lattice.elements[max(0, i - 1) : i + 2])
        return [] if self._own_cavity and in_cavity else [cheetah.Drift(length, **options)]


def _kicks(element: Steered, angles: tuple[Tensor, ...], share: float) -> list[Any]:
    kinds = {"h": cheetah.HorizontalCorrector, "v": cheetah.VerticalCorrector}
    thin = torch.zeros((), dtype=torch.float64)
    return [
        kinds[p](length=thin, angle=share * angle, sanitize_name=False)
        for p, angle in zip(element.planes, angles, strict=True)
    ]
