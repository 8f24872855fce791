"""CSV files of a Crazyflie's log variables, as cfclient writes them and as scripts with cflib do.

A row has a time in ms by the Crazyflie's clock and one column a variable, under its name (`stateEstimate.x`). A log
block holds 26 bytes, too few for all that is needed, so several files of one flight may be given. Pitch has Bitcraze's
legacy sign (nose up). Of the two ways a command may be logged the first that is there is taken:

- `rsp.m1` to `rsp.m4`, rad/s: our app's; 0 while the policy does not fly, which is left out;
- `motor.m1` to `motor.m4`, PWM ratios of 65535, with `pm.vbat`: the share of a full cell's voltage that a motor gets,
  times `rotor_speed_max`. What speed a voltage is called does not matter: the thrust curve that is found goes with it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robostack.quaternion import from_euler
from robostack.spec import ContractError
from robostack_sim.quadrotor.identify.log import Floats, Log, Series, joined
from robostack_sim.quadrotor.vehicle import Vehicle

TIMES = ("timestamp", "time", "tick")
"""names of the first column in lower case, ms"""
FULL_CELL_V = 4.2
FULL_RATIO = 65535.0
APP = tuple(f"rsp.m{i}" for i in (1, 2, 3, 4))
MOTORS = (*(f"motor.m{i}" for i in (1, 2, 3, 4)), "pm.vbat")
Convert = Callable[[Floats], Floats]


def _attitude(degrees: Floats) -> Floats:
    """(n, 4) of roll, pitch (up) and yaw."""
    roll, pitch, yaw = np.radians(degrees).T
    return from_euler("ZYX", np.stack([yaw, -pitch, roll], 1))


WAYS: dict[str, list[tuple[tuple[str, ...], Convert]]] = {
    "position": [(tuple(f"stateEstimate.{n}" for n in "xyz"), np.asarray)],
    "velocity": [(tuple(f"stateEstimate.v{n}" for n in "xyz"), np.asarray)],
    "attitude": [
        (tuple(f"stateEstimate.q{n}" for n in "wxyz"), np.asarray),
        (("stateEstimate.roll", "stateEstimate.pitch", "stateEstimate.yaw"), _attitude),
    ],
    "body_rate": [(tuple(f"gyro.{n}" for n in "xyz"), np.radians)],
}


@dataclass(frozen=True)
class _Table:
    path: Path
    time_s: Floats
    columns: dict[str, Floats]


def read(paths: Sequence[Path], vehicle: Vehicle) -> Log:
    """Raises ContractError naming the file, the row or the columns."""
    tables = [_table(path) for path in paths]
    where = ", ".join(map(str, paths))
    found = {name: _first(where, tables, name, ways) for name, ways in WAYS.items()}
    if _having(tables, APP):
        values = _series(tables, APP)
        flown = (values.values > 0.0).any(1, keepdims=True)
        return Log(where, {**found, "command": Series(values.time_s, np.where(flown, values.values, np.nan))})
    ways: list[tuple[tuple[str, ...], Convert]] = [(APP, np.asarray), (MOTORS, np.asarray)]
    motors = _first(where, tables, "command", ways)
    share = motors.values[:, :4] / FULL_RATIO * motors.values[:, 4:] / FULL_CELL_V
    command = Series(motors.time_s, share * vehicle.rotor_speed_max)
    return Log(where, {**found, "command": command}, sampled=True, compensated=True)


def _first(where: str, tables: list[_Table], channel: str, ways: list[tuple[tuple[str, ...], Convert]]) -> Series:
    for names, convert in ways:
        if _having(tables, names):
            s = _series(tables, names)
            return Series(s.time_s, convert(s.values))
    wanted = ", or ".join(", ".join(names) for names, _ in ways)
    has = ", ".join(c for t in tables for c in t.columns)
    raise ContractError(
        f"{where}: {channel} needs the columns {wanted}; it has {has}. Log them, in a second file if need be"
    )


def _having(tables: list[_Table], names: tuple[str, ...]) -> bool:
    return all(any(n in t.columns for t in tables) for n in names)


def _series(tables: list[_Table], names: tuple[str, ...]) -> Series:
    """At the times of the first name's file; what is in another one is interpolated."""
    holding = [next(t for t in tables if n in t.columns) for n in names]
    time_s = holding[0].time_s
    values = [
        t.columns[n] if t is holding[0] else np.interp(time_s, t.time_s, t.columns[n])
        for n, t in zip(names, holding, strict=True)
    ]
    return Series(time_s, joined(values))


def _table(path: Path) -> _Table:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    head = [name.strip() for name in rows[0]] if rows else []
    if not head or head[0].lower() not in TIMES:
        first = f"begins with {head[0]!r}" if head else "is empty"
        raise ContractError(f"{path}: {first}; the first column of a Crazyflie's CSV is Timestamp, in ms")
    if len(rows) < 2:
        raise ContractError(f"{path}: no rows below its header")
    numbers = np.empty((len(rows) - 1, len(head)))
    for i, row in enumerate(rows[1:]):
        try:
            numbers[i] = [float(cell) if cell.strip() else np.nan for cell in row]
        except ValueError as error:
            raise ContractError(f"{path}: row {i + 2} is not {len(head)} numbers: {','.join(row)[:80]}") from error
    return _Table(path, 1e-3 * numbers[:, 0], {n: numbers[:, k] for k, n in enumerate(head) if k})
