"""How large a beam is along drifts and solenoids when its own charge pushes it apart: rms envelopes, differentiable.

With X, Y twice the rms sizes in the frame that turns with the beam (Larmor's), k = B / (2 B rho) of a solenoid and
eps = 4 eps_rms, a beam of uniform or any other elliptic density obeys

    X'' + k^2 X - eps^2 / X^3 - 2 K / (X + Y) = 0        and Y likewise

(Kapchinsky and Vladimirsky 1959; Sacherer 1971 for rms sizes; Reiser, Theory and Design of Charged Particle Beams; Lund
and Bukh, PRST-AB 7, 024801). Positive ions ionise the residual gas, whose electrons neutralise a share f of the beam's
charge: K (1 - f) acts.

What is integrated is not X, which is stiff where the beam is narrow, but two rays a plane whose squares add up to the
second moments. A slice is the exact map of its magnet, with the linear push of the beam's charge, 2 K x / (X (X + Y)),
in its middle: second order in the slice's length, symplectic, so emittances are kept to rounding, and without
charge exactly the transfer matrix. The centre of charge feels no force of its own beam; images are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack_sim.beam.lattice import Beam, Bpm, Corrector, Element, Lattice, Solenoid

OHM_30 = 29.9792458
"""1 / (4 pi eps0 c), ohm"""
SLICE_M = 0.08
"""over the shipped LEBT's machines the last waist is right to 2 % rms and the transmission to 0.7 %: far less than what
is known of f"""


class Rays(NamedTuple):
    """Two rays in each plane, (N, 2 planes, 2): <xx> = sum of x^2 over them, <xx'> of x x', <x'x'> of x'^2."""

    x_m: Tensor
    slope: Tensor

    @classmethod
    def of_twiss(cls, emittance_m: Tensor, alpha: Tensor, beta_m: Tensor) -> Rays:
        """(N, 2) rms emittance, m rad, and Courant and Snyder's parameters of each plane."""
        size, spread = (emittance_m * beta_m).sqrt(), (emittance_m / beta_m).sqrt()
        return cls(torch.stack([size, torch.zeros_like(size)], -1), torch.stack([-alpha * spread, spread], -1))

    @property
    def rms_m(self) -> Tensor:
        """(N, 2)."""
        return self.x_m.square().sum(-1).sqrt()


def perveance(beam: Beam, current_a: Tensor) -> Tensor:
    """K = q I / (2 pi eps0 m c^3 beta^3 gamma^3) (Reiser), dimensionless, without neutralisation."""
    alfven_a = beam.mass_ev / (abs(beam.charge) * OHM_30)  # 4 pi eps0 m c^3 / q
    return current_a * (2.0 / (alfven_a * (beam.beta * beam.gamma) ** 3))


def transport(
    lattice: Lattice, strength: Tensor, rays: Rays, perveance: Tensor, slice_m: float = SLICE_M
) -> tuple[Rays, Tensor]:
    """(N, E) relative field of each element, (N,) K (1 - f) -> rays behind the line, and (N, E, 2) rms size, m, at the
    exit of each element. All in Larmor's frame.

    Raises ContractError for an element that is neither drift nor solenoid: the frame would not turn with it.
    """
    x, slope = rays
    found = []
    for i, (element, beam) in enumerate(zip(lattice.elements, lattice.beams, strict=False)):
        slices = math.ceil(element.length_m / slice_m)
        if slices:
            step = element.length_m / slices
            half, whole = (_map(element, beam, strength[:, i], length) for length in (0.5 * step, step))
            push = (0.5 * step) * perveance[:, None]  # 2 K h / (X (X + Y)) with X = 2 rms
            x, slope = half(x, slope)
            for k in range(slices):
                rms = x.square().sum(-1).sqrt()
                slope = torch.addcmul(slope, x, (push / (rms * rms.sum(-1, keepdim=True)))[..., None])
                x, slope = (whole if k < slices - 1 else half)(x, slope)
        found.append(Rays(x, slope).rms_m)
    return Rays(x, slope), torch.stack(found, 1)


def larmor_angle(lattice: Lattice, strength: Tensor) -> Tensor:
    """(N, E) rad by which the frame has turned at the exit of each element, y towards x."""
    turns = [
        element.focusing_m(beam, strength[:, i]) * element.length_m
        if isinstance(element, Solenoid)
        else torch.zeros_like(strength[:, i])
        for i, (element, beam) in enumerate(zip(lattice.elements, lattice.beams, strict=False))
    ]
    return torch.stack(turns, 1).cumsum(1)


def in_larmor_frame(angle_rad: Tensor, centroid: Tensor) -> Tensor:
    """(...) angle, (..., 4) of x, x', y, y' behind a magnet -> the same in the frame that turned."""
    c, s = torch.cos(angle_rad)[..., None], torch.sin(angle_rad)[..., None]
    x, y = centroid[..., :2], centroid[..., 2:]
    return torch.cat([c * x - s * y, s * x + c * y], -1)


def _map(
    element: Element, beam: Beam, strength: Tensor, length_m: float
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A piece of an element as a map of rays (N, 2, 2) and their slopes."""
    if isinstance(element, Solenoid):
        k = element.focusing_m(beam, strength)[:, None, None]
        a = k * length_m
        cos, arm, focus = torch.cos(a), torch.sinc(a / math.pi) * length_m, -k * torch.sin(a)
        return lambda x, slope: (torch.addcmul(cos * x, arm, slope), torch.addcmul(cos * slope, focus, x))
    if type(element) in (Element, Corrector, Bpm):
        return lambda x, slope: (torch.add(x, slope, alpha=length_m), slope)
    raise ContractError(f"element {element.name}: space charge is integrated through drifts and solenoids alone")
