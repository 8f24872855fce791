"""Lattices from files: our TOML, every number with its unit and source, and cheetah's LatticeJSON."""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from robostack.spec import ContractError
from robostack_sim.beam.lattice import Beam, Bpm, Corrector, Element, Lattice, Quadrupole, RfGap, Solenoid
from robostack_sim.quantity import Field, quantity

BEAM = {"mass": Field("MeV/c2", 0.1, 1e6), "charge": Field("e", -100.0, 100.0), "energy": Field("MeV", 1e-4, 1e7)}
LENGTH = {"length": Field("m", 0.0, 1e4)}
APERTURE = {"aperture": Field("m", 1e-4, 1.0)}
STEERING = {"steering": Field("T m/A", 1e-9, 10.0), "current_max": Field("A", 1e-6, 1e5)}
PARTS: Mapping[str, tuple[Mapping[str, Field], Mapping[str, Field]]] = {
    "drift": (LENGTH, APERTURE),
    "solenoid": ({**LENGTH, "field": Field("T", -20.0, 20.0)}, {**APERTURE, **STEERING}),
    "quadrupole": ({**LENGTH, "gradient": Field("T/m", -1e4, 1e4)}, APERTURE),
    "corrector": ({**LENGTH, **STEERING}, APERTURE),
    "rf_gap": (
        {"voltage": Field("V", 0.0, 1e9), "phase": Field("deg", -180.0, 180.0), "frequency": Field("Hz", 1e5, 1e11)},
        APERTURE,
    ),
    "bpm": ({}, APERTURE),
}
"""fields that a kind of part must have, and may have"""


def shipped(folder: str = "lattices") -> list[str]:
    """Names of the lattices that come with the package."""
    return sorted(p.name[:-5] for p in files(__package__).joinpath(folder).iterdir() if p.name.endswith(".toml"))


def load_lattice(name_or_path: str | Path) -> Lattice:
    """A shipped lattice by name, or any TOML file by path.

    Raises ContractError naming the file, the part, the field, its value and what is allowed.
    """
    return lattice_of(str(name_or_path), read_table(name_or_path))


def read_table(name_or_path: str | Path, kind: str = "lattice", folder: str = "lattices") -> dict[str, Any]:
    """What a shipped file of `folder` or any TOML file by path holds. Raises ContractError when there is none."""
    text = str(name_or_path)
    if text in shipped(folder):
        content = files(__package__).joinpath(folder, f"{text}.toml").read_text()
    elif Path(text).is_file():
        content = Path(text).read_text()
    else:
        known = ", ".join(shipped(folder))
        raise ContractError(f"{kind} {text!r}: no such file, and none of the shipped ones: {known}")
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ContractError(f"{kind} {text}: not a TOML file: {error}") from error


def lattice_of(text: str, table: Mapping[str, Any]) -> Lattice:
    """The lattice that the file called `text` holds; raises as `load_lattice`."""
    if table.keys() != {"name", "line", "beam", "part"}:
        raise ContractError(f"{text}: has {sorted(table)}; a lattice has name, line, [beam] and [part.NAME] tables")
    beam = {k: quantity(f"{text}: beam.{k}", table["beam"].get(k), f) for k, f in BEAM.items()}
    parts = {name: _part(f"{text}: part.{name}", entry) for name, entry in table["part"].items()}
    try:
        return Lattice(
            str(table["name"]),
            Beam(1e6 * beam["mass"], beam["charge"], 1e6 * beam["energy"]),
            tuple(_line(text, table["line"], parts)),
        )
    except ContractError as error:
        raise ContractError(f"{text}: {error}") from error


