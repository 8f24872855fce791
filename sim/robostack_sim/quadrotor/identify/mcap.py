"""Our recordings: `robostack record`, `ros2 bag record`, and flights (.npz, or .mcap of robostack.evaluate.bag)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from robostack.evaluate import bag, replay
from robostack.evaluate.flight import Flight
from robostack.spec import PolicySpec
from robostack_sim.quadrotor.identify.log import Log, Series
from robostack_sim.quadrotor.interface import actions, channels, envelope
from robostack_sim.quadrotor.vehicle import Vehicle

MEASURED = ("position", "velocity", "attitude", "body_rate")


def read(path: Path, vehicle: Vehicle, namespace: str | None = None) -> Log:
    """`odom` and `action` (rotor speeds), by their time of arrival, so that the delay found is the one of the loop.
    Commands that nobody obeyed, by `device_status` or a flight's `status`, are left out.

    Raises ContractError naming the topic that is missing, or that carries no rotor speeds.
    """
    found = tuple(c for c in channels(vehicle) if c.name in MEASURED)
    spec = PolicySpec(
        task="quadrotor", control_dt_s=0.01, observations=found, actions=actions(vehicle), envelope=envelope(vehicle)
    )
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        kept = path
        if path.suffix == ".npz":
            kept = bag.save(Flight.load(path), Path(folder) / f"{path.stem}.mcap")
        recording = replay.read(kept, spec, namespace)
    series = {n: Series(np.float64(1e-9) * s.time_ns, s.values) for n, s in recording.observations.items()}
    ticks = recording.actions.time_ns
    command = np.where(replay.commanded(recording.commands, ticks)[:, None], recording.actions.values, np.nan)
    return Log(str(path), {**series, "command": Series(np.float64(1e-9) * ticks, command)})
