"""`robostack twin`"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from robostack.run_folder import RunFolder
from robostack.spec import ContractError


@dataclass(frozen=True)
class Command:
    """Start the emulated counterpart of a machine that carries a policy, until Ctrl-C.

    A virtual Crazyflie is the app's C with the policy compiled in, a simulated airframe, and the radio protocol over
    UDP: `robostack fly --uri udp://127.0.0.1:19850`, cfclient and cflib take it for a Crazyflie.

    Example: robostack twin crazyflie logs/quadrotor/latest
    """

    machine: Annotated[Literal["crazyflie"], tyro.conf.Positional]
    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder with an export, or a task (its newest run). Default: the newest run."""
    port: int = 19850
    """UDP, on this machine alone; cflib finds 19850 to 19859 by itself."""
    loss: float = 0.0
    """Share of packets lost, each way."""
    seed: int = 0
    """Of the noise."""
    root: Path = Path("logs")
    """Folder with the runs."""

    def run(self) -> int:
        if not 0.0 <= self.loss < 1.0:
            raise ContractError(f"--loss {self.loss:g}: must lie in [0, 1)")
        run = RunFolder.find(self.run_folder, self.root)
        exports = [run.exported / target / "generated" for target in ("crazyflie", "firmware")]
        generated = next((folder for folder in exports if folder.is_dir()), None)
        if generated is None:
            raise ContractError(f"{run.path} has no exported firmware; make it: robostack export {run.path}")
        from robostack.learn.trained import RunSettings
        from robostack_real.twins.crazyflie import VirtualCrazyflie
        from robostack_sim.quadrotor.config import QuadrotorConfig

        trained_for = RunSettings.of(run).task
        if not isinstance(trained_for, QuadrotorConfig):
            raise ContractError(f"{run.path}: trained for another task than the quadrotor, which no Crazyflie flies")
        with VirtualCrazyflie(
            generated, trained_for.vehicle, port=self.port, loss=self.loss, seed=self.seed
        ) as machine:
            print(f"{machine.uri}: a Crazyflie with the policy of {run.path}; Ctrl-C ends it", flush=True)
            while machine.failure is None:
                time.sleep(0.1)
            raise machine.failure
