"""What was found, as a vehicle file and as ranges to train over."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.identify.fit import Estimate
from robostack_sim.quadrotor.vehicle import FIELDS, parameters_text

SIGMAS = 2.0
LEAST: Mapping[str, float] = {"mass": 0.02, "thrust": 0.03, "rise": 0.1, "delay": 0.002}
"""half a range at least: what one flight does not show, such as the next battery; relative, of a delay in s"""
OF_FIELD: Mapping[str, tuple[str, ...]] = {
    "mass": ("mass",),
    "thrust_curve": ("thrust", "curve"),
    "rotor_rise_time": ("rise",),
    "rotor_fall_time": ("fall",),
    "torque_to_thrust": ("torque",),
    "inertia": ("inertia",),
}


@dataclass(frozen=True)
class Found:
    """One number beside the file's; `std` in the same unit."""

    name: str
    unit: str
    before: float
    value: float
    std: float


def table(estimate: Estimate) -> list[Found]:
    """In the order of what was to be found. Thrust is that of a rotor at the file's hover speed, and a curve the part
    of the quadratic one that is linear instead."""
    old, new = estimate.machine.vehicle, estimate.vehicle
    hover, of = old.hover_speed_rad_s, dict(zip(estimate.machine.names, estimate.theta.tolist(), strict=False))
    values: dict[str, tuple[str, float, float]] = {
        "mass": ("kg", old.mass, new.mass),
        "thrust": ("N", old.thrust_n(hover), new.thrust_n(hover)),
        "curve": ("1", 0.0, of.get("curve", 0.0)),
        "rise": ("s", old.rotor_rise_time, new.rotor_rise_time),
        "fall": ("s", old.rotor_fall_time, new.rotor_fall_time),
        "delay": ("s", 0.0, estimate.delay_s),
        "torque": ("m", old.torque_to_thrust, new.torque_to_thrust),
        "inertia": ("kg m2 (x)", old.inertia[0], new.inertia[0]),
    }
    found = []
    for name in estimate.machine.names:
        unit, before, value = values[name]
        relative = name not in ("curve", "delay")
        found.append(Found(name, unit, before, value, estimate.std(name) * (abs(value) if relative else 1.0)))
    return found


def ranges(estimate: Estimate) -> dict[str, tuple[float, float]]:
    """What `robostack train quadrotor` takes, by setting: two deviations to either side, or LEAST."""
    names: list[str] = [*estimate.machine.names]
    found: dict[str, tuple[float, float]] = {}
    for name, setting, centre in (
        ("mass", "mass_scale", 1.0),
        ("thrust", "thrust_scale", 1.0),
        ("rise", "rotor_time_s", estimate.vehicle.rotor_rise_time),
    ):
        if name in names:
            half = max(SIGMAS * estimate.std(name), LEAST[name])
            found[setting] = (centre * (1.0 - half), centre * (1.0 + half))
    if "delay" in names:
        half = max(SIGMAS * estimate.std("delay"), LEAST["delay"])
        most = 3.0 * QuadrotorConfig().step_dt
        found["delay_s"] = (max(0.0, min(estimate.delay_s - half, most)), min(estimate.delay_s + half, most))
    return found


def train_command(file_name: str, estimate: Estimate) -> str:
    settings = [f"--{name.replace('_', '-')} {low:.4g} {high:.4g}" for name, (low, high) in ranges(estimate).items()]
    return " ".join(["robostack train quadrotor --vehicle", file_name, *settings])


def vehicle_file(estimate: Estimate, name: str, file_name: str, logs: Sequence[str], date: str) -> str:
    """The text of a TOML file: what was found with its deviation for a source, the rest as the file before has it."""
    before = tomllib.loads(parameters_text("vehicle", estimate.machine.file, "parameters"))
    where = ", ".join(logs)
    lines = [
        f"# {before['name']}, identified from {where}. Train over what one flight leaves open:",
        f"#   {train_command(file_name, estimate)}",
        f'name = "{name}"',
        "",
    ]
    identified: list[str] = [*estimate.machine.names]
    for field, entry in before.items():
        if field == "name":
            continue
        named = [n for n in OF_FIELD.get(field, ()) if n in identified]
        value, source = entry["value"], entry["source"]
        if named:
            sure = ", ".join(f"{n} +-{_percent(estimate, n)}" for n in named)
            value = getattr(estimate.vehicle, field)
            source = f"robostack identify {date}, {where}: {sure}"
        shown = _number(list(value) if isinstance(value, tuple) else value)
        lines.append(
            f"{field} = {{ value = {shown}, unit = {_quoted(FIELDS[field].unit)}, source = {_quoted(source)} }}"
        )
    return "\n".join(lines) + "\n"


def _percent(estimate: Estimate, name: str) -> str:
    return f"{estimate.std(name):.3f}" if name == "curve" else f"{100 * estimate.std(name):.2g} %"


def _number(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_number, value))}]"
    return repr(float(f"{value:.7g}"))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
