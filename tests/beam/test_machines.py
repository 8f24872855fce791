"""Claims: an affine response is the tracked orbit, errors act where they are, and a beam's moments go with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lines import IONS, mixed_line

from robostack.spec import ContractError
from robostack_sim.beam.lattice import Bpm, Element, Lattice, Quadrupole, RfGap
from robostack_sim.beam.lattice_files import load_lattice
from robostack_sim.beam.machines import Errors, Machines, survival

F64 = torch.float64


def random_errors(machines: int, lattice: Lattice, seed: int = 0) -> Errors:
    g = torch.Generator().manual_seed(seed)
    shape = (machines, len(lattice.elements))
    draw = lambda size, *more: size * torch.randn(*shape, *more, generator=g, dtype=F64)  # noqa: E731
    return Errors(1.0 + draw(0.05), draw(2e-3, 2), draw(1e-3, 2), draw(0.02))


def test_the_response_is_the_orbit_that_tracking_gives() -> None:
    for lattice in (mixed_line(), load_lattice("cafe2_cm1")):
        machines = Machines(lattice, random_errors(5, lattice))
        start = 1e-3 * torch.randn(5, 4, dtype=F64)
        currents = torch.randn(5, len(lattice.corrector_names), dtype=F64)
        tracked = machines.track(start, currents)[..., (0, 2)]
        assert torch.allclose(machines.response().orbit(start, currents), tracked, atol=1e-14)
        some = machines.response(lattice.bpms).orbit(start, currents)
        assert torch.allclose(some, tracked[:, list(lattice.bpms)], atol=1e-14)


def test_six_dimensions_have_the_four_in_them() -> None:
    lattice = load_lattice("cafe2_cm1")
    errors, start = random_errors(3, lattice), 1e-3 * torch.randn(3, 6, dtype=F64)
    six, four = Machines(lattice, errors, dim=6), Machines(lattice, errors)
    assert torch.allclose(six.track(start)[..., :4], four.track(start[:, :4]), atol=1e-14)


def test_a_misaligned_quadrupole_kicks_by_gradient_times_offset() -> None:
    length = 1e-4
    lattice = Lattice("one", IONS, (Quadrupole(name="q", length_m=length, gradient_t_m=1e3),))
    errors = Errors.none(1, lattice, F64)
    errors = replace(errors, offset_m=torch.tensor([[[2e-3, -1e-3]]], dtype=F64))
    out = Machines(lattice, errors).track(torch.zeros(1, 4, dtype=F64))[0, 0]
    kick = 1e3 * length / IONS.rigidity_t_m
    assert out[1].item() == pytest.approx(kick * 2e-3, rel=1e-3) and out[3].item() == pytest.approx(
        kick * 1e-3, rel=1e-3
    )


def test_a_tilted_drift_is_still_a_drift_and_a_line_moved_as_a_whole_moves_its_beam() -> None:
    lattice = mixed_line()
    errors = Errors.none(1, lattice, F64)
    shift = torch.tensor([1e-3, -2e-3], dtype=F64)
    moved = replace(errors, offset_m=errors.offset_m + shift)
    start = torch.tensor([[shift[0], 0.0, shift[1], 0.0]], dtype=F64)
    assert torch.allclose(Machines(lattice, moved).track(start)[..., (0, 2)], shift.expand(1, 9, 2), atol=1e-15)
    alone = Lattice("drift", IONS, (Element(name="d", length_m=2.0),))
    tilted = replace(Errors.none(1, alone, F64), tilt_rad=torch.full((1, 1, 2), 0.01, dtype=F64))
    start = 1e-3 * torch.ones(1, 4, dtype=F64)
    assert torch.allclose(
        Machines(alone, tilted).track(start), Machines(alone, Errors.none(1, alone, F64)).track(start)
    )


def test_a_corrector_rolled_by_a_right_angle_steers_the_other_plane() -> None:
    lattice = Lattice("c", IONS, mixed_line().elements[2:4])
    rolled = replace(Errors.none(1, lattice, F64), roll_rad=torch.full((1, 2), torch.pi / 2, dtype=F64))
    straight, turned = (
        Machines(lattice, e).response().corrector[0, -1] for e in (Errors.none(1, lattice, F64), rolled)
    )
    assert torch.allclose(turned[1, 0], straight[0, 0]) and turned[0, 0].abs() < 1e-15


def test_gradients_reach_errors_and_currents() -> None:
    lattice = mixed_line()
    base = random_errors(1, lattice)

    def orbit(offset: torch.Tensor, strength: torch.Tensor, currents: torch.Tensor) -> torch.Tensor:
        errors = Errors(strength, offset, base.tilt_rad, base.roll_rad)
        return Machines(lattice, errors).track(torch.full((1, 4), 1e-3, dtype=F64), currents)

    inputs = (base.offset_m, base.strength, torch.randn(1, 4, dtype=F64))
    assert torch.autograd.gradcheck(orbit, tuple(t.clone().requires_grad_() for t in inputs))


def test_liouville_emittance_stays_and_in_a_gap_shrinks_as_momentum_grows() -> None:
    lattice = load_lattice("cafe2_cm1")
    start = torch.diag(torch.tensor([4e-6, 1e-6, 4e-6, 1e-6, 1e-5, 1e-6], dtype=F64))[None]
    end = Machines(lattice, Errors.none(1, lattice, F64), dim=6).covariance(start)[0, -1]
    first, last = lattice.beams[0], lattice.beams[-1]
    ratio = first.beta * first.gamma / (last.beta * last.gamma)
    assert last.kinetic_ev > first.kinetic_ev
    assert torch.linalg.det(end).item() == pytest.approx(torch.linalg.det(start[0]).item() * ratio**6, rel=1e-9)


def test_moments_are_those_of_tracked_particles() -> None:
    lattice = mixed_line()
    rays = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(1), dtype=F64) * 1e-3
    none = Errors.none(1, lattice, F64)
    wanted = Machines(lattice, none).covariance(torch.cov(rays.T)[None])[0, -1]
    out = Machines(lattice, none).track(rays)[:, -1]
    assert torch.allclose(torch.cov(out.T), wanted, rtol=1e-9, atol=1e-15)


def test_a_beam_is_lost_where_the_pipe_is_narrow() -> None:
    lattice = mixed_line()
    none = Errors.none(1, lattice, F64)
    cov = Machines(lattice, none).covariance(1e-12 * torch.eye(4, dtype=F64)[None])
    middle = torch.zeros(1, len(lattice.elements), 2, dtype=F64)
    edge = middle.clone()
    edge[0, 7, 0] = 0.02  # half of a thin beam's centre is on the 20 mm pipe
    assert survival(lattice, middle, cov).item() == pytest.approx(1.0)
    assert survival(lattice, edge, cov).item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Element(name="d7", length_m=-0.1), "d7: length_m = -0.1"),
        (lambda: Element(name="d7", length_m=float("nan")), "d7: length_m = nan"),
        (lambda: Bpm(name="b", aperture_m=0.0), "b: aperture_m"),
        (lambda: RfGap(name="g", voltage_v=1.0, phase_rad=0.0, frequency_hz=0.0), "g: frequency_hz"),
        (lambda: Lattice("l", IONS, (Bpm(name="b"), Bpm(name="b"))), "two elements are called 'b'"),
        (lambda: Lattice("l", IONS, ()), "no elements"),
        (lambda: Lattice("l", replace(IONS, charge=0.0), (Bpm(name="b"),)), "charge"),
        (
            lambda: Lattice("l", IONS, (RfGap(name="g", voltage_v=1e9, phase_rad=3.1, frequency_hz=1e8),)).beams,
            "g: its voltage .* stops the beam",
        ),
    ],
)
def test_an_impossible_element_is_named(make: object, named: str) -> None:
    with pytest.raises(ContractError, match=named):
        make()  # type: ignore[operator]


def test_errors_of_another_shape_are_refused() -> None:
    none = Errors.none(2, mixed_line())
    with pytest.raises(ValueError, match=r"offset_m has shape \(2, 9\)"):
        replace(none, offset_m=none.strength)
    with pytest.raises(ValueError, match="has 30"):
        Machines(load_lattice("cafe2_cm1"), none)
    with pytest.raises(ValueError, match="dim = 4"):
        Machines(mixed_line(), none, dim=6).response()