def _part(where: str, entry: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """Kind and checked values of a part."""
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in PARTS:
        raise ContractError(f"{where}: kind = {kind!r}: must be one of {', '.join(PARTS)}")
    needed, optional = PARTS[kind]
    given, fields = entry.keys() - {"kind"}, {**needed, **optional}
    for what, names in (("missing", needed.keys() - given), ("unknown", given - fields.keys())):
        if names:
            raise ContractError(f"{where}: {what} {sorted(names)}; a {kind} has {', '.join(fields)}")
    return kind, {name: quantity(f"{where}.{name}", entry[name], fields[name]) for name in entry if name != "kind"}


def _line(where: str, line: list[str], parts: Mapping[str, tuple[str, dict[str, float]]]) -> list[Element]:
    """Elements of a line of part names; `-name` is the part with its field reversed. Parts used more than once are
    numbered: bpm_1, bpm_2."""
    names = [str(entry).removeprefix("-") for entry in line]
    if unknown := sorted(set(names) - parts.keys()):
        raise ContractError(f"line: {unknown[0]!r} is no part; there are {', '.join(parts)}")
    used: Counter[str] = Counter()
    found = []
    for entry, name in zip(line, names, strict=True):
        used[name] += 1
        own = f"{name}_{used[name]}" if names.count(name) > 1 else name
        found.append(_element(own, -1.0 if entry.startswith("-") else 1.0, *parts[name]))
    return found


def _element(name: str, sign: float, kind: str, v: Mapping[str, float]) -> Element:
    common = {"name": name, "length_m": v.get("length", 0.0), "aperture_m": v.get("aperture", math.inf)}
    steering = {"steering_t_m_a": v.get("steering", 0.0), "current_max_a": v.get("current_max", 0.0)}
    planes = ("h", "v") if v.keys() & STEERING.keys() else ()
    match kind:
        case "solenoid":
            return Solenoid(**common, **steering, planes=planes, field_t=sign * v["field"])  # type: ignore[arg-type]
        case "quadrupole":
            return Quadrupole(**common, gradient_t_m=sign * v["gradient"])  # type: ignore[arg-type]
        case "corrector":
            return Corrector(**common, **steering)  # type: ignore[arg-type]
        case "rf_gap":
            phase = math.radians(v["phase"])
            gap = {"voltage_v": v["voltage"], "phase_rad": phase, "frequency_hz": v["frequency"]}
            return RfGap(**common, **gap)  # type: ignore[arg-type]
        case "bpm":
            return Bpm(**common)  # type: ignore[arg-type]
    return Element(**common)  # type: ignore[arg-type]


def read_lattice_json(path: str | Path, beam: Beam, current_max_a: float = 1.0) -> Lattice:
    """cheetah's LatticeJSON, whose strengths are normalised: `beam` makes fields of them.

    Drift, Marker, Quadrupole, Solenoid, HorizontalCorrector, VerticalCorrector, BPM and Aperture (a pipe of the
    smaller half-width) are read as designed: misalignments belong to a machine, and angles are its setpoints. A
    corrector deflects by 1 mrad an ampere. Raises ContractError naming the file and the element for anything else,
    an electron's Cavity among it.
    """
    try:
        table = json.loads(Path(path).read_text(encoding="utf-8"))
        entries, lattices, root = table["elements"], table["lattices"], table["root"]
        line = _flat(lattices, root)
        found = []
        for name in line:
            kind, values = entries[name]
            found.append(_from_json(name, kind, values, beam, current_max_a))
        return Lattice(str(root), beam, tuple(found))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ContractError(f"{path}: not a LatticeJSON file: {error}") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ContractError(f"{path}: not a LatticeJSON file: {error} is missing or of another form") from error
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error
    except ValueError as error:  # an entry that is no pair
        raise ContractError(f"{path}: not a LatticeJSON file: {error}") from error


def _flat(lattices: Mapping[str, list[str]], name: str) -> list[str]:
    """Element names of a lattice and of those inside it, in order."""
    return [n for inner in lattices[name] for n in (_flat(lattices, inner) if inner in lattices else [inner])]


def _from_json(name: str, kind: str, values: Mapping[str, Any], beam: Beam, current_max_a: float) -> Element:
    def value(field: str, default: float = 0.0) -> float:
        given = values.get(field, default)
        sound = isinstance(given, int | float) and not isinstance(given, bool)
        if not sound or not (math.isfinite(given) or given == default):
            raise ContractError(f"element {name}: {field} = {given!r}: must be one finite number")
        return float(given)

    length, rigidity = value("length"), beam.rigidity_t_m
    match kind:
        case "Drift" | "Marker":
            return Element(name=name, length_m=length)
        case "BPM":
            return Bpm(name=name, length_m=length)
        case "Aperture":
            active = values.get("is_active", True)
            radius = min(value("x_max", math.inf), value("y_max", math.inf))
            return Element(name=name, aperture_m=radius if active else math.inf)
        case "Quadrupole":
            if value("tilt"):
                raise ContractError(f"element {name}: tilt = {value('tilt')}: a roll is read as no design; set it to 0")
            return Quadrupole(name=name, length_m=length, gradient_t_m=value("k1") * rigidity)
        case "Solenoid":
            return Solenoid(name=name, length_m=length, field_t=2.0 * value("k") * rigidity)
        case "HorizontalCorrector" | "VerticalCorrector":
            return Corrector(
                name=name,
                length_m=length,
                planes=("h",) if kind == "HorizontalCorrector" else ("v",),
                steering_t_m_a=1e-3 * rigidity,
                current_max_a=current_max_a,
            )
    raise ContractError(f"element {name}: a {kind} is not read; replace it by a drift or by parts of a TOML lattice")
