"""`robostack twin`: start the emulated counterpart of a machine"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from robostack import registry
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack_real.twins.crazyflie import VirtualCrazyflie
    from robostack_real.twins.px4 import VirtualPx4


@dataclass(frozen=True)
class Command:
    """Start the emulated counterpart of a machine that flies a policy, until Ctrl-C.

    A virtual Crazyflie is the app's C with the policy compiled in, a simulated airframe, and the radio protocol over
    UDP: `robostack fly --uri udp://127.0.0.1:19850`, cfclient and cflib take it for a Crazyflie.

    A virtual PX4 speaks MAVLink over UDP, has PX4's modes and arming, its rate controller, and the airframe that the
    run was trained with: `robostack fly --uri udpin://127.0.0.1:14540`. The policy stays with the one who flies it.

    A beam machine is an EPICS IOC on loopback with the PVs of a machine's file and a beam line drawn by --seed, whose
    faults nobody is told: `robostack run --config machine.toml`. It prints the environment that clients need.

    An arm holds a gripper with a peg by Cartesian impedance at the pose that it is sent over ROS 2, and says where it
    is and what its pads feel: `robostack up tactile --target arm`.

    A skin is AnySkin's board on a pseudo-terminal, its magnetised skin kneaded by a ball as soon as somebody listens:
    `robostack run policy.onnx --device anyskin --port /tmp/anyskin`, and AnySkin's own package reads it too.

    Example: robostack twin crazyflie logs/quadrotor/latest
    Example: robostack twin px4 logs/quadrotor/latest
    Example: robostack twin beam --seed 3
    Example: robostack twin anyskin --line /tmp/anyskin --dead 2
    """

    machine: Annotated[Literal["crazyflie", "px4", "beam", "anyskin", "arm"], tyro.conf.Positional]
    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder (for a Crazyflie with an export), or a task (its newest run). Default: the newest run."""
    port: int | None = None
    """UDP, on this machine alone. A Crazyflie listens on 19850 (cflib finds 19850 to 19859 by itself), PX4 speaks to
    14540. For a beam machine TCP and UDP, 5164."""
    loss: float = 0.0
    """Share of packets lost, each way."""
    seed: int = 0
    """Of the noise; of a beam machine, which one it is; of an arm, how the peg lies in its grip."""
    config: Path | None = None
    """A beam machine's file. Default: the one of cafe2_cm1 that comes along."""
    line: Path = Path("/tmp/anyskin")
    """Of a skin: the name of its serial port, which is a link to a pseudo-terminal."""
    dead: tuple[int, ...] = ()
    """Of a skin: magnetometers, by their place in a frame, that are dead from the start."""
    root: Path = Path("logs")
    """Folder with the runs."""

    def run(self) -> int:
        if not 0.0 <= self.loss < 1.0:
            raise ContractError(f"--loss {self.loss:g}: must lie in [0, 1)")
        if self.port is not None and not 0 < self.port < 65536:
            raise ContractError(f"--port {self.port}: must lie in [1, 65535]")
        if self.machine == "beam":
            return self._beam()
        if self.machine == "anyskin":
            return self._anyskin()
        if self.machine == "arm":
            return self._arm()
        run = RunFolder.find(self.run_folder, self.root)
        with self._crazyflie(run) if self.machine == "crazyflie" else self._px4(run) as machine:
            while machine.failure is None:
                time.sleep(0.1)
            raise machine.failure

    def _beam(self) -> int:
        if self.run_folder is not None:
            raise ContractError("a beam machine takes no run: its PVs are its machine file's (--config)")
        from robostack_real.twins.beam_machine import PACKAGE, PORT, VirtualBeamMachine, client_environment

        port = self.port or PORT
        config = self.config or Path(str(PACKAGE / "cafe2_cm1.toml"))
        with (
            tempfile.TemporaryDirectory(prefix="robostack-") as folder,
            VirtualBeamMachine(Path(folder), seed=self.seed, port=port, machine=config) as machine,
        ):
            print(f"a beam machine serves the PVs of {config}; Ctrl-C ends it. For its clients:", flush=True)
            for name, value in client_environment(port).items():
                print(f"  export {name}={value}", flush=True)
            machine.wait()
        return 0

    def _anyskin(self) -> int:
        if self.run_folder is not None:
            raise ContractError("a skin takes no run: it is the same for every policy")
        if others := [d for d in self.dead if not 0 <= d < 5]:
            raise ContractError(f"--dead {others[0]}: its magnetometers are 0 to 4")
        from robostack_real.twins.anyskin import RATE_HZ, VirtualSkin

        skin = VirtualSkin(self.line, seed=self.seed)
        skin.dead.update(self.dead)
        with skin:
            print(f"{self.line}: an AnySkin, {RATE_HZ:g} frames a second; Ctrl-C ends it", flush=True)
            while True:
                time.sleep(0.1)

    def _arm(self) -> int:
        if self.run_folder is not None:
            raise ContractError("an arm takes no run: it is the same for every policy")
        from robostack_real.stacks.processes import DEFAULTS
        from robostack_real.twins.arm import VirtualArm

        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        with VirtualArm(seed=self.seed) as arm:
            print(f"arm://{arm.name}: an arm with a peg in its gripper; Ctrl-C ends it", flush=True)
            while True:
                time.sleep(0.1)

    @contextmanager
    def _crazyflie(self, run: RunFolder) -> Iterator[VirtualCrazyflie]:
        exports = [run.exported / target / "generated" for target in ("crazyflie", "firmware")]
        generated = next((folder for folder in exports if folder.is_dir()), None)
        if generated is None:
            raise ContractError(f"{run.path} has no exported firmware; make it: robostack export {run.path}")
        from robostack.learn.trained import RunSettings
        from robostack_real.twins.crazyflie import PORT, VirtualCrazyflie
        from robostack_sim.quadrotor.config import QuadrotorConfig

        trained_for = RunSettings.of(run).task
        if not isinstance(trained_for, QuadrotorConfig):
            raise ContractError(f"{run.path}: trained for another task than the quadrotor, which no Crazyflie flies")
        port = self.port or PORT
        with VirtualCrazyflie(generated, trained_for.vehicle, port=port, loss=self.loss, seed=self.seed) as machine:
            print(f"{machine.uri}: a Crazyflie with the policy of {run.path}; Ctrl-C ends it", flush=True)
            yield machine

    @contextmanager
    def _px4(self, run: RunFolder) -> Iterator[VirtualPx4]:
        try:
            from robostack_real.twins.px4 import PORT, VirtualPx4
        except ModuleNotFoundError as error:
            raise registry.MissingExtraError(
                f"it needs {error.name!r}: pip install 'robostack[mavlink,train]'"
            ) from error
        from robostack.learn.trained import RunSettings
        from robostack_sim.quadrotor.config import QuadrotorConfig

        config = RunSettings.of(run).task
        if not isinstance(config, QuadrotorConfig) or config.action != "thrust_and_rates":
            raise ContractError(
                f"{run.path} does not command thrust and body rates, which is all that PX4 takes; "
                "train one: robostack train quadrotor --action thrust_and_rates"
            )
        port = self.port or PORT
        with VirtualPx4(config, port=port, loss=self.loss, seed=self.seed) as machine:
            print(
                f"udpin://127.0.0.1:{port}: a PX4 with the airframe of {run.path} speaks there; Ctrl-C ends it",
                flush=True,
            )
            yield machine
