"""`robostack swap`: have a board run another policy without flashing it"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack_real.link.session import BoardSession


@dataclass(frozen=True)
class Command:
    """Have a board run another policy of the same graph and interface, without flashing it.

    The board takes the policy whole or not at all: it checks that it fits, its CRC and its self-test, and changes over
    between two control periods. On a wire that may be in flight, where it first flies for 50 periods in the shadow of
    the policy that acts; a Crazyflie takes it by radio, while it is disarmed. Its firmware must have been exported with
    --hot-swap. What is in flash stays: after a reset of power that one runs.

    Example: robostack swap logs/quadrotor/latest --port /dev/ttyACM0
    Example: robostack swap policy.onnx --uri radio://0/80/2M
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    port: str | None = None
    """The board's serial device, such as /dev/ttyACM0, or a URL of pyserial's."""
    uri: str | None = None
    """A Crazyflie's, as cflib has it: radio://0/80/2M; udp://127.0.0.1:19850 is the virtual one."""
    require_signature: tuple[Path, ...] = ()
    """Refuse a policy that none of these public keys signed (robostack sign)."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the result as JSON for a script."""

    def run(self) -> int:
        if not bool(self.port) ^ bool(self.uri):
            raise ContractError("say where the board is: --port /dev/ttyACM0, or --uri radio://0/80/2M")
        path = RunFolder.find_policy(self.policy, self.root)
        from robostack.signature import load_signed

        policy = load_signed(path, self.require_signature)
        with self._board() as board:
            before = board.identify()
            if before.policy_hash == policy.policy_hash:
                if self.json:
                    answer({"board": board.where, "before": before.policy_hash, "policy_hash": before.policy_hash})
                else:
                    print(f"{board.where}: runs policy {policy.policy_hash[:16]} already")
                return 0
            try:
                now = board.load(policy, progress=_tell)
            finally:
                print(file=sys.stderr)
        if self.json:
            answer({"board": board.where, "before": before.policy_hash, "policy_hash": now.policy_hash})
        else:
            print(f"{board.where}: policy {now.policy_hash[:16]} in the place of {before.policy_hash[:16]}")
        return 0

    @contextmanager
    def _board(self) -> Iterator[BoardSession]:
        if self.port:
            from robostack_real.link.client import BoardLink

            with BoardLink(self.port) as board:
                yield board
        else:
            from robostack_real.devices.crazyflie import Crazyflie
            from robostack_real.devices.crazyflie_radio import PolicyRadio

            with Crazyflie(str(self.uri)) as crazyflie:
                yield PolicyRadio(crazyflie)


def _tell(phase: str, share: float) -> None:
    print(f"\r{phase:12s}{100 * share:4.0f} %", end="", file=sys.stderr, flush=True)
