"""`robostack up`: run a policy through ROS 2 nodes"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from robostack import registry
from robostack.run_folder import RunFolder
from robostack.spec import ContractError


@dataclass(frozen=True)
class Command:
    """Run a policy through ROS 2 nodes, without a ROS install: what `ros2 launch robostack STACK.launch.py` does.

    Starts a machine (here a simulated one), the policy, what it follows, and a supervisor that arms when all is well;
    shows what they say; Ctrl-C disarms and ends them. Topics, types and rates come from the contract in the file. With
    --no-start the flight begins by a call of /supervisor/start.

    Example: robostack up quadrotor --policy logs/quadrotor/latest/exported/policy.onnx --target sim
    Example: robostack up quadrotor --trajectory figure_eight --seconds 20
    Example: robostack up beam --target epics --config machine.toml --live
    Example: robostack up avatar --character dinosaur --clip punch
    """

    stack: Annotated[str, tyro.conf.Positional]
    policy: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """A policy.onnx, a run folder or a task (its newest run). Default: the newest run; of an avatar the character's own
    where it has one, and `none` is inverse kinematics alone."""
    target: str = "sim"
    """What is commanded: sim, a simulated machine; board, the same with the policy on an emulated board; crazyflie, one
    that carries this policy, at --uri; epics, a beam machine, of --config; arm, one that holds poses, at --uri."""
    policy_on: Literal["board", "host"] = "board"
    """With --target board: the policy on it, or in policy_node, the board a device that gets actions."""
    uri: str = "udp://127.0.0.1:19850"
    """Of a Crazyflie: radio://0/80/2M; the default is `robostack twin crazyflie`."""
    dead_man: str = ""
    """With a machine that can hurt somebody: /dev/input/event..., of which a key or button is held down."""
    config: Path | None = None
    """Of a beam machine: its machine.toml; the golden orbit in it is what is asked for."""
    live: bool = False
    """With --target epics: act. Without it nothing is put."""
    character: str = "human"
    """Of an avatar: human, mouse, dinosaur, or a folder of yours with a character.toml."""
    clip: str = ""
    """Of an avatar: a motion that is played, a file or punch. Default: wait for a headset that sends."""
    require_signature: Path | None = None
    """Refuse a policy that no key of this file signed (robostack sign)."""
    trajectory: Literal["hover", "figure_eight"] = "hover"
    start: bool = True
    """Arm as soon as all is well."""
    lockstep: bool = False
    """Simulation as fast as the policy answers."""
    fifo: int = 0
    """SCHED_FIFO priority of the control nodes; 0 for none."""
    view_port: int = 8765
    """Of a live page on this machine, http://127.0.0.1:PORT; 0 for none."""
    namespace: str = ""
    params_file: Path | None = None
    """YAML file of parameters that go before the stack's own."""
    seconds: float | None = None
    """End after so long. Default: Ctrl-C."""
    root: Path = Path("logs")
    """Folder with the runs."""

    def run(self) -> int:
        """Exit status 1 when a node ended by itself."""
        from robostack.signature import load_signed
        from robostack_real.nodes import wire
        from robostack_real.stacks.processes import Processes
        from robostack_real.stacks.stack import Request, Stack

        stack: Stack = registry.load("stack", self.stack)
        if self.target not in stack.targets:
            raise ContractError(f"--target {self.target}: stack {stack.name} has {', '.join(stack.targets)}")
        if not 0 <= self.fifo <= 98:
            raise ContractError(f"--fifo {self.fifo}: must lie in [0, 98]")
        if self.params_file and not self.params_file.is_file():
            raise ContractError(f"--params-file {self.params_file}: there is no such file")
        if stack.own_policy and self.policy in (None, "none"):
            path = Path(self.policy) if self.policy else None
        else:
            path = RunFolder.find_policy(self.policy, self.root).resolve()
            load_signed(path, [self.require_signature] if self.require_signature else [])
        keys = str(self.require_signature.resolve()) if self.require_signature else ""
        wire.ros()
        request = Request(
            path, self.target, self.trajectory, self.start, self.lockstep, self.fifo, self.uri,
            self.dead_man, keys, self.view_port, self.policy_on,
            str(self.config.resolve()) if self.config else "", self.live, self.character, self.clip,
        )  # fmt: skip
        end = time.monotonic() + self.seconds if self.seconds is not None else float("inf")
        try:
            with Processes(stack.describe(request), namespace=self.namespace, params_file=self.params_file) as nodes:
                while time.monotonic() < end:
                    if ended := nodes.ended():
                        listed = ", ".join(f"{role} (exit status {code})" for role, code in ended.items())
                        print(f"robostack: ended by itself: {listed}; ending the others", file=sys.stderr)
                        return 1
                    time.sleep(0.1)
        except KeyboardInterrupt:
            return 130
        return 0
