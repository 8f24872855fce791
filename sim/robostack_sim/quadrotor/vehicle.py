"""A quadrotor's parameter file: every number with its unit and its source, checked against an allowed range."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from robostack.spec import ContractError
from robostack_sim.quantity import Field, quantity

GRAVITY_M_S2 = 9.81


FIELDS: Mapping[str, Field] = {
    "mass": Field("kg", 0.005, 20.0),
    "inertia": Field("kg m2", 1e-7, 1.0, 3),
    "rotor_x": Field("m", -1.0, 1.0, 4),
    "rotor_y": Field("m", -1.0, 1.0, 4),
    "rotor_spin": Field("1", -1.0, 1.0, 4),
    "thrust_curve": Field("N, N s/rad, N s2/rad2", -1.0, 1.0, 3),
    "torque_to_thrust": Field("m", 1e-4, 0.2),
    "rotor_speed_min": Field("rad/s", 0.0, 5000.0),
    "rotor_speed_max": Field("rad/s", 10.0, 20000.0),
    "rotor_rise_time": Field("s", 0.005, 1.0),
    "rotor_fall_time": Field("s", 0.005, 1.0),
    "drag": Field("N s/m", 0.0, 10.0, 3),
    "battery_discharge": Field("1/s", 0.0, 0.05),
    "battery_sag": Field("1", 0.0, 0.5),
    "battery_compensation": Field("1", 0.0, 1.0),
    "position_noise": Field("m", 0.0, 1.0),
    "attitude_noise": Field("1", 0.0, 0.2),
    "velocity_noise": Field("m/s", 0.0, 2.0),
    "rate_noise": Field("rad/s", 0.0, 5.0),
}


@dataclass(frozen=True)
class Vehicle:
    """SI values of one machine; rotors in the order front right, back right, back left, front left for an X frame."""

    name: str
    mass: float
    inertia: tuple[float, float, float]
    rotor_x: tuple[float, ...]
    rotor_y: tuple[float, ...]
    rotor_spin: tuple[float, ...]
    thrust_curve: tuple[float, float, float]
    torque_to_thrust: float
    rotor_speed_min: float
    rotor_speed_max: float
    rotor_rise_time: float
    rotor_fall_time: float
    drag: tuple[float, float, float]
    battery_discharge: float
    battery_sag: float
    battery_compensation: float
    position_noise: float
    attitude_noise: float
    velocity_noise: float
    rate_noise: float

    def thrust_n(self, speed_rad_s: float) -> float:
        """Thrust of one rotor."""
        c0, c1, c2 = self.thrust_curve
        return c0 + c1 * speed_rad_s + c2 * speed_rad_s**2

    @property
    def numbers(self) -> dict[str, float | tuple[float, ...]]:
        """All of them by name."""
        return {name: getattr(self, name) for name in FIELDS}

    @property
    def thrust_to_weight(self) -> float:
        return 4 * self.thrust_n(self.rotor_speed_max) / (self.mass * GRAVITY_M_S2)

    @property
    def hover_speed_rad_s(self) -> float:
        """Rotor speed at which four rotors carry the machine."""
        c0, c1, c2 = self.thrust_curve
        lift = self.mass * GRAVITY_M_S2 / 4
        return (math.sqrt(c1 * c1 - 4 * c2 * (c0 - lift)) - c1) / (2 * c2)


def shipped(folder: str = "parameters") -> list[str]:
    """Names of the parameter files that come with the package."""
    return sorted(p.name[:-5] for p in files(__package__).joinpath(folder).iterdir() if p.name.endswith(".toml"))


def load_vehicle(name_or_path: str | Path) -> Vehicle:
    """A shipped vehicle by name, or any file by path.

    Raises ContractError naming the file, the field, its value and what is allowed.
    """
    where = name_or_path
    name, values = read_parameters("vehicle", where, "parameters", FIELDS, "crazyflie_2_1.toml")
    vehicle = Vehicle(name=name, **values)
    if vehicle.rotor_speed_max <= vehicle.rotor_speed_min:
        raise ContractError(f"{where}: rotor_speed_max = {vehicle.rotor_speed_max}: must be above rotor_speed_min")
    if vehicle.thrust_curve[2] <= 0:
        raise ContractError(f"{where}: thrust_curve = {vehicle.thrust_curve}: its quadratic part must be positive")
    if vehicle.thrust_to_weight < 1.2:
        raise ContractError(
            f"{where}: thrust to weight is {vehicle.thrust_to_weight:.2f}: it cannot fly; check mass (kg), "
            "thrust_curve (N over rad/s, not rpm) and rotor_speed_max"
        )
    return vehicle


def read_parameters(
    kind: str, name_or_path: str | Path, folder: str, fields: Mapping[str, Field], example: str
) -> tuple[str, dict[str, Any]]:
    """Name and checked values of a parameter file: a shipped one in `folder` by name, or any by path. Raises
    ContractError."""
    text, content = str(name_or_path), parameters_text(kind, name_or_path, folder)
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ContractError(f"{kind} {text}: not a TOML file: {error}") from error
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise ContractError(f"{text}: name: missing; give the {kind} a name in quotes")
    missing, unknown = fields.keys() - table.keys(), table.keys() - fields.keys()
    if missing or unknown:
        what = f"missing {sorted(missing)}" if missing else f"unknown {sorted(unknown)}"
        raise ContractError(f"{text}: {what}; the fields are those of {example}")
    return name, {key: quantity(f"{text}: {key}", table[key], f) for key, f in fields.items()}


def parameters_text(kind: str, name_or_path: str | Path, folder: str) -> str:
    """A shipped parameter file in `folder` by name, or any by path. Raises ContractError."""
    text = str(name_or_path)
    if text in shipped(folder):
        return files(__package__).joinpath(folder, f"{text}.toml").read_text()
    if Path(text).is_file():
        return Path(text).read_text()
    known = ", ".join(shipped(folder))
    raise ContractError(f"{kind} {text!r}: no such file, and none of the shipped ones: {known}")
