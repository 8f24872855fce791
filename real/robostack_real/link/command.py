"""`robostack swap`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robostack.run_folder import RunFolder
from robostack.spec import ContractError


@dataclass(frozen=True)
class Command:
    """Have a board on a wire run another policy of the same graph and interface, without flashing it, also in flight.

    The board takes the policy whole or not at all: it checks that it fits, its CRC and its self-test, flies it for 50
    periods in the shadow of the policy that acts, and only then changes over, between two control periods. Its
    firmware must have been exported with --hot-swap. What is in flash stays: after a reset of power that one runs.

    Example: robostack swap logs/quadrotor/latest --port /dev/ttyACM0
    Example: robostack swap policy.onnx --port /dev/ttyACM0
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    port: str = ""
    """The board's serial device, such as /dev/ttyACM0, or a URL of pyserial's."""
    require_signature: tuple[Path, ...] = ()
    """Refuse a policy that none of these public keys signed (robostack sign)."""
    root: Path = Path("logs")
    """Folder with the runs."""

    def run(self) -> int:
        if not self.port:
            raise ContractError("say where the board is: --port /dev/ttyACM0")
        path = RunFolder.find_policy(self.policy, self.root)
        from robostack.signature import load_signed
        from robostack_real.link.client import BoardLink

        policy = load_signed(path, self.require_signature)
        with BoardLink(self.port) as board:
            before = board.identify()
            if before.policy_hash == policy.policy_hash:
                print(f"{self.port}: runs policy {policy.policy_hash[:16]} already")
                return 0
            now = board.load(policy, progress=_tell)
        print(file=sys.stderr)
        print(f"{self.port}: policy {now.policy_hash[:16]} in the place of {before.policy_hash[:16]}")
        return 0


def _tell(phase: str, share: float) -> None:
    print(f"\r{phase:12s}{100 * share:4.0f} %", end="", file=sys.stderr, flush=True)
