"""A beam line: a reference beam, and elements in the order in which it passes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack_sim.beam import optics

LIGHT_M_S = 299_792_458.0
Plane = Literal["h", "v"]


@dataclass(frozen=True)
class Beam:
    """The reference particle: rest mass, charge in units of e, kinetic energy of the whole ion."""

    mass_ev: float
    charge: float
    kinetic_ev: float

    @property
    def gamma(self) -> float:
        return 1.0 + self.kinetic_ev / self.mass_ev

    @property
    def beta(self) -> float:
        return math.sqrt(1.0 - self.gamma**-2)

    @property
    def rigidity_t_m(self) -> float:
        """B rho = p / q."""
        return self.beta * self.gamma * self.mass_ev / (abs(self.charge) * LIGHT_M_S)


@dataclass(frozen=True, kw_only=True)
class Element:
    """A drift, and what all others have. `aperture_m` is the radius of its pipe.

    `matrix` is (..., 6, 6) for a relative `strength` (...) of its field, 1 by design.
    """

    name: str
    length_m: float = 0.0
    aperture_m: float = math.inf

    def __post_init__(self) -> None:
        if not (0.0 <= self.length_m < math.inf):
            raise ContractError(f"element {self.name}: length_m = {self.length_m}: must be 0 or a positive number")
        if not self.aperture_m > 0.0:
            raise ContractError(f"element {self.name}: aperture_m = {self.aperture_m}: must be positive")

    def matrix(self, beam: Beam, strength: Tensor) -> Tensor:
        return optics.drift(self.length_m, beam.gamma, strength)

    def leaving(self, beam: Beam) -> Beam:
        """The beam behind it."""
        return beam


@dataclass(frozen=True, kw_only=True)
class Steered(Element):
    """An element with a dipole field over its length for each of `planes`: a corrector by itself, in the order h, v.

    A current of 1 A deflects by `steering_t_m_a` / (B rho); its supply gives +-`current_max_a`.
    """

    planes: tuple[Plane, ...] = ()
    steering_t_m_a: float = 0.0
    current_max_a: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.planes and not (self.steering_t_m_a > 0.0 and self.current_max_a > 0.0):
            raise ContractError(f"element {self.name}: a corrector needs positive steering_t_m_a and current_max_a")

    def focusing_m(self, beam: Beam, strength: Tensor) -> Tensor:
        """k of the solenoid under the corrector, 1/m."""
        return torch.zeros_like(strength)

    def steering(self, beam: Beam, strength: Tensor) -> Tensor:
        """(..., 6, len(planes)): what 1 A in each plane adds behind it."""
        columns = optics.steering(self.length_m, self.focusing_m(beam, strength))
        return columns[..., [("h", "v").index(p) for p in self.planes]] * (self.steering_t_m_a / beam.rigidity_t_m)


@dataclass(frozen=True, kw_only=True)
class Corrector(Steered):
    """A dipole corrector in a drift."""

    planes: tuple[Plane, ...] = ("h", "v")


@dataclass(frozen=True, kw_only=True)
class Solenoid(Steered):
    """With a corrector wound over it where `planes` says so."""

    field_t: float

    def focusing_m(self, beam: Beam, strength: Tensor) -> Tensor:
        return strength * (self.field_t / (2.0 * beam.rigidity_t_m))

    def matrix(self, beam: Beam, strength: Tensor) -> Tensor:
        return optics.solenoid(self.length_m, self.focusing_m(beam, strength), beam.gamma)


@dataclass(frozen=True, kw_only=True)
class Quadrupole(Element):
    """Positive gradients focus x."""

    gradient_t_m: float

    def matrix(self, beam: Beam, strength: Tensor) -> Tensor:
        return optics.quadrupole(self.length_m, strength * (self.gradient_t_m / beam.rigidity_t_m), beam.gamma)


@dataclass(frozen=True, kw_only=True)
class RfGap(Element):
    """A thin gap. `strength` scales how it focuses; the reference particle gains its energy by design."""

    voltage_v: float
    """E0 T L"""
    phase_rad: float
    """0 on crest, negative where the field rises"""
    frequency_hz: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length_m:
            raise ContractError(f"element {self.name}: length_m = {self.length_m}: a gap is thin; put drifts around it")
        if not self.frequency_hz > 0.0:
            raise ContractError(f"element {self.name}: frequency_hz = {self.frequency_hz}: must be positive")

    def matrix(self, beam: Beam, strength: Tensor) -> Tensor:
        wavelength, after = LIGHT_M_S / self.frequency_hz, self.leaving(beam).gamma
        voltage = strength * self.voltage_v
        charge, mass = abs(beam.charge), beam.mass_ev
        return optics.rf_gap(voltage, self.phase_rad, wavelength, charge, mass, beam.gamma, after)

    def leaving(self, beam: Beam) -> Beam:
        gained = abs(beam.charge) * self.voltage_v * math.cos(self.phase_rad)
        if beam.kinetic_ev + gained <= 0.0:
            raise ContractError(f"element {self.name}: its voltage of {self.voltage_v:g} V stops the beam")
        return Beam(beam.mass_ev, beam.charge, beam.kinetic_ev + gained)


@dataclass(frozen=True, kw_only=True)
class Bpm(Element):
    """A beam position monitor; it reads behind its length."""


@dataclass(frozen=True)
class Lattice:
    """`beam` enters at the first element. Raises ContractError when there is none, or two share a name."""

    name: str
    beam: Beam
    elements: tuple[Element, ...]

    def __post_init__(self) -> None:
        b = self.beam
        if not (0 < b.mass_ev < math.inf and 0 < b.kinetic_ev < math.inf and b.charge):
            raise ContractError(f"lattice {self.name}: mass and kinetic energy must be positive, charge not 0; got {b}")
        names = [e.name for e in self.elements]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ContractError(f"lattice {self.name}: two elements are called {twice[0]!r}; give each its own name")
        if not names:
            raise ContractError(f"lattice {self.name}: it has no elements")

    @cached_property
    def beams(self) -> tuple[Beam, ...]:
        """The reference beam in front of each element, and behind the last."""
        found = [self.beam]
        for element in self.elements:
            found.append(element.leaving(found[-1]))
        return tuple(found)

    @property
    def bpms(self) -> tuple[int, ...]:
        """Indices of its position monitors."""
        return tuple(i for i, e in enumerate(self.elements) if isinstance(e, Bpm))

    @property
    def correctors(self) -> tuple[tuple[Steered, Plane], ...]:
        """One an element and plane: the order of everything that is given by corrector."""
        return tuple((e, p) for e in self.elements if isinstance(e, Steered) for p in e.planes)

    @property
    def corrector_names(self) -> tuple[str, ...]:
        return tuple(f"{e.name}_{p}" for e, p in self.correctors)

    @property
    def length_m(self) -> float:
        return sum(e.length_m for e in self.elements)
