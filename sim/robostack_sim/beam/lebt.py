"""A low-energy beam transport (LEBT): from an ion source through solenoids with steerers into an RFQ.

A machine's transmission is the share of the source's beam that passes the pipe, times the share of a Gaussian beam
within the RFQ's acceptance, times what the RFQ keeps of it; the two losses are taken for independent, which overstates
them where both cut the same halo. Differentiable in everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack_sim.beam.acceptance import Acceptance
from robostack_sim.beam.lattice import Lattice, Solenoid
from robostack_sim.beam.lattice_files import lattice_of, read_table
from robostack_sim.beam.machines import Errors, Machines, passing
from robostack_sim.beam.space_charge import Rays, in_larmor_frame, larmor_angle, transport
from robostack_sim.quantity import Field, quantity

TABLES = {
    "supply": {"design_current": Field("A", 1e-3, 1e5), "current_max": Field("A", 1e-3, 1e5)},
    "source": {
        "emittance": Field("mm mrad", 1e-4, 100.0),
        "alpha": Field("1", -100.0, 100.0),
        "beta": Field("m", 1e-4, 100.0),
        "current": Field("A", 0.0, 10.0),
    },
    "rfq": {
        "alpha": Field("1", -100.0, 100.0),
        "beta": Field("m", 1e-4, 100.0),
        "acceptance": Field("mm mrad", 1e-4, 1000.0),
    },
}
"""what a LEBT's file has beside a lattice's tables; emittance and acceptance are normalised"""


@dataclass(frozen=True)
class Lebt:
    """As designed. Magnets are the solenoids in their order, then the steerers in the lattice's."""

    lattice: Lattice
    emittance_m: float
    """rms, m rad"""
    alpha: float
    beta_m: float
    current_a: float
    """of the beam, as are the three above where the line begins"""
    acceptance: Acceptance
    solenoid_a: float
    """makes the lattice's fields"""
    solenoid_max_a: float

    @cached_property
    def solenoids(self) -> tuple[int, ...]:
        """Indices into the lattice's elements."""
        return tuple(i for i, e in enumerate(self.lattice.elements) if isinstance(e, Solenoid))

    @property
    def magnet_names(self) -> tuple[str, ...]:
        return (*(self.lattice.elements[i].name for i in self.solenoids), *self.lattice.corrector_names)

    @property
    def design_a(self) -> tuple[float, ...]:
        """Current of each magnet; steerers are off."""
        return (self.solenoid_a,) * len(self.solenoids) + (0.0,) * len(self.lattice.correctors)

    @property
    def low_a(self) -> tuple[float, ...]:
        return (0.0,) * len(self.solenoids) + tuple(-e.current_max_a for e, _ in self.lattice.correctors)

    @property
    def high_a(self) -> tuple[float, ...]:
        return (self.solenoid_max_a,) * len(self.solenoids) + tuple(e.current_max_a for e, _ in self.lattice.correctors)


@dataclass(frozen=True)
class Machine:
    """N machines of one LEBT with S solenoids and C steerers, as they are."""

    rays: Rays
    """of the beam where the line begins"""
    entrance: Tensor
    """(N, 4) its centroid there: x, x', y, y' in m and rad"""
    current_a: Tensor
    """(N,) of that beam"""
    perveance: Tensor
    """(N,) what neutralisation leaves of it"""
    calibration: Tensor
    """(N, S) field of a solenoid over what its current should make"""
    offset_m: Tensor
    """(N, S, 2) of a solenoid's middle"""
    tilt_rad: Tensor
    """(N, S, 2)"""
    gain: Tensor
    """(N, C) of a steerer, its polarity among it"""
    capture: Tensor
    """(N,) share of an accepted beam that leaves the RFQ"""


def load_lebt(name_or_path: str | Path) -> Lebt:
    """A shipped LEBT by name, or any TOML file by path: a lattice's tables (docs/beam.md) and TABLES.

    Raises ContractError naming the file, the table, the field, its value and what is allowed.
    """
    text, table = str(name_or_path), read_table(name_or_path, "LEBT", "lebts")
    values = {}
    for name, fields in TABLES.items():
        given = table.pop(name, {})
        if not isinstance(given, dict):
            raise ContractError(f"{text}: {name} = {given!r}: must be a table with {', '.join(fields)}")
        if unknown := sorted(given.keys() - fields.keys()):
            raise ContractError(f"{text}: {name}: unknown {unknown}; a LEBT's [{name}] has {', '.join(fields)}")
        values[name] = {k: quantity(f"{text}: {name}.{k}", given.get(k), f) for k, f in fields.items()}
    lattice = lattice_of(text, table)
    supply, source, rfq = values.values()
    to_m = 1e-6 / (lattice.beam.beta * lattice.beam.gamma)
    lebt = Lebt(
        lattice, source["emittance"] * to_m, source["alpha"], source["beta"], source["current"],
        Acceptance(rfq["alpha"], rfq["beta"], rfq["acceptance"] * to_m),
        supply["design_current"], supply["current_max"],
    )  # fmt: skip
    if not lebt.solenoids:
        raise ContractError(f"{text}: no solenoid, so nothing focuses the beam into the RFQ")
    if supply["design_current"] >= supply["current_max"]:
        raise ContractError(f"{text}: supply.design_current = {lebt.solenoid_a:g}: must be below current_max")
    return lebt


def transmission(lebt: Lebt, machine: Machine, magnets_a: Tensor) -> Tensor:
    """(N, S + C) A -> (N,) share of the source's beam that leaves the RFQ."""
    lattice, solenoids = lebt.lattice, list(lebt.solenoids)
    solenoid_a, steerer_a = magnets_a.split([len(solenoids), magnets_a.shape[1] - len(solenoids)], 1)
    where = torch.tensor(solenoids, device=magnets_a.device)
    design = magnets_a.new_ones(len(magnets_a), len(lattice.elements))
    strength = design.index_copy(1, where, machine.calibration * solenoid_a / lebt.solenoid_a)
    nowhere = torch.zeros_like(design)[..., None].expand(-1, -1, 2)
    offset, tilt = (nowhere.index_copy(1, where, v) for v in (machine.offset_m, machine.tilt_rad))
    errors = Errors(strength, offset, tilt, torch.zeros_like(design))
    orbit = Machines(lattice, errors).track(machine.entrance, machine.gain * steerer_a)
    orbit = in_larmor_frame(larmor_angle(lattice, strength), orbit)
    rays, rms_m = transport(lattice, strength, machine.rays, machine.perveance)
    passed = passing(lattice, orbit[..., ::2], rms_m)
    return passed * lebt.acceptance.share(rays, orbit[:, -1]) * machine.capture
