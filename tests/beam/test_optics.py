"""Claims: transfer matrices are those of the textbooks, conserve what physics conserves, and have gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robostack_sim.beam import optics

F64 = torch.float64
GAMMA = 1.00146
J4 = torch.tensor([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1], [0, 0, -1, 0]], dtype=F64)


def strength(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def generator(k: float) -> Tensor:
    """d/ds of (x, x', y, y') in a solenoid, canonical momenta."""
    return torch.tensor([[0, 1, k, 0], [-k * k, 0, 0, k], [-k, 0, 0, 1], [0, -k, -k * k, 0]], dtype=F64)


def off_symplectic(matrix: Tensor) -> float:
    m = matrix[..., :4, :4]
    return (m.mT @ J4 @ m - J4).abs().max().item()


@pytest.mark.parametrize("k1", [-30.0, -1.0, -1e-4, 0.0, 1e-4, 1.0, 30.0])
def test_quadrupoles_and_solenoids_are_symplectic_and_of_unit_determinant(k1: float) -> None:
    for matrix in (optics.quadrupole(0.3, strength(k1), GAMMA), optics.solenoid(0.35, strength(k1), GAMMA)):
        assert off_symplectic(matrix) < 1e-12
        assert torch.linalg.det(matrix).item() == pytest.approx(1.0, abs=1e-12)


def test_a_quadrupole_is_the_exponential_of_hills_equation() -> None:
    for k in (-7.0, 3e-4, 5.0):
        hill = torch.tensor([[0.0, 1.0], [-k, 0.0]], dtype=F64)
        x, y = (torch.linalg.matrix_exp(0.3 * h) for h in (hill, torch.tensor([[0.0, 1.0], [k, 0.0]], dtype=F64)))
        matrix = optics.quadrupole(0.3, strength(k), GAMMA)[0]
        assert torch.allclose(matrix[:2, :2], x, atol=1e-13) and torch.allclose(matrix[2:4, 2:4], y, atol=1e-13)


def test_a_solenoid_is_the_exponential_of_its_equation_of_motion() -> None:
    for k in (-2.4, 0.0, 2.4):
        expected = torch.linalg.matrix_exp(0.35 * generator(k))
        assert torch.allclose(optics.solenoid(0.35, strength(k), GAMMA)[0, :4, :4], expected, atol=1e-13)


@pytest.mark.parametrize("k", [-2.4, -0.05, 1e-9, 0.0, 0.139, 0.143, 1.0, 8.0])
def test_a_corrector_over_a_solenoid_is_the_integral_of_its_kicks(k: float) -> None:
    length, field = 0.35, torch.zeros(6, 6, dtype=F64)
    field[:4, :4] = generator(k) * length
    field[1, 4] = field[3, 5] = 1.0  # a deflection of 1 rad over the length, in x and in y
    expected = torch.linalg.matrix_exp(field)[:4, 4:]
    assert torch.allclose(optics.steering(length, strength(k))[0, :4], expected, atol=1e-12)


def test_a_corrector_in_a_drift_moves_the_beam_by_half_its_length() -> None:
    kick = optics.steering(0.2, strength(0.0))[0, :, 0]
    assert kick.tolist() == pytest.approx([0.1, 1.0, 0.0, 0.0, 0.0, 0.0])


def test_a_fodo_cell_has_the_phase_advance_of_the_thin_lens_formula() -> None:
    drift, focal = 1.0, 4.0
    length = 1e-4
    lens = lambda f: optics.quadrupole(length, strength(1.0 / (f * length)), GAMMA)[0, :2, :2]  # noqa: E731
    between = optics.drift(drift, GAMMA, strength(0.0))[:2, :2]
    cell = lens(2 * focal) @ between @ lens(-focal) @ between @ lens(2 * focal)
    advance = math.acos(0.5 * cell.trace().item())
    assert 2 * focal * math.sin(advance / 2) == pytest.approx(drift, rel=1e-3)


GAP = {"phase_rad": -0.6, "wavelength_m": 1.845, "charge": 12.0, "mass_ev": 37.259e9}


def gap(voltage: float, phase_rad: float = -0.6) -> tuple[Tensor, float]:
    """Matrix, and (beta gamma) before over after."""
    before = 1.001456
    after = before + GAP["charge"] * voltage * math.cos(phase_rad) / GAP["mass_ev"]
    matrix = optics.rf_gap(strength(voltage), **{**GAP, "phase_rad": phase_rad}, before=before, after=after)[0]
    return matrix, math.sqrt((before**2 - 1) / (after**2 - 1))


def test_a_gap_keeps_normalised_emittance_in_every_plane() -> None:
    matrix, ratio = gap(2e5)
    for axis in (0, 2, 4):
        assert torch.linalg.det(matrix[axis : axis + 2, axis : axis + 2]).item() == pytest.approx(ratio)
    assert torch.linalg.det(matrix).item() == pytest.approx(ratio**3)


def test_a_gap_that_bunches_defocuses_and_on_crest_it_does_neither() -> None:
    bunching, _ = gap(2e5)
    assert bunching[1, 0] > 0 and bunching[3, 2] > 0 and bunching[5, 4] < 0
    crest, _ = gap(2e5, 0.0)
    assert crest[1, 0] == crest[5, 4] == 0.0


def test_a_gap_bunches_as_its_energy_gain_depends_on_phase() -> None:
    """dW = q V cos(phase - 2 pi z / (beta lambda)), differentiated by hand; the gap's matrix takes mean beta."""
    voltage, z = 1e3, 1e-6
    matrix, _ = gap(voltage)
    beta = math.sqrt(1 - 1.001456**-2)
    shift = -2 * math.pi * z / (beta * GAP["wavelength_m"])
    gained = GAP["charge"] * voltage * (math.cos(-0.6 + shift) - math.cos(-0.6))
    assert matrix[5, 4].item() * z == pytest.approx(gained / (beta**2 * 1.001456 * GAP["mass_ev"]), rel=1e-3)


def test_maxwell_ties_the_planes_of_a_gap_together() -> None:
    """No field focuses everywhere at once: kx + ky + kz = 0 but for beta2, half of a percent here."""
    matrix, _ = gap(2e5)
    assert (2 * matrix[1, 0] + matrix[5, 4]).abs() < 4e-3 * matrix[5, 4].abs()


@pytest.mark.parametrize("at", [-3.0, -1e-3, 0.0, 1e-3, 3.0])
def test_gradients_agree_with_finite_differences_through_zero(at: float) -> None:
    k = torch.tensor([at], dtype=F64, requires_grad=True)
    for make in (
        lambda k: optics.quadrupole(0.3, k, GAMMA),
        lambda k: optics.solenoid(0.35, k, GAMMA),
        lambda k: optics.steering(0.35, k),
        optics.roll,
    ):
        assert torch.autograd.gradcheck(make, k, eps=1e-6, atol=1e-7)


def test_a_roll_turns_x_towards_y() -> None:
    turned = optics.roll(strength(math.pi / 2))[0] @ torch.tensor([0, 0, 1.0, 0, 0, 0], dtype=F64)
    assert turned[0].item() == pytest.approx(1.0)  # what lies along y is on the turned frame's x
