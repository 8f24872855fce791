"""Linear optics: 6x6 transfer matrices of beam-line elements, batched and differentiable.

Coordinates are TRACE 3-D's: (x, x', y, y', z, delta) in m, rad, m, rad, m, 1. z > 0 is ahead of the reference particle,
delta its relative error of momentum. Strengths are tensors of any shape (...), and matrices come as (..., 6, 6) of
their type; `gamma` is the reference particle's. The 4x4 upper left block is the transverse motion alone.

Quadrupole, solenoid and drift: Wiedemann, Particle Accelerator Physics; TRACE 3-D Documentation (Crandall and Rusthoi,
LA-UR-97-886) for their longitudinal part, and for the accelerating gap.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def drift(length_m: float, gamma: float, like: Tensor) -> Tensor:
    """(6, 6), of the type and device of `like`."""
    matrix = torch.eye(6, dtype=like.dtype, device=like.device)
    matrix[0, 1] = matrix[2, 3] = length_m
    matrix[4, 5] = length_m / gamma**2
    return matrix


def quadrupole(length_m: float, k1_m2: Tensor, gamma: float) -> Tensor:
    """k1 = gradient / (B rho), 1/m2; positive focuses x."""
    matrix = _longitudinal(length_m, gamma, k1_m2)
    for axis, k in ((0, k1_m2), (2, -k1_m2)):
        cos, sin = _trigonometric(k, length_m)
        matrix[..., axis, axis] = matrix[..., axis + 1, axis + 1] = cos
        matrix[..., axis, axis + 1] = sin
        matrix[..., axis + 1, axis] = -k * sin
    return matrix


def solenoid(length_m: float, k_m: Tensor, gamma: float) -> Tensor:
    """Hard edges, fringes among it. k = B / (2 B rho), 1/m: it focuses with k2 in a frame that turns by k a metre."""
    matrix = _longitudinal(length_m, gamma, k_m)
    focus, turn = _larmor(length_m, k_m)
    matrix[..., :4, :4] = (turn[..., :, None, :, None] * focus[..., None, :, None, :]).flatten(-4, -3).flatten(-2, -1)
    return matrix


def steering(length_m: float, k_m: Tensor) -> Tensor:
    """(..., 6, 2): what a uniform dipole field over a solenoid (over a drift: k = 0) adds behind it, for a deflection
    of 1 rad in x and in y: the mean over s of the solenoid's last L - s metres, times (0, 1).

    In the frame that turns, x'' = -k2 x: with a = k L, the means of sin(ks) cos(ks), cos2(ks) and sin2(ks) are
    sin2(a) / 2a, 1/2 + sin(2a)/4a and 1/2 - sin(2a)/4a; x takes 1/k of the one, x' all of the other.
    """
    a = k_m * length_m
    sinc = torch.sinc(a / math.pi)
    slope = 0.5 + 0.5 * torch.sinc(2.0 * a / math.pi)  # mean of cos2
    half = 0.5 * length_m * sinc * sinc  # mean of sin cos over k
    twist = 0.5 * a * sinc * sinc  # mean of sin cos
    # mean of sin2 over k; its series where the difference below would lose all digits
    small = a.abs() < 0.05
    safe = torch.where(small, torch.ones_like(a), a)
    exact = length_m * (0.5 - 0.25 * torch.sin(2.0 * safe) / safe) / safe
    shift = torch.where(small, length_m * a * (1.0 / 3.0 - a * a / 15.0), exact)
    zero = torch.zeros_like(a)
    in_x = torch.stack([half, slope, -shift, -twist, zero, zero], -1)
    in_y = torch.stack([shift, twist, half, slope, zero, zero], -1)
    return torch.stack([in_x, in_y], -1)


def rf_gap(
    voltage_v: Tensor, phase_rad: float, wavelength_m: float, charge: float, mass_ev: float, before: float, after: float
) -> Tensor:
    """A thin accelerating gap for ions, from Lorentz factor `before` to `after`; `voltage_v` is E0 T L (...).

    TRACE 3-D's RF gap, which is Wangler's (RF Linear Accelerators, transverse focusing in an RF gap): with beta and
    gamma of the mean energy, phase 0 on crest and negative where the field still rises,

        d(beta gamma r') = kt r,   kt = -pi q E0TL sin(phase) / (m c2 beta2 gamma2 lambda)
        d(beta gamma delta) = kz z,   kz = 2 pi q E0TL sin(phase) / (m c2 beta2 lambda)

    so that a phase that bunches (< 0) defocuses across, and momenta shrink by (beta gamma)_i / (beta gamma)_f: the
    determinant is that ratio cubed, and normalised emittances stay.
    """
    middle = 0.5 * (before + after)
    strength = math.pi * charge * math.sin(phase_rad) * voltage_v / (mass_ev * wavelength_m * (1.0 - middle**-2))
    bg_before, bg_after = math.sqrt(before**2 - 1.0), math.sqrt(after**2 - 1.0)
    matrix = torch.eye(6, dtype=voltage_v.dtype, device=voltage_v.device).repeat(*voltage_v.shape, 1, 1)
    for axis in (0, 2, 4):
        matrix[..., axis + 1, axis + 1] = bg_before / bg_after
    matrix[..., 1, 0] = matrix[..., 3, 2] = -strength / middle**2 / bg_after
    matrix[..., 5, 4] = 2.0 * strength / bg_after
    return matrix


def roll(angle_rad: Tensor) -> Tensor:
    """(..., 6, 6): coordinates in a frame turned by `angle_rad` about the beam, x towards y."""
    c, s = torch.cos(angle_rad), torch.sin(angle_rad)
    matrix = torch.eye(6, dtype=c.dtype, device=c.device).repeat(*c.shape, 1, 1)
    for k in (0, 1):
        matrix[..., k, k] = matrix[..., k + 2, k + 2] = c
        matrix[..., k, k + 2], matrix[..., k + 2, k] = s, -s
    return matrix


def _longitudinal(length_m: float, gamma: float, like: Tensor) -> Tensor:
    """Everything but the transverse block."""
    return drift(length_m, gamma, like).repeat(*like.shape, 1, 1)


def _larmor(length_m: float, k_m: Tensor) -> tuple[Tensor, Tensor]:
    """The (..., 2, 2) focusing of a plane in the frame that turns, and the (..., 2, 2) turn of the planes."""
    a = k_m * length_m
    c, s = torch.cos(a), torch.sin(a)
    focus = torch.stack([c, torch.sinc(a / math.pi) * length_m, -k_m * s, c], -1).unflatten(-1, (2, 2))
    return focus, torch.stack([c, s, -s, c], -1).unflatten(-1, (2, 2))


def _trigonometric(k: Tensor, length_m: float) -> tuple[Tensor, Tensor]:
    """cos(sqrt(k) L) and sin(sqrt(k) L) / sqrt(k), hyperbolic for k < 0; smooth through k = 0, and so are gradients."""
    a = k * length_m**2
    small = a.abs() < 1e-3
    root = torch.where(small, torch.ones_like(a), a.abs()).sqrt()
    cos = torch.where(a > 0, torch.cos(root), torch.cosh(root))
    sin = torch.where(a > 0, torch.sin(root), torch.sinh(root)) / root
    cos = torch.where(small, 1.0 - a / 2.0 + a * a / 24.0 - a**3 / 720.0, cos)
    sin = torch.where(small, 1.0 - a / 6.0 + a * a / 120.0 - a**3 / 5040.0, sin)
    return cos, sin * length_m
