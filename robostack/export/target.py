"""What an export takes of the machine that it is for.

It is measured on one machine, whatever the target: the image of the emulated STM32F405, a Cortex-M4F as the
Crazyflie's, built from the same sources.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from robostack import registry
from robostack.boards import EMULATED, BoardKind
from robostack.export.board import BoardPolicy
from robostack.export.cycles import step_cost
from robostack.export.firmware import Precision, Target, export_firmware, firmware_source
from robostack.export.footprint import footprint
from robostack.export.onnx import LoadedPolicy
from robostack.export.stack import stack_depth
from robostack.run_folder import write_atomic
from robostack.spec import PolicySpec

CORE_HZ = 168e6
COST_PERIODS = 20


@dataclass(frozen=True)
class TargetReport:
    """Of the parts that all targets share (policy, envelope, generated), and of the whole STM32F405 image's stack.

    Cycles are modelled, instructions counted, both of a control period with its envelope. `budget` is the share of the
    control period that they take at 168 MHz. What could not be measured is None, and `missing` says why.
    """

    target: Target
    precision: Precision
    policy_hash: str
    interface_hash: str
    file_sha256: str
    self_test_vectors: int
    bank_bytes: int = 0
    """of RAM: both banks of a hot swap"""
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    by_object: dict[str, tuple[int, int]] | None = None
    """flash and RAM, bytes"""
    stack_bytes: int | None = None
    """at most, interrupts on top"""
    instructions: int | None = None
    cycles: int | None = None
    budget: float | None = None
    missing: str = ""

    def save(self, path: Path) -> None:
        write_atomic(path, (json.dumps(asdict(self), indent=2) + "\n").encode())

    def lines(self) -> list[str]:
        """For a terminal."""
        if self.missing:
            return [f"not measured: {self.missing}"]
        assert self.flash_bytes is not None and self.cycles is not None and self.budget is not None
        banks = f" ({self.bank_bytes:,} are the two banks of hot swap)" if self.bank_bytes else ""
        return [
            f"flash {self.flash_bytes:,} bytes, RAM {self.ram_bytes:,}{banks}, stack at most {self.stack_bytes:,}",
            f"a control period: {self.cycles:,} modelled cycles, {self.instructions:,} instructions; "
            f"{100 * self.budget:.1f} % of it at {CORE_HZ / 1e6:.0f} MHz",
        ]


def measure(policy: LoadedPolicy, target: Target, precision: Precision, *, hot_swap: bool = False) -> TargetReport:
    """Builds the STM32F405 image aside and runs it on the emulator, where the tools for it are installed."""
    spec = policy.spec
    test = spec.self_test
    known = TargetReport(
        target, precision, policy.policy_hash, spec.interface_hash, policy.file_sha256, len(test.inputs) if test else 0
    )
    board: BoardKind = registry.load("board", EMULATED[0])
    if board.missing():
        return replace(known, missing=f"needs {', '.join(board.missing())}: {board.remedy()}")
    shared = {f"{c.stem}.o" for room in ("envelope", "policy") for c in (firmware_source() / room).glob("*.c")}
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        firmware = Path(name) / "firmware"
        generated = export_firmware(policy, firmware, precision, hot_swap=hot_swap)
        shared |= {f"{c.stem}.o" for c in (firmware / "generated").glob("*.c")}
        elf = board.image(firmware)
        objects = {n: sizes for n, sizes in footprint(elf).by_object.items() if n in shared}
        stack = stack_depth(elf.parent)
        cost = step_cost(BoardPolicy(policy, Path(name) / "replay", precision), _at_home(spec))
    return replace(
        known,
        bank_bytes=generated.bank_bytes,
        flash_bytes=sum(flash for flash, _ in objects.values()),
        ram_bytes=sum(ram for _, ram in objects.values()),
        by_object=objects,
        stack_bytes=stack.worst_bytes,
        instructions=round(cost.instructions),
        cycles=round(cost.cycles),
        budget=cost.cycles / (spec.control_dt_s * CORE_HZ),
    )


def _at_home(spec: PolicySpec) -> np.ndarray:
    """(COST_PERIODS, observation) of a machine that the envelope has nothing against."""
    assert spec.self_test
    first = np.array(spec.self_test.inputs[:1], np.float32)[:, : spec.observation_size]
    return np.repeat(first, COST_PERIODS, 0)
