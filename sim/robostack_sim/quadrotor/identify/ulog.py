"""PX4's ULog, by pyulog (the `ulog` extra).

NED and FRD become ENU and FLU. `actuator_motors` (0 to 1) is in the order of PX4's Quad X: front right, back left,
front left, back right. 0 is called `rotor_speed_min` and 1 `rotor_speed_max`, in proportion between: the thrust curve
that is found goes with these names. PX4 logs attitude and motors too slowly by default: set SDLOG_PROFILE to high rate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robostack.quaternion import multiply
from robostack.registry import MissingExtraError
from robostack.spec import ContractError
from robostack_sim.quadrotor.identify.log import Floats, Log, Series, joined
from robostack_sim.quadrotor.vehicle import Vehicle

ORDER = (0, 3, 1, 2)
"""of PX4's motors: our front right, back right, back left, front left"""
FIELDS = {
    "position": ("vehicle_local_position", ("x", "y", "z")),
    "velocity": ("vehicle_local_position", ("vx", "vy", "vz")),
    "attitude": ("vehicle_attitude", tuple(f"q[{i}]" for i in range(4))),
    "body_rate": ("vehicle_angular_velocity", tuple(f"xyz[{i}]" for i in range(3))),
    "command": ("actuator_motors", tuple(f"control[{i}]" for i in ORDER)),
}
FRD_TO_FLU = np.array([1.0, -1.0, -1.0])
HALF = np.sqrt(0.5)
NED_TO_ENU = np.array([0.0, HALF, HALF, 0.0])


def enu(ned: Floats) -> Floats:
    """(n, 3)"""
    return np.stack([ned[:, 1], ned[:, 0], -ned[:, 2]], 1)


def attitude(frd_to_ned_wxyz: Floats) -> Floats:
    """(n, 4) FLU to ENU."""
    turned = multiply(frd_to_ned_wxyz, np.array([0.0, 1.0, 0.0, 0.0]))  # from FLU to FRD first: half a turn about x
    return multiply(NED_TO_ENU, turned)


def read(path: Path, vehicle: Vehicle) -> Log:
    """Raises MissingExtraError, ContractError naming the topic or field that is missing."""
    try:
        from pyulog import ULog
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "a ULog needs pyulog, which the 'ulog' extra installs: pip install 'robostack[ulog]'"
        ) from error
    if not path.is_file():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    try:
        log = ULog(str(path), sorted({topic for topic, _ in FIELDS.values()}))
    except Exception as error:  # a reader of bytes from anywhere: struct, index and other errors besides its own
        raise ContractError(f"{path}: no ULog, or a damaged one ({error})") from error
    raw = {name: _series(path, log, *where) for name, where in FIELDS.items()}
    span = vehicle.rotor_speed_max - vehicle.rotor_speed_min
    convert = {
        "position": enu,
        "velocity": enu,
        "attitude": attitude,
        "body_rate": lambda rate: FRD_TO_FLU * rate,
        "command": lambda share: vehicle.rotor_speed_min + span * share,
    }
    channels = {name: Series(s.time_s, convert[name](s.values)) for name, s in raw.items()}
    return Log(str(path), channels, sampled=True)


def _series(path: Path, log: Any, topic: str, fields: tuple[str, ...]) -> Series:
    found = next((d for d in log.data_list if d.name == topic), None)
    if found is None:
        has = ", ".join(sorted({d.name for d in log.data_list})) or "none of those that are needed"
        raise ContractError(f"{path}: no topic {topic}; it has {has}. Set SDLOG_PROFILE to high rate and fly again")
    missing = [f for f in fields if f not in found.data]
    if missing:
        raise ContractError(f"{path}: {topic} has no {missing[0]}; it has {', '.join(sorted(found.data))}")
    return Series(1e-6 * found.data["timestamp"], joined([found.data[f] for f in fields]))
