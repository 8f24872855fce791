"""machine.toml: which PVs a machine's correctors and BPMs are, our own limits, and when to hold."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from robostack.spec import ContractError

T = TypeVar("T")

METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6}


@dataclass(frozen=True)
class Corrector:
    """`name` is the contract's. Limits are our own: what the record's DRVH and DRVL allow is kept besides."""

    name: str
    setpoint: str
    """PV, such as HCM1_PS:DCH_01:ISet"""
    readback: str
    low_a: float
    high_a: float
    slew_a_per_s: float
    step_max_a: float = math.inf
    """of one move"""
    travel_max_a: float = math.inf
    """away from where the snapshot found it"""

    def __post_init__(self) -> None:
        if not self.low_a < self.high_a:
            raise ContractError(f"high_a = {self.high_a:g}: must be above low_a = {self.low_a:g}")
        for name in ("slew_a_per_s", "step_max_a", "travel_max_a"):
            _positive(self, name)


@dataclass(frozen=True)
class Bpm:
    """`name` is the contract's without its _x and _y."""

    name: str
    x: str
    """PV, such as Bpm:6-X11"""
    y: str
    unit: str = "mm"
    """of both PVs; their EGU must say the same or nothing"""

    def __post_init__(self) -> None:
        if self.unit not in METRES:
            raise ContractError(f"unit = {self.unit!r}: must be one of {', '.join(METRES)}")


@dataclass(frozen=True)
class Interlock:
    """What must hold before every put."""

    beam_current: str
    """PV"""
    beam_current_min: float
    """in the PV's unit: below it there is no beam, and no reading of a BPM counts"""
    permit: str = ""
    """PV that is 1 while the machine may be moved; empty: there is none"""
    heartbeat: str = ""
    """PV that its IOC updates all the time; empty: there is none"""

    def __post_init__(self) -> None:
        _positive(self, "beam_current_min")


@dataclass(frozen=True)
class Timing:
    shots: int = 3
    """averaged in a reading"""
    max_age_s: float = 2.0
    """a PV that has not been updated for longer is stale; the clocks of IOCs and this host must agree to within it"""
    ramp_period_s: float = 0.2
    """between the small steps of a move"""
    settle_tolerance_a: float = 0.05
    """IMon has reached ISet"""
    settle_timeout_s: float = 10.0
    setpoint_tolerance_a: float = 1e-3
    """an ISet further from what we put there was changed by someone else"""
    connect_timeout_s: float = 5.0
    """how long PVs are looked for, and how long each answer is waited for: an IOC that is silent for longer hangs"""
    return_timeout_s: float = 60.0
    """how long PVs that went away are waited for, to verify what we left"""

    def __post_init__(self) -> None:
        if not self.shots >= 1:
            raise ContractError(f"shots = {self.shots}: must be 1 at least")
        for f in fields(self):
            _positive(self, f.name)


