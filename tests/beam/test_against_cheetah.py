"""Claims: element by element and through a line, centroid and moments are those of cheetah-accelerator."""

from __future__ import annotations

import importlib
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lines import IONS, mixed_line

from robostack_sim.beam.lattice import Corrector, Element, Lattice, Quadrupole, Solenoid
from robostack_sim.beam.lattice_files import read_lattice_json
from robostack_sim.beam.machines import Errors, Machines

F64 = torch.float64
START = torch.tensor([1e-3, -2e-3, -1.5e-3, 0.7e-3, 0.0, 0.0], dtype=F64)


@pytest.fixture(scope="module")
def cheetah() -> Any:
    """The package; without it these are skipped, but under CI=true they fail."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("cheetah")
    return importlib.import_module("cheetah")


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=F64)


def theirs(cheetah: Any, lattice: Lattice, currents: torch.Tensor, offsets: torch.Tensor) -> Any:
    """The lattice as they have it. Their correctors kick where they end, and hold no solenoid: ours lie between
    drifts of half their length."""
    elements, used = [], 0
    rigidity = lattice.beam.rigidity_t_m
    for element, offset in zip(lattice.elements, offsets, strict=True):
        name, length = element.name, number(element.length_m)
        match element:
            case Quadrupole():
                k1 = number(element.gradient_t_m / rigidity)
                elements.append(cheetah.Quadrupole(length, k1=k1, misalignment=offset, tilt=number(0.0), name=name))
            case Solenoid():
                k = number(element.field_t / (2 * rigidity))
                elements.append(cheetah.Solenoid(length=length, k=k, misalignment=offset, name=name))
            case Corrector():
                angle = currents[used : used + 2] * element.steering_t_m_a / rigidity
                used += 2
                half, none = length / 2, number(0.0)
                elements += [
                    cheetah.Drift(length=half, name=f"{name}_before"),
                    cheetah.HorizontalCorrector(length=none, angle=angle[0], name=f"{name}_h"),
                    cheetah.VerticalCorrector(length=none, angle=angle[1], name=f"{name}_v"),
                    cheetah.Drift(length=half, name=f"{name}_after"),
                ]
            case _:
                elements.append(cheetah.Drift(length=length, name=name))
    return cheetah.Segment(elements=elements, name="line")


def beam_of(cheetah: Any, lattice: Lattice, moments: torch.Tensor) -> Any:
    one = torch.ones(1, dtype=F64)
    mu = torch.cat([START, one])
    cov = torch.zeros(7, 7, dtype=F64)
    cov[:4, :4] = moments
    b = lattice.beam
    species = cheetah.Species("ion", num_elementary_charges=number(b.charge), mass_eV=number(b.mass_ev))
    return cheetah.ParameterBeam(mu=mu, cov=cov, energy=number(b.kinetic_ev + b.mass_ev), species=species)


def unsteered(element: Element) -> Element:
    """Without the corrector over it."""
    if not isinstance(element, Solenoid):
        return element
    return Solenoid(name=element.name, length_m=element.length_m, field_t=element.field_t)


ELEMENTS = [unsteered(e) for e in mixed_line().elements if e.length_m]
WHOLE = Lattice("whole", IONS, tuple(unsteered(e) for e in mixed_line().elements))


@pytest.mark.parametrize("lattice", [*(Lattice(e.name, IONS, (e,)) for e in ELEMENTS), WHOLE], ids=lambda x: x.name)
def test_centroid_and_moments_agree(cheetah: Any, lattice: Lattice) -> None:
    n = len(lattice.elements)
    generator = torch.Generator().manual_seed(n)
    offsets = 1e-3 * torch.randn(n, 2, generator=generator, dtype=F64)
    offsets[[not isinstance(e, Quadrupole | Solenoid) for e in lattice.elements]] = 0.0
    currents = torch.randn(len(lattice.corrector_names), generator=generator, dtype=F64)
    root = 1e-3 * torch.randn(4, 4, generator=generator, dtype=F64)
    none = Errors.none(1, lattice, F64)
    machines = Machines(lattice, Errors(none.strength, offsets[None], none.tilt_rad, none.roll_rad))
    out = theirs(cheetah, lattice, currents, offsets).track(beam_of(cheetah, lattice, root @ root.T))
    ours = machines.track(START[None, :4], currents[None])[0, -1]
    assert torch.allclose(ours, out.mu[:4], rtol=1e-10, atol=1e-14)
    moments = machines.covariance((root @ root.T)[None])[0, -1]
    assert torch.allclose(moments, out.cov[:4, :4], rtol=1e-9, atol=1e-16)


def test_the_longitudinal_part_of_a_drift_is_the_same_in_their_coordinates(cheetah: Any) -> None:
    """tau = -z / beta and p = beta delta, to first order: R56 of theirs is -R56 / beta2."""
    lattice = Lattice("d", IONS, (Element(name="d", length_m=0.7),))
    segment = theirs(cheetah, lattice, torch.zeros(0), torch.zeros(1, 2, dtype=F64))
    species = beam_of(cheetah, lattice, torch.eye(4, dtype=F64)).species
    energy = number(IONS.kinetic_ev + IONS.mass_ev)
    found = segment.elements[0].first_order_transfer_map(energy, species)[4, 5].item()
    ours = Machines(lattice, Errors.none(1, lattice, F64), dim=6).matrices[0][0, 4, 5].item()
    assert -ours / IONS.beta**2 == pytest.approx(found, rel=1e-9)
    assert math.isfinite(found)


def test_a_lattice_that_they_wrote_is_read(cheetah: Any, tmp_path: Path) -> None:
    n = len(WHOLE.elements)
    segment = theirs(cheetah, WHOLE, torch.zeros(2, dtype=F64), torch.zeros(n, 2, dtype=F64))
    segment.to_lattice_json(str(tmp_path / "theirs.json"))
    lattice = read_lattice_json(tmp_path / "theirs.json", IONS)
    ours, read = (Machines(x, Errors.none(1, x, F64)).track(START[None, :4])[0, -1] for x in (WHOLE, lattice))
    assert torch.allclose(ours, read, rtol=1e-10)
    assert lattice.corrector_names == ("c1_h_h", "c1_v_v")
