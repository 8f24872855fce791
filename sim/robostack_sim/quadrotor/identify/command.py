"""`robostack identify`: find a quadrotor's numbers in a log of its flight"""

from __future__ import annotations

import dataclasses
import errno
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robostack.commands.answer import answer
from robostack.spec import ContractError
from robostack_sim.quadrotor.identify.names import Name

if TYPE_CHECKING:
    from robostack_sim.quadrotor.identify.fit import Estimate
    from robostack_sim.quadrotor.identify.log import Log, Pieces
    from robostack_sim.quadrotor.vehicle import Vehicle


@dataclass(frozen=True)
class Command:
    """Find a quadrotor's mass, thrust curve, rotor lag and delay in a log of its flight, with how sure they are.

    Fits the simulator to the log and writes a vehicle file, with the line that trains over what the log leaves open.
    Takes our recordings (.mcap, a folder of `ros2 bag`, a flight's .npz), the CSV of cfclient or cflib (several files
    of one flight, where a log block was too small), and PX4's .ulg. Needed are position, velocity, attitude, body rate
    and the rotors' commands, at 40 Hz or more; fly steps in height, roll, pitch and yaw for half a minute.

    A log that cannot tell two numbers apart is refused, with the reason. Inertia is taken to be right, and turns then
    tell thrust in newtons; if you have weighed the machine, let mass be right instead and look for inertia.

    Example: robostack identify --log flight.csv --vehicle crazyflie_2_1.toml
    Example: robostack identify --log state.csv motors.csv --fit thrust curve rise fall delay inertia
    """

    log: tuple[Path, ...]
    """Where it flew; several files only as the CSVs of one flight."""
    vehicle: str = "crazyflie_2_1"
    """What to begin with: a shipped name or the path of a TOML file."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("identified.toml")
    """The vehicle file to write; one that is there is never overwritten."""
    fit: tuple[Name, ...] = ("mass", "thrust", "curve", "rise", "fall", "delay", "torque")
    """What to look for; the vehicle file is right about the rest."""
    begin_s: float = 0.0
    """Leave out what is before, such as the take-off; since the log's first sample."""
    end_s: float = float("inf")
    """Leave out what is after."""
    namespace: str | None = None
    """Of a recording's topics, where several stacks are in it."""
    json: bool = False
    """Print the result as JSON for a script."""

    def run(self) -> int:
        from robostack.run_folder import write_atomic
        from robostack_sim.quadrotor.identify.fit import fit
        from robostack_sim.quadrotor.identify.log import pieces
        from robostack_sim.quadrotor.identify.machine import Machine

        if self.output.exists():
            raise FileExistsError(errno.EEXIST, "exists already; say another --output", str(self.output))
        machine = Machine(self.vehicle, self.fit)
        log = self._read(machine.vehicle)
        whole = pieces(log, self.begin_s, self.end_s)
        import torch

        from robostack_sim.quadrotor.identify.windows import Windows

        torch.set_num_threads(1)
        windows = Windows(whole.found, whole.dt_s, machine, log.compensated)
        try:
            estimate = fit(windows)
        except ContractError as error:
            raise type(error)(f"{log.where}: {error}") from error
        write_atomic(self.output, self._file(estimate).encode())
        self._tell(estimate, whole)
        return 0

    def _read(self, vehicle: Vehicle) -> Log:
        kinds = {".csv": "csv", ".ulg": "ulg", ".mcap": "mcap", ".npz": "mcap"}
        found = {kinds.get(p.suffix.lower(), "mcap" if p.is_dir() else "") for p in self.log}
        if not self.log or found - {"csv", "ulg", "mcap"} or (len(self.log) > 1 and found != {"csv"}):
            given = ", ".join(map(str, self.log)) or "nothing"
            raise ContractError(
                f"--log {given}: give one .mcap, .npz, .ulg or folder of `ros2 bag`, or the .csv files of one flight"
            )
        from robostack_sim.quadrotor.identify import crazyflie, mcap, ulog

        if found == {"csv"}:
            return crazyflie.read(self.log, vehicle)
        if found == {"ulg"}:
            return ulog.read(self.log[0], vehicle)
        return mcap.read(self.log[0], vehicle, self.namespace)

    def _file(self, estimate: Estimate) -> str:
        from datetime import UTC, datetime

        from robostack_sim.quadrotor.identify.outcome import vehicle_file

        date = datetime.now(UTC).strftime("%Y-%m-%d")
        logs = [p.name for p in self.log]
        return vehicle_file(estimate, self.output.stem, str(self.output), logs, date)

    def _tell(self, estimate: Estimate, whole: Pieces) -> None:
        from robostack_sim.quadrotor.identify.outcome import ranges, table, train_command

        found, seconds = table(estimate), sum(len(p.state) for p in whole.found) * whole.dt_s
        if self.json:
            result = {
                "vehicle": str(self.output),
                "found": [dataclasses.asdict(f) for f in found],
                "ranges": ranges(estimate),
                "train": train_command(str(self.output), estimate),
                "seconds": seconds,
                "windows": estimate.windows,
                "notes": whole.notes,
            }
            answer(result)
            return
        from rich import box
        from rich.table import Table

        from robostack.commands.report import table_console

        for note in whole.notes:
            print(f"left out: {note}")
        lines = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("", "file", "found", "+-", "unit"):
            lines.add_column(column, justify="right" if column in ("file", "found", "+-") else "left")
        for f in found:
            lines.add_row(f.name, f"{f.before:.4g}", f"{f.value:.4g}", f"{f.std:.2g}", f.unit)
        table_console().print(lines)
        position, turn, velocity, rate = (part.mean().item() for part in estimate.deviation.unflatten(0, (4, 3)))
        print(
            f"from {seconds:.1f} s in {estimate.windows} windows; what is left: {1e3 * position:.2g} mm, "
            f"{1e3 * turn:.2g} mrad, {1e3 * velocity:.2g} mm/s, {1e3 * rate:.2g} mrad/s"
        )
        print(f"wrote {self.output}; train over what this flight leaves open:")
        print(f"  {train_command(str(self.output), estimate)}")
