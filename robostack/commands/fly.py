"""`robostack fly`"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError


@dataclass(frozen=True)
class Command:
    """Fly the exported policy: on a board in simulation, or on a machine.

    Without --uri the firmware on a board closes the loop with the simulated machine. In lockstep the board is the
    clock, so a flight is the same to the byte every time. Over the serial line the board's timer paces the flight, and
    round trips of the line alone are timed before it. Without the cross compiler and the emulator the same C runs as a
    process of this machine, and the report says so.

    With --uri a machine flies and this host guards it: checks, take-off under the machine's own controller, hand-over,
    a trajectory, and hand-back and landing at its end or on any doubt. A Crazyflie carries the policy itself; with PX4
    it runs here, behind its envelope, and PX4 follows its thrust and body rates in OFFBOARD. A machine that can hurt
    somebody needs --dead-man, a switch that a hand holds down: whatever is not at the address 127.0.0.1, so give that
    address to simulations only.

    Example: robostack fly logs/quadrotor/latest --transport lockstep
    Example: robostack fly policy.onnx --uri radio://0/80/2M --dead-man /dev/input/event5 --trajectory figure-eight
    Example: robostack fly policy.onnx --uri mavlink:///dev/ttyACM0:921600 --dead-man /dev/input/event5
    """

    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder, or a task (its newest run); with --uri a policy.onnx will do. Default: the newest run."""
    transport: Literal["both", "lockstep", "serial"] = "both"
    board: str = "auto"
    """A board by its name (`robostack list`), or auto: emulated where the tools are, else this machine."""
    seed: int = 0
    """Of the starts and the noise."""
    uri: str | None = None
    """Of a machine. A Crazyflie: radio://0/80/2M, usb://0, udp://127.0.0.1:19850 (`robostack twin crazyflie`). PX4:
    udpin://127.0.0.1:14540 listens (`robostack twin px4`, its own simulation), udpout://HOST:PORT speaks first,
    mavlink:///dev/ttyACM0:921600."""
    trajectory: Literal["hover", "figure-eight"] = "hover"
    """With --uri: what it follows."""
    seconds: float = 10.0
    """With --uri: how long the policy flies."""
    period_s: float = 5.5
    """With --uri: of the figure-eight, 2 x 1 m."""
    height_m: float = 0.5
    """With --uri: above where it stands."""
    dead_man: Path | None = None
    """With --uri: an input device, /dev/input/event..., of which a key or button is held down."""
    log: Literal["csv", "mcap"] = "csv"
    """With --uri: what the flight is kept as; mcap is for Foxglove and `ros2 bag` (extra: record)."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the figures as JSON for a script."""

    def run(self) -> int:
        if self.uri is not None:
            return self._guarded(self.uri)
        run = RunFolder.find(self.run_folder, self.root)
        from robostack.export.onnx import load_policy

        load_policy(RunFolder.find_policy(run.path))  # a file that is no policy is refused before torch is loaded
        from robostack.evaluate.fly import fly

        with run.stage("fly"):
            rows = fly(run, board=self.board, transport=self.transport, seed=self.seed)
            run.record(fly={"rows": rows})
        self._show({"run": str(run.path), "rows": rows})
        return 0

    def _guarded(self, uri: str) -> int:
        """Exit status 1 when the flight was cut short."""
        from robostack import hosts
        from robostack.evaluate import bag, guarded
        from robostack.evaluate.flight import GUARDED
        from robostack.evaluate.trajectory import FigureEight, Hover
        from robostack.export.onnx import load_policy

        if not (self.seconds > 0 and self.period_s > 0 and 0.2 <= self.height_m <= 1.5):
            raise ContractError(
                f"--seconds {self.seconds:g}, --period-s {self.period_s:g}: must be above 0; "
                f"--height-m {self.height_m:g}: must lie in [0.2, 1.5]"
            )
        if self.log == "mcap":
            bag.Messages()  # what is not installed is found out on the ground
        path = RunFolder.find_policy(self.run_folder, self.root)
        policy = load_policy(path)
        trajectory = FigureEight(self.period_s) if self.trajectory == "figure-eight" else Hover()
        host, switch = hosts.connect(uri), hosts.dead_man(self.dead_man) if self.dead_man else None
        flight = guarded.GuardedFlight(
            host,
            policy,
            trajectory,
            seconds=self.seconds,
            height_m=self.height_m,
            held=switch.held if switch else None,
            tell=lambda line: print(f"{uri}: {line}", file=sys.stderr),
        )
        with switch or nullcontext(), host:
            outcome = flight.fly()
        stamp = f"{GUARDED}{datetime.now():%Y-%m-%d_%H-%M-%S}_{trajectory.name}"
        saved = guarded.save(outcome, path, self.root, stamp, self.log)
        self._show({"log": str(saved), "doubt": outcome.doubt, "rows": guarded.judge(outcome, saved.parent)})
        if outcome.doubt:
            print(f"robostack: the flight was cut short: {outcome.doubt}", file=sys.stderr)
        return int(bool(outcome.doubt))

    def _show(self, result: dict[str, Any]) -> None:
        if self.json:
            answer(result)
            return
        from robostack.commands.report import print_rows

        print_rows(result["rows"])
        if "log" in result:
            print(f"log: {result['log']}")
