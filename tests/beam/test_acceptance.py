"""Claims: the share of a beam that an ellipse takes in is that of counted particles, and of the closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robostack_sim.beam.acceptance import Acceptance
from robostack_sim.beam.space_charge import Rays

F64 = torch.float64
RFQ = Acceptance(alpha=1.2, beta_m=0.05, area_m=2.3e-4)


def beam(emittance_m: tuple[float, float], alpha: tuple[float, float], beta_m: tuple[float, float]) -> Rays:
    return Rays.of_twiss(*(torch.tensor([v], dtype=F64) for v in (emittance_m, alpha, beta_m)))


def test_a_matched_beam_in_the_middle_is_taken_in_but_for_its_tail() -> None:
    """1 - exp(-area / 2 eps) a plane, of two planes."""
    for over in (0.5, 4.0, 12.0):
        rays = beam((RFQ.area_m / over,) * 2, (1.2, 1.2), (0.05, 0.05))
        found = RFQ.share(rays, torch.zeros(1, 4, dtype=F64)).item()
        assert found == pytest.approx((1 - math.exp(-over / 2)) ** 2, abs=1e-5)


@pytest.mark.parametrize(("alpha", "beta_m"), [(1.2, 0.05), (1.2, 0.2), (0.0, 0.01), (-2.0, 0.05)])
def test_a_beam_of_any_mismatch_is_the_same_in_more_nodes(
    alpha: float, beta_m: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rays = beam((RFQ.area_m / 25,) * 2, (alpha,) * 2, (beta_m,) * 2)
    centroid = torch.tensor([[1.2e-3, -0.01, -5e-4, 0.02]], dtype=F64)
    found = RFQ.share(rays, centroid).item()
    monkeypatch.setattr("robostack_sim.beam.acceptance.NODES", 200)
    fine = Acceptance(RFQ.alpha, RFQ.beta_m, RFQ.area_m).share(rays, centroid).item()
    assert found == pytest.approx(fine, abs=2e-4)


@pytest.mark.parametrize("centroid", [(0.0, 0.0, 0.0, 0.0), (1e-3, -0.03, -5e-4, 0.04), (3e-3, 0.0, 0.0, 0.0)])
def test_it_is_what_counting_particles_gives(centroid: tuple[float, ...]) -> None:
    rays = beam((2e-5, 5e-5), (0.3, 2.5), (0.08, 0.09))
    torch.manual_seed(0)
    seed = torch.randn(400_000, 2, 2, dtype=F64)
    x, slope = (
        (seed * r).sum(-1) + c
        for r, c in zip(rays, (torch.tensor(centroid[k::2], dtype=F64) for k in (0, 1)), strict=True)
    )
    gamma = (1 + RFQ.alpha**2) / RFQ.beta_m
    inside = gamma * x**2 + 2 * RFQ.alpha * x * slope + RFQ.beta_m * slope**2 <= RFQ.area_m
    counted = inside.all(1).double().mean().item()
    assert 0.01 < counted < 0.98
    assert RFQ.share(rays, torch.tensor([centroid], dtype=F64)).item() == pytest.approx(counted, abs=3e-3)


def test_gradients_are_the_finite_differences() -> None:
    rays = beam((2e-5, 3e-5), (0.3, 2.0), (0.08, 0.06))

    def share(x_mm: Tensor, slope_mrad: Tensor, centroid_mm: Tensor) -> Tensor:
        return RFQ.share(Rays(1e-3 * x_mm, 1e-3 * slope_mrad), 1e-3 * centroid_mm)

    inputs = (1e3 * rays.x_m, 1e3 * rays.slope, torch.tensor([[0.5, -9.0, 0.2, 4.0]], dtype=F64))
    assert torch.autograd.gradcheck(share, tuple(v.detach().requires_grad_() for v in inputs), atol=1e-6)
