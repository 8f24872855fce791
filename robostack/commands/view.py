"""`robostack view`"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from robostack.run_folder import RunFolder
from robostack.spec import ContractError

FRAME_S = 1 / 30
BEGINS_S = 30.0
"""that a training takes to write its settings down"""


@dataclass(frozen=True)
class Command:
    """Show a run on a web page, until Ctrl-C: its flights, to scrub through and to lay over each other.

    A flight of a machine has the simulated one like it laid over it. With --live many environments fly the policy of a
    run that is being trained, as it is now; they are the page's own, so training goes on as fast.

    Example: robostack view logs/quadrotor/latest
    Example: robostack view quadrotor --live --num-envs 64
    """

    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder, or a task (its newest run). Default: the newest run."""
    live: bool = False
    """Fly the policy as it is now."""
    num_envs: int = 36
    """With --live: how many environments."""
    host: str = "127.0.0.1"
    """Address to serve at: this machine's own where others are to see it."""
    port: int = 8080
    """One that is taken gives way to the next."""
    seconds: float | None = None
    """End by itself after so long. Default: Ctrl-C."""
    root: Path = Path("logs")
    """Folder with the runs."""

    def run(self) -> int:
        if not 1 <= self.num_envs <= 1024:
            raise ContractError(f"--num-envs {self.num_envs}: must lie in [1, 1024]")
        run = RunFolder.find(self.run_folder, self.root)
        import viser  # noqa: F401  before anything is loaded that takes its time

        end = float("inf") if self.seconds is None else time.monotonic() + self.seconds
        with suppress(KeyboardInterrupt):
            shown = self._live(run) if self.live else self._flights(run)
            try:
                before = time.monotonic()
                while (now := time.monotonic()) < end:
                    shown.advance(now - before)
                    before = now
                    time.sleep(max(0.0, FRAME_S - (time.monotonic() - now)))
            finally:
                shown.close()
        return 0

    def _flights(self, run: RunFolder) -> Any:
        from robostack.evaluate.flight import Flight, FlightError
        from robostack.view.flights import FlightsPage

        flights = []
        for path in sorted(run.flights.glob("*.npz")):
            try:
                flights.append(Flight.load(path))
            except FlightError as error:
                print(f"left out: {error}", file=sys.stderr)
        if not flights:
            raise ContractError(f"{run.path} has no flights yet: robostack fly {run.path}")
        numbers: dict[str, Any] = {}
        if run.policy.exists():
            from robostack.export.onnx import load_policy

            numbers = load_policy(run.policy).spec.provenance.get("machine", {})
        page = FlightsPage(flights, numbers, self.host, self.port)
        print(f"{len(flights)} flights of {run.path}: {page.where}", flush=True)
        return page

    def _live(self, run: RunFolder) -> Any:
        end = time.monotonic() + BEGINS_S
        while not (run.path / "config.json").exists() and time.monotonic() < end:
            time.sleep(0.1)
        from robostack.view.live import LivePage

        page = LivePage(run, self.num_envs, self.host, self.port)
        print(f"{self.num_envs} environments under the policy of {run.path}: {page.where}", flush=True)
        return page
