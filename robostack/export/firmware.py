"""C source from a policy.onnx: static memory, one kernel call a node, nothing but the file as its source.

`generated/policy.c` holds the contract's tables, the weights as hexadecimal floats (so that no digit is lost)
and `policy_infer`. It is compiled with `firmware/policy/kernels.c`, for a board or for this machine.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from robostack.export.int16 import Int16Program
from robostack.export.machine_c import machine_header
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.export.program import Program
from robostack.run_folder import RunFolderError, write_atomic
from robostack.spec import ContractError

Precision = Literal["float32", "int16"]
"""Of the network's weights and activations; features and envelope are float32 in both."""
Target = Literal["stm32f405", "crazyflie", "generic-c"]
ROOMS: dict[Target, tuple[str, ...]] = {
    "stm32f405": ("boards", "link", "envelope", "policy"),
    "crazyflie": ("crazyflie", "envelope", "policy"),
    "generic-c": ("generic", "envelope", "policy"),
}
"""Folders of firmware/ that an export for the target holds, beside generated/; stm32f405 runs as a process too."""
CRAZYFLIE_BANKS_BYTES = 40_000
"""RAM that is left for both banks beside the stock firmware and the app: benchmarks/crazyflie_firmware.py"""


@dataclass(frozen=True)
class FirmwareReport:
    """What was generated, and what it will take on the board."""

    files: tuple[Path, ...]
    policy_hash: str
    calls: int
    multiply_adds: int
    constant_bytes: int
    scratch_bytes: int
    bank_bytes: int
    """RAM of both banks of a hot swap"""


def firmware_source() -> Path:
    """The folder of the C sources, in a checkout or in an installed package.

    Raises ContractError when it is in neither.
    """
    here = Path(__file__).resolve().parent.parent
    for folder in (here.parent / "firmware", here / "firmware"):
        if (folder / "policy" / "kernels.c").is_file():
            return folder
    raise ContractError(f"firmware/policy/kernels.c is neither beside nor inside {here}; reinstall robostack")


def program_of(policy: LoadedPolicy, precision: Precision, *, hot_swap: bool = False) -> Program:
    """The policy laid out as C. Raises as `generate_firmware`."""
    return (Int16Program if precision == "int16" else Program)(policy, hot_swap)


def generate_firmware(
    policy: str | Path | LoadedPolicy,
    out_dir: str | Path,
    precision: Precision = "float32",
    *,
    hot_swap: bool = False,
) -> FirmwareReport:
    """Writes `policy.c`, `policy_sizes.h` and `machine.h` to `out_dir`, each in one step.

    An int16 network is scaled by the policy's calibration (robostack.export.calibration.calibrated). With `hot_swap`
    its numbers can be exchanged on the board, for two banks of RAM (robostack.export.hot_swap).
    Raises ContractError naming the node, its operator and the remedy when the graph is outside the profile;
    RunFolderError when a file cannot be written.
    """
    loaded = policy if isinstance(policy, LoadedPolicy) else load_policy(policy)
    program = program_of(loaded, precision, hot_swap=hot_swap)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "policy.c": program.source(),
        "policy_sizes.h": program.sizes(),
        "machine.h": machine_header(loaded.spec.provenance),
    }
    for name, text in files.items():
        write_atomic(folder / name, text.encode("ascii"))
    return FirmwareReport(
        files=tuple(folder / name for name in files),
        policy_hash=loaded.policy_hash,
        calls=len(program.calls),
        multiply_adds=program.multiply_adds,
        constant_bytes=program.constant_bytes,
        scratch_bytes=4 * sum(program.buffers().values()),
        bank_bytes=2 * len(program.image()) if hot_swap else 0,
    )


def export_firmware(
    policy: str | Path | LoadedPolicy,
    out_dir: str | Path,
    precision: Precision = "float32",
    target: Target = "stm32f405",
    *,
    hot_swap: bool = False,
) -> FirmwareReport:
    """A folder that builds by itself: the C sources of a target, and the policy's in `generated/`.

    Hot swap comes over a serial line (stm32f405) or the radio (crazyflie). An older export in `out_dir` is replaced
    when the new one is whole. Raises as `generate_firmware`.
    """
    folder = Path(out_dir)
    if hot_swap and target == "generic-c":
        raise ContractError("hot swap needs a link: export for stm32f405 or crazyflie; generic-c has none")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            new, old = Path(name) / "new", Path(name) / "old"
            ignore = shutil.ignore_patterns("build*", "__pycache__", "*.py", "*.o", ".*.cmd")
            for room in (*ROOMS[target], *(["link"] if hot_swap and target == "crazyflie" else [])):
                shutil.copytree(firmware_source() / room, new / room, ignore=ignore)
            if target == "stm32f405":
                shutil.copy(firmware_source() / "Makefile", new)
            report = generate_firmware(policy, new / "generated", precision, hot_swap=hot_swap)
            if target == "crazyflie" and report.bank_bytes > CRAZYFLIE_BANKS_BYTES:
                raise ContractError(
                    f"hot swap on a Crazyflie: two banks of {report.bank_bytes // 2:,} bytes, and its firmware leaves "
                    f"{CRAZYFLIE_BANKS_BYTES:,} bytes of RAM for both: "
                    + ("train a smaller network" if precision == "int16" else "export it with --precision int16")
                )
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(f"cannot write {folder}: {error}; what was there before is untouched") from error
    return replace(report, files=tuple(folder / "generated" / file.name for file in report.files))
