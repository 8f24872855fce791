"""Claims: the shipped LEBT is matched as designed, errors cost what they should, and a wrong file is named."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack_sim.beam.lebt import Lebt, Machine, load_lebt, transmission
from robostack_sim.beam.space_charge import Rays, in_larmor_frame, larmor_angle, perveance, transport

F64 = torch.float64
LEBT = load_lebt("proton_35kev")
FILE = files("robostack_sim.beam").joinpath("lebts", "proton_35kev.toml").read_text()


def as_designed(lebt: Lebt, count: int = 1) -> Machine:
    zeros = lambda *shape: torch.zeros(count, *shape, dtype=F64)  # noqa: E731
    twiss = (zeros(2) + v for v in (lebt.emittance_m, lebt.alpha, lebt.beta_m))
    bare = perveance(lebt.lattice.beam, torch.tensor(lebt.current_a, dtype=F64))
    return Machine(
        rays=Rays.of_twiss(*twiss), entrance=zeros(4), current_a=lebt.current_a + zeros(),
        perveance=0.14 * bare.expand(count), calibration=1.0 + zeros(2), offset_m=zeros(2, 2), tilt_rad=zeros(2, 2),
        gain=1.0 + zeros(4), capture=1.0 + zeros(),
    )  # fmt: skip


def design(count: int = 1) -> Tensor:
    return torch.tensor([LEBT.design_a] * count, dtype=F64)


def test_the_design_beam_goes_through_and_every_magnet_is_at_its_best() -> None:
    middle = transmission(LEBT, as_designed(LEBT), design()).item()
    assert middle > 0.99
    moves = torch.cat([sign * torch.diag(torch.tensor([5.0, 5.0, 1.0, 1.0, 1.0, 1.0], dtype=F64)) for sign in (1, -1)])
    around = transmission(LEBT, as_designed(LEBT, 12), design(12) + moves)
    assert around.max() < middle


def test_space_charge_is_what_the_solenoids_are_set_for() -> None:
    machine = as_designed(LEBT)
    compensated = replace(machine, perveance=0.0 * machine.perveance)
    bare = replace(machine, perveance=machine.perveance / 0.14)
    lost = [1.0 - transmission(LEBT, m, design()).item() for m in (machine, compensated, bare)]
    assert lost[1] > 1.5 * lost[0] and lost[2] > 0.5


def test_a_steerer_takes_back_what_a_misaligned_solenoid_loses_and_the_wrong_polarity_loses_more() -> None:
    machine = as_designed(LEBT)
    off = replace(machine, offset_m=torch.tensor([[[0.0, 0.0], [1.5e-3, 0.0]]], dtype=F64))
    settings = design().requires_grad_()
    start = transmission(LEBT, off, settings)
    (slope,) = torch.autograd.grad(start.sum(), settings)
    steered = design() + torch.cat([torch.zeros(1, 2, dtype=F64), slope[:, 2:] / slope[:, 2:].norm()], 1)
    better = transmission(LEBT, off, steered).item()
    worse = transmission(LEBT, replace(off, gain=-off.gain), steered).item()
    assert worse < start.item() - 0.02 < start.item() + 0.02 < better


def test_a_line_moved_as_a_whole_is_an_rfq_moved_the_other_way() -> None:
    moved = replace(
        as_designed(LEBT),
        offset_m=torch.tensor([[[2e-3, 0.0]] * 2], dtype=F64),
        entrance=torch.tensor([[2e-3, 0.0, 0.0, 0.0]], dtype=F64),
    )
    strength = torch.ones(1, 5, dtype=F64)
    rays, _ = transport(LEBT.lattice, strength, moved.rays, moved.perveance)
    at_rfq = in_larmor_frame(larmor_angle(LEBT.lattice, strength)[:, -1], moved.entrance)
    expected = LEBT.acceptance.share(rays, at_rfq).item()
    assert 0.2 < expected < 0.9
    assert transmission(LEBT, moved, design()).item() == pytest.approx(expected, abs=1e-4)


def test_gradients_are_the_finite_differences() -> None:
    machine = replace(as_designed(LEBT), entrance=torch.tensor([[5e-4, 1e-3, -3e-4, 2e-3]], dtype=F64),
                      tilt_rad=torch.full((1, 2, 2), 1e-3, dtype=F64))  # fmt: skip
    settings = (design() + 1.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: transmission(LEBT, machine, a), settings, eps=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "by", "named"),
    [
        ('"A", source = "makes the fields', '"mA", source = "makes the fields', "supply.design_current.unit = 'mA'"),
        ("value = 150.0", "value = 90.0", "supply.design_current = 100: must be below current_max"),
        ("[rfq]", "[rfk]", "rfq.alpha: needs"),
        ("[rfq]\nalpha", "[rfq]\nalhpa", r"rfq: unknown \['alhpa'\]"),
        ('kind = "solenoid"', 'kind = "dipole"', "kind = 'dipole'"),
    ],
)
def test_a_wrong_file_is_named_with_the_field(tmp_path: Path, text: str, by: str, named: str) -> None:
    assert text in FILE
    path = tmp_path / "mine.toml"
    path.write_text(FILE.replace(text, by))
    with pytest.raises(ContractError, match=named) as error:
        load_lebt(path)
    assert "mine.toml" in str(error.value)


def test_a_line_without_solenoids_and_an_unknown_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FILE.replace('"solenoid_1", "middle", "solenoid_2"', '"middle"'))
    with pytest.raises(ContractError, match="no solenoid"):
        load_lebt(path)
    with pytest.raises(ContractError, match="LEBT 'nowhere': no such file, and none of the shipped ones: proton_35kev"):
        load_lebt("nowhere")
