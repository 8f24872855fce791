"""Which share of a beam an ellipse in phase space takes in, as an RFQ does at its entrance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robostack_sim.beam.space_charge import Rays

NODES = 16
"""of the quadrature: right to 1e-3 for a beam of a tenth of the acceptance's radius, to 1e-5 for one of a third"""


@dataclass(frozen=True)
class Acceptance:
    """Particles with gamma x^2 + 2 alpha x x' + beta x'^2 <= area, in x and in y: the entrance of an RFQ is round on the
    average over its RF, so that any two planes at a right angle will do, and the beam's own are taken."""

    alpha: float
    beta_m: float
    area_m: float
    """over pi, m rad, not normalised"""

    def share(self, rays: Rays, centroid: Tensor) -> Tensor:
        """(N,) share of a Gaussian beam with these moments about a centroid (N, 4) of x, x', y, y'. Differentiable.

        With u = x / sqrt(beta) and v = (alpha x + beta x') / sqrt(beta) the ellipse is the circle u^2 + v^2 <= area. On a
        line of constant u a Gaussian is one in v, whose share between two ends is a difference of erf; over u = R sin t
        it is summed at Gauss's points in t.
        """
        root = math.sqrt(self.beta_m)
        u, v = rays.x_m / root, (self.alpha * rays.x_m + self.beta_m * rays.slope) / root
        x, slope = centroid[:, ::2], centroid[:, 1::2]
        middle_u, middle_v = x / root, (self.alpha * x + self.beta_m * slope) / root
        across = u.square().sum(-1).sqrt()
        lean = (u * v).sum(-1) / across.square()
        along = (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]).abs() / across  # rms of v at a given u
        sine, chord, weight = (torch.as_tensor(a, dtype=u.dtype, device=u.device) for a in self._quadrature)
        off = sine - middle_u[..., None]
        density = torch.exp(-0.5 * (off / across[..., None]).square()) / across[..., None]
        ends = middle_v[..., None] + lean[..., None] * off
        scale = (math.sqrt(0.5) / along)[..., None]
        inside = torch.erf((chord - ends) * scale) + torch.erf((chord + ends) * scale)
        return (density * inside * weight).sum(-1).prod(-1)

    @cached_property
    def _quadrature(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(NODES,) each: u, the half chord there, and weights with all constant factors."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        radius, t = math.sqrt(self.area_m), 0.5 * math.pi * nodes
        chord = radius * np.cos(t)
        return radius * np.sin(t), chord, 0.5 * math.pi * weights * chord * (0.5 / math.sqrt(2.0 * math.pi))
