"""`robostack fly`"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from robostack.run_folder import RunFolder


@dataclass(frozen=True)
class Command:
    """Fly the exported policy: the firmware on a board closes the loop with the simulated machine.

    In lockstep the board is the clock, so a flight is the same to the byte every time. Over the serial line the
    board's timer paces the flight, and round trips of the line alone are timed before it. Without the cross
    compiler and the emulator the same C runs as a process of this machine, and the report says so.

    Example: robostack fly logs/quadrotor/latest --transport lockstep
    """

    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder, or a task (its newest run). Default: the newest run."""
    transport: Literal["both", "lockstep", "serial"] = "both"
    board: str = "auto"
    """A board by its name (`robostack list`), or auto: emulated where the tools are, else this machine."""
    seed: int = 0
    """Of the starts and the noise."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the figures as JSON for a script."""

    def run(self) -> int:
        run = RunFolder.find(self.run_folder, self.root)
        from robostack.export.onnx import load_policy

        load_policy(RunFolder.find_policy(run.path))  # a file that is no policy is refused before torch is loaded
        from robostack.evaluate.fly import fly

        with run.stage("fly"):
            rows = fly(run, board=self.board, transport=self.transport, seed=self.seed)
            run.record(fly={"rows": rows})
        if self.json:
            print(json.dumps({"run": str(run.path), "rows": rows}, indent=2))
        else:
            from robostack.commands.report import print_rows

            print_rows(rows)
        return 0
