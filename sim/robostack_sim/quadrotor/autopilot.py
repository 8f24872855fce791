"""An autopilot's rate controller: its parameter file in PX4's own units, and the row of numbers a kernel reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from robostack.spec import ContractError
from robostack_sim.quadrotor.vehicle import Vehicle, read_parameters
from robostack_sim.quantity import Field

FIELDS: Mapping[str, Field] = {
    "rate_p": Field("s/rad", 0.0, 10.0, 3),
    "rate_i": Field("1/rad", 0.0, 100.0, 3),
    "rate_d": Field("s2/rad", 0.0, 1.0, 3),
    "integral_limit": Field("1", 0.0, 1.0, 3),
    "gyro_cutoff": Field("Hz", 5.0, 1000.0),
    "derivative_cutoff": Field("Hz", 5.0, 1000.0),
    "delay": Field("s", 0.0, 0.02),
    "thrust_model": Field("1", 0.0, 1.0),
    "airmode": Field("1", 0.0, 1.0),
    "rate_max": Field("rad/s", 0.1, 40.0, 3),
}

SUBSTEPS = 4
"""of the rate loop in a control period: 400 Hz, PX4's IMU_GYRO_RATEMAX, in 10 ms"""


class A(IntEnum):
    """Columns of the one row of numbers that every environment's rate controller has."""

    P = 0  # normalised torque over rad/s; roll, pitch, yaw, body FLU
    I = 3  # noqa: E741
    D = 6
    INTEGRAL_LIMIT = 9  # normalised torque
    GYRO = 12  # share of the gap that a filter closes in a substep
    SLOPE = 13
    DELAY = 14  # s, up to a substep
    THRUST_MODEL = 15  # share of the square in thrust over command
    AIRMODE = 16  # 1: thrust makes room for roll and pitch at its low end, too
    ROLL = 17  # thrust share of each rotor for one of normalised torque
    PITCH = 21
    YAW = 25
    RATE_MAX = 29  # rad/s
    SIZE = 32


@dataclass(frozen=True)
class Autopilot:
    """A multicopter's rate controller. Torque is PX4's: normalised, through a mixer that is normalised, too."""

    name: str
    rate_p: tuple[float, float, float]
    rate_i: tuple[float, float, float]
    rate_d: tuple[float, float, float]
    integral_limit: tuple[float, float, float]
    gyro_cutoff: float
    derivative_cutoff: float
    delay: float
    thrust_model: float
    airmode: float
    rate_max: tuple[float, float, float]

    @property
    def numbers(self) -> dict[str, float | tuple[float, ...]]:
        """All of them by name."""
        return {name: getattr(self, name) for name in FIELDS}

    def row(self, vehicle: Vehicle, step_dt: float) -> list[float]:
        """(A.SIZE,) for a control period of `step_dt`. Raises ContractError when the delay does not fit a substep."""
        substep = step_dt / SUBSTEPS
        if self.delay > substep:
            raise ContractError(
                f"{self.name}: delay = {self.delay} s: the rate loop's period is {substep:g} s, no more"
            )
        # a Butterworth filter of second order delays slow signals as a first-order one of this time constant does
        gyro = math.sqrt(2.0) / (2.0 * math.pi * self.gyro_cutoff)
        slope = 1.0 / (2.0 * math.pi * self.derivative_cutoff)
        shares = (1.0 - math.exp(-substep / tau) for tau in (gyro, slope))
        return [
            *self.rate_p, *self.rate_i, *self.rate_d, *self.integral_limit, *shares, self.delay,
            self.thrust_model, self.airmode, *mixer(vehicle).T.ravel().tolist(), *self.rate_max,
        ]  # fmt: skip


def mixer(vehicle: Vehicle) -> np.ndarray:
    """(4, 3) thrust share of each rotor for one of normalised roll, pitch and yaw torque, body FLU: the pseudo-inverse
    of the rotors' effect, scaled as PX4's control allocation scales it (ControlAllocationPseudoInverse): the larger of
    roll's and pitch's RMS over half the rotors is 1, and yaw's largest."""
    x, y, spin = (np.array(v) for v in (vehicle.rotor_x, vehicle.rotor_y, vehicle.rotor_spin))
    found = np.linalg.pinv(np.stack([y, -x, vehicle.torque_to_thrust * spin, np.ones(4)]))[:, :3]
    tilt = np.sqrt(np.square(found[:, :2]).sum(0) / 2.0).max()
    scaled: np.ndarray = found / np.array([tilt, tilt, found[:, 2].max()])
    return scaled


def hover_thrust(vehicle: Vehicle, autopilot: Autopilot) -> float:
    """The thrust command that carries the machine. A share of the most thrust only as far as THR_MDL_FAC straightens
    the rotors' own curve: with 0 it is the share of the most rotor speed."""
    share = (vehicle.hover_speed_rad_s - vehicle.rotor_speed_min) / _speed_range(vehicle)
    return autopilot.thrust_model * share**2 + (1.0 - autopilot.thrust_model) * share


def thrust_per_newton(vehicle: Vehicle, autopilot: Autopilot) -> float:
    """What the thrust command of a hovering machine changes for one newton more of all its rotors."""
    hover, (_, linear, square) = vehicle.hover_speed_rad_s, vehicle.thrust_curve
    share = (hover - vehicle.rotor_speed_min) / _speed_range(vehicle)
    per_share = 2.0 * autopilot.thrust_model * share + 1.0 - autopilot.thrust_model
    return per_share / _speed_range(vehicle) / (4.0 * (linear + 2.0 * square * hover))


def _speed_range(vehicle: Vehicle) -> float:
    return vehicle.rotor_speed_max - vehicle.rotor_speed_min


def load_autopilot(name_or_path: str | Path) -> Autopilot:
    """A shipped rate controller by name, or any file by path. Raises ContractError as `load_vehicle`."""
    name, values = read_parameters("autopilot", name_or_path, "autopilots", FIELDS, "px4_crazyflie.toml")
    return Autopilot(name=name, **values)
