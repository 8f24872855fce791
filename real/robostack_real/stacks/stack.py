"""What a stack is: nodes and their parameters, described once.

A third party adds one by an entry point `robostack.stacks` that names a `Stack`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from robostack.spec import ContractError

Value = bool | int | float | str


@dataclass(frozen=True)
class NodeDescription:
    """One process: its role (robostack_real.nodes.main) and its parameters."""

    role: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    fifo: int = 0
    """SCHED_FIFO priority, 0 for none"""

    @property
    def executable(self) -> str:
        """What `ros2 run robostack` calls it."""
        return f"{self.role}_node"

    @property
    def told_as(self) -> str:
        """What its status is called: whatever stands for the machine is the device."""
        return "device" if self.role in ("sim", "board", "host") else self.role

    def arguments(self, namespace: str = "", params_file: Path | None = None) -> list[str]:
        """Command line behind the executable. What the file says goes before the stack's own parameters."""
        found = ["--fifo", str(self.fifo)] if self.fifo else []
        found += ["--ros-args"]
        if namespace:
            found += ["-r", f"__ns:=/{namespace.strip('/')}"]
        for name, value in self.parameters.items():
            found += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        if params_file:
            found += ["--params-file", str(params_file)]
        return found


@dataclass(frozen=True)
class Request:
    """What a user asks of a stack; the same words on the command line and in a launch file."""

    policy: Path | None
    """None, or Path("none") for without, where a stack has `own_policy`"""
    target: str = "sim"
    trajectory: str = "hover"
    start: bool = True
    """start the flight as soon as everything is there, without a call of /supervisor/start"""
    lockstep: bool = False
    fifo: int = 0
    uri: str = "udp://127.0.0.1:19850"
    """of the machine, where the target has one"""
    dead_man: str = ""
    """input device of a switch that a hand holds down"""
    require_signature: str = ""
    """file of public keys, one of which has to have signed the policy"""
    view_port: int = 8765
    """of the live page on 127.0.0.1; 0 for none"""
    policy_on: Literal["board", "host"] = "board"
    """where the policy runs, when the target is a board"""
    config: str = ""
    """the machine's file, where it has one"""
    live: bool = False
    """act on a machine that is otherwise only looked at"""
    character: str = "human"
    """that is led: by name, or a folder"""
    clip: str = ""
    """recorded motion that is played in the place of a headset"""


SOME_TAKE = ("trajectory", "lockstep", "uri", "dead_man", "policy_on", "config", "live", "character", "clip")
"""fields of a Request that not every stack reads"""


@dataclass(frozen=True)
class Stack:
    name: str
    targets: tuple[str, ...]
    takes: tuple[str, ...]
    """of `SOME_TAKE`"""
    described_by: Callable[[Request], tuple[NodeDescription, ...]]
    own_policy: bool = False
    """goes without one, or finds one itself, where none is named"""

    def describe(self, request: Request) -> tuple[NodeDescription, ...]:
        """In the order in which they are started; they are ended in the opposite one. Raises ContractError for what
        makes no sense with this stack."""
        for asked in fields(Request):
            value = getattr(request, asked.name)
            if asked.name in set(SOME_TAKE) - {*self.takes} and value != asked.default:
                raise ContractError(f"{asked.name} = {value}: stack {self.name} takes none; leave it out")
        return self.described_by(request)
