"""`robostack export`"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robostack.run_folder import RunFolder


@dataclass(frozen=True)
class Command:
    """Write policy.onnx with the whole contract inside, and from that file alone the firmware in C.

    Example: robostack export logs/quadrotor/latest
    """

    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder, or a task (its newest run). Default: the newest run."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print digests and sizes as JSON for a script."""

    def run(self) -> int:
        run = RunFolder.find(self.run_folder, self.root)
        from robostack.export.firmware import export_firmware
        from robostack.learn.trained import export_policy

        with run.stage("export"):
            policy = export_policy(run, run.policy)
            firmware = export_firmware(policy, run.exported / "firmware")
            result = {
                "policy": str(run.policy),
                "policy_bytes": len(policy.data),
                "policy_hash": policy.policy_hash,
                "interface_hash": policy.spec.interface_hash,
                "file_sha256": policy.file_sha256,
                "kernel_calls": firmware.calls,
                "multiply_adds": firmware.multiply_adds,
                "constant_bytes": firmware.constant_bytes,
                "scratch_bytes": firmware.scratch_bytes,
            }
            run.record(export=result)
        if self.json:
            print(json.dumps(result, indent=2))
        else:
            print(f"{run.policy}: {len(policy.data):,} bytes, policy {policy.policy_hash[:16]}")
            cost = f"{firmware.calls} kernel calls, {firmware.multiply_adds:,} multiply-adds"
            size = f"{firmware.constant_bytes:,} bytes of weights, {firmware.scratch_bytes:,} of RAM"
            print(f"{run.exported / 'firmware'}: {cost}, {size}")
        return 0
