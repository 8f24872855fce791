"""`robostack export`"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy


@dataclass(frozen=True)
class Command:
    """Write policy.onnx with the whole contract inside, and from that file alone a folder of C that builds.

    stm32f405 is the emulated board's firmware, or a process of this machine (exported/firmware/, what `fly` flies);
    crazyflie the app for Bitcraze's firmware (exported/crazyflie/, what `flash` writes); generic-c a library for any
    C99 compiler (exported/generic-c/). Its report.json says what it takes of a Cortex-M4F: flash, RAM, stack, cycles.

    Example: robostack export logs/quadrotor/latest
    Example: robostack export --target crazyflie --precision int16 --hot-swap
    """

    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder, or a task (its newest run). Default: the newest run."""
    target: Literal["stm32f405", "crazyflie", "generic-c"] = "stm32f405"
    """The machine that the C is for."""
    precision: Literal["float32", "int16"] = "float32"
    """Of the network's weights and activations on the board. int16 takes half the flash and less time; it is scaled by
    what the policy meets in flight, and its error is printed."""
    hot_swap: bool = False
    """Let `robostack swap` exchange the policy's numbers on the board, for two banks of its RAM: of stm32f405 over a
    wire, also in flight; of a crazyflie by radio, while it is disarmed, and in int16."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print digests and sizes as JSON for a script."""

    def run(self) -> int:
        run = RunFolder.find(self.run_folder, self.root)
        from robostack.export.firmware import export_firmware
        from robostack.export.target import measure
        from robostack.learn.trained import export_policy
        from robostack.qualify.record import warning

        with run.stage("export"):
            before = _qualified(run)
            policy = export_policy(run, run.policy)
            if self.precision == "int16":
                policy = _calibrate(run, policy)
            policy = _keep_verdict(run, policy, before)
            folder = run.exported / ("firmware" if self.target == "stm32f405" else self.target)
            firmware = export_firmware(policy, folder, self.precision, self.target, hot_swap=self.hot_swap)
            report = measure(policy, self.target, self.precision, hot_swap=self.hot_swap)
            report.save(folder / "report.json")
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
                "bank_bytes": firmware.bank_bytes,
                "report": asdict(report),
            }
            if (calibration := policy.spec.calibration) is not None:
                result["calibration"] = calibration.model_dump(exclude={"ranges"})
            run.record(export=result)
        if self.json:
            answer(result)
        else:
            print(f"{run.policy}: {len(policy.data):,} bytes, policy {policy.policy_hash[:16]}")
            cost = f"{firmware.calls} kernel calls, {firmware.multiply_adds:,} multiply-adds"
            size = f"{firmware.constant_bytes:,} bytes of weights, {firmware.scratch_bytes:,} of RAM"
            print(f"{folder}: {self.precision}, {cost}, {size}")
            print("\n".join(f"  {line}" for line in report.lines()))
            if calibration is not None:
                share = f"{calibration.max_error:.1e} of the action range at most, {calibration.rms_error:.1e} rms"
                print(f"int16 against float32: {share}, on {calibration.source}")
        if (doubt := warning(policy)) is not None:
            print(doubt, file=sys.stderr)
        return 0


def _qualified(run: RunFolder) -> LoadedPolicy | None:
    """The file that is about to be written anew, whose verdict may still hold."""
    from robostack.export.onnx import load_policy
    from robostack.spec import ContractError

    with suppress(ContractError):
        return load_policy(run.policy)
    return None


def _keep_verdict(run: RunFolder, policy: LoadedPolicy, before: LoadedPolicy | None) -> LoadedPolicy:
    """Writes the verdict of the same policy back into its file."""
    from robostack.qualify.record import keep_record
    from robostack.run_folder import write_atomic

    kept = keep_record(policy, before)
    if kept is not policy:
        write_atomic(run.policy, kept.data)
    return kept


def _calibrate(run: RunFolder, policy: LoadedPolicy) -> LoadedPolicy:
    """Flies the run's policy, and writes the ranges that it met into the file's contract."""
    from robostack.export.calibration import calibrated
    from robostack.learn.flown import observed_in_flight
    from robostack.learn.trained import load_run
    from robostack.run_folder import write_atomic

    task, _ = load_run(run)
    policy = calibrated(policy, observed_in_flight(policy, task))
    write_atomic(run.policy, policy.data)
    return policy
