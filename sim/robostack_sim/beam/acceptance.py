"""Which share of a beam an ellipse in phase space takes in, as an RFQ does at its entrance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robostack_sim.beam.space_charge import Rays

NODES = 20
"""of the quadrature: right to 2e-4 while the acceptance is under 25 rms emittances, whatever the mismatch"""


@dataclass(frozen=True)
class Acceptance:
    """Particles with gamma x^2 + 2 alpha x x' + beta x'^2 <= area, in x and in y: the entrance of an RFQ is round on
    the average over its RF, so that any two planes at a right angle will do, and the beam's own are taken."""

    alpha: float
    beta_m: float
    area_m: float
    """over pi, m rad, not normalised"""

    def share(self, rays: Rays, centroid: Tensor) -> Tensor:
        """(N,) share of a Gaussian beam with these moments about a centroid (N, 4) of x, x', y, y'. Differentiable.

        With u = x / sqrt(beta) and v = (alpha x + beta x') / sqrt(beta) the ellipse is the circle u^2 + v^2 <= area,
        which is turned at will: u along the beam's longer axis. On a line of constant u a Gaussian is one in v, whose
        share between two ends is a difference of erf; over u = R sin t it is summed at Gauss's points in t.
        """
        u, v = self._circular(rays.x_m, rays.slope)
        middle_u, middle_v = self._circular(centroid[:, ::2], centroid[:, 1::2])
        uu, uv, vv = ((a * b).sum(-1).detach() for a, b in ((u, u), (u, v), (v, v)))
        angle = 0.5 * torch.atan2(2.0 * uv, uu - vv)  # nothing depends on it but the quadrature's error: no gradient
        c, s = torch.cos(angle), torch.sin(angle)
        middle_u, middle_v = c * middle_u + s * middle_v, c * middle_v - s * middle_u
        c, s = c[..., None], s[..., None]
        u, v = c * u + s * v, c * v - s * u
        spread = u.square().sum(-1).sqrt()
        lean = (u * v).sum(-1) / spread.square()
        thickness = (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]).abs() / spread  # rms of v at a given u
        at, chord, weight = (torch.as_tensor(a, dtype=u.dtype, device=u.device) for a in self._quadrature)
        off = at - middle_u[..., None]
        density = torch.exp(-0.5 * (off / spread[..., None]).square()) / spread[..., None]
        middle = middle_v[..., None] + lean[..., None] * off
        scale = (math.sqrt(0.5) / thickness)[..., None]
        inside = torch.erf((chord - middle) * scale) + torch.erf((chord + middle) * scale)
        return (density * inside * weight).sum(-1).prod(-1)

    def _circular(self, x_m: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """u and v, sqrt(m rad)."""
        root = math.sqrt(self.beta_m)
        return x_m / root, (self.alpha / root) * x_m + root * slope

    @cached_property
    def _quadrature(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(NODES,) each: u, the half chord there, and weights with all constant factors."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        radius, t = math.sqrt(self.area_m), 0.5 * math.pi * nodes
        chord = radius * np.cos(t)
        return radius * np.sin(t), chord, 0.5 * math.pi * weights * chord * (0.5 / math.sqrt(2.0 * math.pi))