@dataclass(frozen=True)
class MachineFile:
    """Raises ContractError, naming file, field, value and remedy, for anything that is not as it must be."""

    name: str
    operator: str
    """prefix of the control room's records (operator.db): PREFIX:Owner, PREFIX:Start, ..."""
    correctors: tuple[Corrector, ...]
    bpms: tuple[Bpm, ...]
    interlock: Interlock
    timing: Timing = field(default_factory=Timing)
    target_m: Mapping[str, float] = field(default_factory=dict)
    """golden orbit by reading, bpm_1_x; what is not there is zero"""

    @property
    def readings(self) -> tuple[str, ...]:
        return tuple(f"{b.name}_{axis}" for b in self.bpms for axis in "xy")

    def ordered(self, readings: Sequence[str], correctors: Sequence[str], whose: str) -> MachineFile:
        """With BPMs and correctors in a contract's order. Raises ContractError when it has others."""
        for what, wanted, has in (
            ("BPM reading", readings, self.readings),
            ("corrector", correctors, [c.name for c in self.correctors]),
        ):
            if set(wanted) == set(has):
                continue
            missing, extra = sorted(set(wanted) - set(has)), sorted(set(has) - set(wanted))
            raise ContractError(
                f"{whose} was made for {len(wanted)} {what}s, machine {self.name!r} has {len(has)}"
                + (f"; the machine's file lacks {', '.join(missing)}" if missing else "")
                + (f"; the policy does not know {', '.join(extra)}" if extra else "")
                + ": train for this machine (--masked leaves BPMs and correctors out), or correct the file"
            )
        bpms = tuple(sorted(self.bpms, key=lambda b: readings.index(f"{b.name}_x")))
        if (order := tuple(f"{b.name}_{axis}" for b in bpms for axis in "xy")) != tuple(readings):
            raise ContractError(
                f"{whose}: readings are in the order {tuple(readings)}, and not x, y of each BPM: {order}"
            )
        return replace(
            self, bpms=bpms, correctors=tuple(sorted(self.correctors, key=lambda c: correctors.index(c.name)))
        )

    @classmethod
    def read(cls, path: str | Path) -> MachineFile:
        path = Path(path)
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ContractError(f"{path}: no TOML: {error}") from error
        known = {"name", "operator", "corrector", "bpm", "interlock", "timing", "target_m"}
        if unknown := sorted(set(found) - known):
            raise ContractError(f"{path}: {unknown[0]}: no such field; there are {', '.join(sorted(known))}")
        for name in ("name", "operator"):
            if not isinstance(found.get(name), str) or not found[name]:
                raise ContractError(f"{path}: {name} = {found.get(name)!r}: must be a text")
        machine = cls(
            found["name"],
            found["operator"],
            tuple(_entry(Corrector, e, f"{path}: {w}") for w, e in _list(path, found, "corrector")),
            tuple(_entry(Bpm, e, f"{path}: {w}") for w, e in _list(path, found, "bpm")),
            _entry(Interlock, found.get("interlock"), f"{path}: interlock"),
            _entry(Timing, found.get("timing", {}), f"{path}: timing"),
            found.get("target_m", {}),
        )
        machine._check(path)
        return machine

    def _check(self, path: Path) -> None:
        names = [c.name for c in self.correctors] + [b.name for b in self.bpms]
        pvs = [pv for c in self.correctors for pv in (c.setpoint, c.readback)] + [
            v for b in self.bpms for v in (b.x, b.y)
        ]
        for what, given in (("name", names), ("PV", pvs)):
            if twice := [n for n in given if given.count(n) > 1]:
                raise ContractError(f"{path}: the {what} {twice[0]!r} is there twice; each must be one thing's own")
        if not isinstance(self.target_m, dict):
            raise ContractError(f"{path}: target_m = {self.target_m!r}: must be a table, bpm_1_x = 0.001")
        for name, value in self.target_m.items():
            if name not in self.readings:
                raise ContractError(f"{path}: target_m.{name}: no such reading; there are {', '.join(self.readings)}")
            if not _is_number(value) or not math.isfinite(value):
                raise ContractError(f"{path}: target_m.{name} = {value!r}: must be a number of metres")


def _list(path: Path, found: Mapping[str, Any], kind: str) -> list[tuple[str, Any]]:
    entries = found.get(kind)
    if not isinstance(entries, list) or not entries:
        raise ContractError(f"{path}: {kind}: needs a [[{kind}]] for each, and has none")
    return [(f"{kind}[{i}]", e) for i, e in enumerate(entries)]


def _entry(kind: type[T], entry: Any, where: str) -> T:
    if not isinstance(entry, dict):
        raise ContractError(f"{where}: needs a table, got {entry!r}")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(entry) - set(known)):
        raise ContractError(f"{where}.{unknown[0]}: no such field; there are {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, f in known.items():
        if name not in entry:
            if f.default is MISSING:
                raise ContractError(f"{where}.{name}: is missing")
            continue
        value = entry[name]
        if f.type == "str":
            if not isinstance(value, str) or (not value and f.default is MISSING):
                raise ContractError(f"{where}.{name} = {value!r}: must be a text")
        elif not _is_number(value) or math.isnan(value) or (f.type == "int" and value != int(value)):
            raise ContractError(f"{where}.{name} = {value!r}: must be {'a whole' if f.type == 'int' else 'a'} number")
        values[name] = value
    try:
        return kind(**values)
    except ContractError as error:
        raise ContractError(f"{where}.{error}") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(of: Any, name: str) -> None:
    if not getattr(of, name) > 0.0:
        raise ContractError(f"{name} = {getattr(of, name):g}: must be positive")
