"""Claims: envelopes are the closed forms where there are any, the optics core without charge, and have gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack_sim.beam.lattice import Beam, Element, Lattice, Quadrupole, Solenoid
from robostack_sim.beam.machines import Errors, Machines
from robostack_sim.beam.space_charge import Rays, in_larmor_frame, larmor_angle, perveance, transport

F64 = torch.float64
PROTONS = Beam(mass_ev=938.272e6, charge=1.0, kinetic_ev=35e3)


def value(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=F64)


def round_beam(emittance_m: float, alpha: float, beta_m: float) -> Rays:
    return Rays.of_twiss(*(torch.full((1, 2), v, dtype=F64) for v in (emittance_m, alpha, beta_m)))


def line(*elements: Element) -> tuple[Lattice, Tensor]:
    return Lattice("line", PROTONS, elements), torch.ones(1, len(elements), dtype=F64)


LEBT = line(
    Element(name="a", length_m=0.3),
    Solenoid(name="s", length_m=0.25, field_t=0.26),
    Element(name="b", length_m=0.4),
    Solenoid(name="t", length_m=0.25, field_t=-0.2),
    Element(name="c", length_m=0.2),
)


def test_perveance_is_that_of_si_constants() -> None:
    e, eps0, mass, c = 1.602176634e-19, 8.8541878128e-12, 1.67262192e-27, 299792458.0
    bg = PROTONS.beta * PROTONS.gamma
    expected = e * 0.01 / (2 * math.pi * eps0 * mass * c**3 * bg**3)
    assert perveance(PROTONS, value(0.01)).item() == pytest.approx(expected, rel=1e-5)


def test_without_charge_moments_are_those_of_the_transfer_matrices_in_any_number_of_slices() -> None:
    lattice, strength = LEBT
    rays = Rays.of_twiss(value(2e-5, 3e-5)[None], value(-2.0, -1.0)[None], value(0.3, 0.2)[None])
    start = torch.zeros(1, 4, 4, dtype=F64)
    for plane in (0, 1):
        both = torch.stack([rays.x_m[0, plane], rays.slope[0, plane]])
        start[0, 2 * plane : 2 * plane + 2, 2 * plane : 2 * plane + 2] = both @ both.T
    there = Machines(lattice, Errors(strength, *(torch.zeros(1, 5, 2, dtype=F64),) * 2, torch.zeros(1, 5, dtype=F64)))
    covariance = there.covariance(start)
    turn = torch.stack([in_larmor_frame(larmor_angle(lattice, strength), row.expand(1, 5, 4)) for row in
                        torch.eye(4, dtype=F64)], -1)  # fmt: skip
    seen = turn @ covariance @ turn.mT
    for slice_m in (0.05, 0.2):
        out, rms = transport(lattice, strength, rays, value(0.0), slice_m)
        assert torch.allclose(rms, seen[..., (0, 2), (0, 2)].sqrt(), rtol=1e-10)
        assert torch.allclose((out.x_m * out.slope).sum(-1)[0], seen[0, -1, (0, 2), (1, 3)], rtol=1e-9)
    assert seen[0, -1, :2, 2:].abs().max() < 1e-15, "in the frame that turns the planes are not coupled"


def test_a_cold_beam_in_a_drift_widens_as_its_charge_demands() -> None:
    """R'' = K / R from rest: s = R0 sqrt(2 / K) times the integral of exp(u^2) to sqrt(ln(R / R0)) (Reiser)."""
    r0, k = 5e-3, 1e-3
    lattice, strength = line(Element(name="d", length_m=0.5))
    rays = Rays(torch.tensor([[[r0 / 2, 0.0]] * 2], dtype=F64), torch.zeros(1, 2, 2, dtype=F64))
    _, rms = transport(lattice, strength, rays, value(k), slice_m=0.005)
    grown = 2 * rms[0, 0, 0].item() / r0
    u = np.linspace(0.0, math.sqrt(math.log(grown)), 2001)
    assert grown > 1.5
    assert r0 * math.sqrt(2 / k) * np.trapezoid(np.exp(u**2), u) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("k", [0.0, 1e-4, 2e-3])
def test_a_beam_that_is_matched_to_a_uniform_channel_keeps_its_size(k: float) -> None:
    """k_s^2 X^4 - K X^2 - eps^2 = 0 with the emittance of the edge, four times the rms one."""
    field, rms_emittance = 0.1, 2e-5
    ks = field / (2 * PROTONS.rigidity_t_m)
    edge2 = (k + math.sqrt(k * k + (2 * ks * 4 * rms_emittance) ** 2)) / (2 * ks**2)
    lattice, strength = line(*(Solenoid(name=f"s{i}", length_m=0.3, field_t=field) for i in range(6)))
    matched = round_beam(rms_emittance, 0.0, edge2 / 4 / rms_emittance)
    _, rms = transport(lattice, strength, matched, value(k), slice_m=0.01)
    assert torch.allclose(2 * rms, torch.full_like(rms, math.sqrt(edge2)), rtol=5e-4)
    _, mismatched = transport(lattice, strength, round_beam(rms_emittance, 0.0, edge2 / rms_emittance), value(k))
    assert mismatched.max() / mismatched.min() > 1.3


def test_half_the_slice_is_a_quarter_of_the_error_and_emittances_stay() -> None:
    lattice, strength = LEBT
    rays = round_beam(1.9e-5, -2.0, 0.3)
    runs = [transport(lattice, strength, rays, value(2e-4), h) for h in (0.01255, 0.006275, 0.001)]
    off = [(rms - runs[2][1]).norm().item() for _, rms in runs[:2]]
    assert off[0] / off[1] == pytest.approx(4.0, rel=0.1)
    x, slope = runs[0][0]
    moments = [(a * b).sum(-1) for a, b in ((x, x), (slope, slope), (x, slope))]
    assert torch.allclose((moments[0] * moments[1] - moments[2] ** 2).sqrt(), torch.full((1, 2), 1.9e-5, dtype=F64))


def test_gradients_are_the_finite_differences() -> None:
    lattice, _ = LEBT
    rays = round_beam(1.9e-5, -2.0, 0.3)

    def sizes(strength: Tensor, k: Tensor) -> Tensor:
        return 1e3 * transport(lattice, strength, rays, k)[1]

    inputs = (torch.ones(1, 5, dtype=F64, requires_grad=True), torch.tensor([2e-4], dtype=F64, requires_grad=True))
    assert torch.autograd.gradcheck(sizes, inputs, eps=1e-7, atol=1e-4)


def test_what_does_not_turn_with_the_frame_is_refused() -> None:
    lattice, strength = line(Quadrupole(name="q1", length_m=0.1, gradient_t_m=1.0))
    with pytest.raises(ContractError, match="element q1: space charge is integrated through drifts and solenoids"):
        transport(lattice, strength, round_beam(1e-5, 0.0, 0.1), value(0.0))
