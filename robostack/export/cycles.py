"""Cycles of a control period on a Cortex-M4F: counted instructions, priced by ARM's own table.

An emulator has no cycles. So every instruction that the emulated board executes is counted exactly (a QEMU
plugin, `firmware/boards/netduinoplus2/insn_count_plugin.c`), and each costs what ARM states: Cortex-M4
Technical Reference Manual (ARM 100166, earlier DDI 0439), tables 3-1 "Processor instruction set", 3-2 "DSP instruction
set" and 7-1 "FPU instruction set".

| instruction                              | cycles                                                    |
|------------------------------------------|-----------------------------------------------------------|
| integer arithmetic, IT, NOP              | 1                                                         |
| MUL, MLA, SMULL, SMLAL                   | 1                                                         |
| SMLAD, SMLALD, PKHBT, SSAT, SXTH, UBFX   | 1: so are all of the DSP extension                        |
| UDIV, SDIV                               | 12, the upper end of 2 to 12                              |
| LDR, STR, VLDR, VSTR, one word           | 2; 1 right after another of them (address phases overlap) |
| the same, its address just computed      | 1 more                                                    |
| LDM, STM, PUSH, POP, VLDM, VSTM, LDRD    | 1 + words                                                 |
| VADD, VSUB, VMUL, VNEG, VABS, VCMP, VCVT | 1; 1 more when the next instruction uses the result       |
| VMLA, VFMA and their kin                 | 3; the same                                               |
| VDIV, VSQRT                              | 14; the same                                              |
| VMOV, VMRS                               | 1; 2 for a pair of registers                              |
| every taken branch                       | 3 more, the upper end of a pipeline refill (1 to 3)       |

Memory without wait states: on a chip, the flash accelerator's misses come on top.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robostack.export.board import BoardPolicy
from robostack.export.firmware import firmware_source
from robostack.export.host import compile_c
from robostack.spec import ContractError

REFILL = 3
SINGLE = re.compile(r"v?(ldr|str)(?!d|ex)")
MULTIPLE = re.compile(r"v?(ldm|stm|push|pop)|ldrd|strd")
FLOAT_ARITHMETIC = re.compile(r"v(add|sub|n?mul|neg|abs|cvt|n?mla|n?mls|fn?ma|fn?ms|div|sqrt)")
FLOAT_FUSED = re.compile(r"v(n?ml[as]|fn?m[as])")
READS_ALL = re.compile(r"v(cmp|str|stm|push|n?ml[as]|fn?m[as])")
LINE = re.compile(r"^\s*([0-9a-f]+):\t(?:[0-9a-f]{4} ?)+\s*\t(\S+)(?:\t([^@;<]*))?")
HEADING = re.compile(r"^([0-9a-f]+) <(.+)>:$")
OUTSIDE = ("main", "replay_", "Reset_Handler")
"""What feeds the rows is not part of the period."""


@dataclass(frozen=True)
class Instruction:
    function: str
    address: int
    mnemonic: str
    operands: str


@dataclass(frozen=True)
class Count:
    """How often an instruction ran, and how often its neighbour was not the next."""

    executed: int
    taken: int


@dataclass(frozen=True)
class FunctionCost:
    """What one function takes of a control period, on average, without the functions that it calls."""

    name: str
    instructions: float
    cycles: float


@dataclass(frozen=True)
class StepCost:
    """A whole control period: envelope checks, inference, envelope limits."""

    functions: tuple[FunctionCost, ...]

    @property
    def instructions(self) -> float:
        return sum(f.instructions for f in self.functions)

    @property
    def cycles(self) -> float:
        return sum(f.cycles for f in self.functions)


def step_cost(board: BoardPolicy, observations: np.ndarray) -> StepCost:
    """Measures `board` on (N, observation) rows: the difference between N periods and 2 N, so that starting
    up does not count. Raises ToolMissingError or ContractError, as `BoardPolicy` does.
    """
    plugin = board.folder / "count.so"
    source = firmware_source() / "boards" / "netduinoplus2" / "insn_count_plugin.c"
    compile_c(["cc", "-shared", "-fPIC", "-O2", source, "-o", plugin], "the instruction counter")
    counts = []
    for rows in (observations, np.concatenate([observations, observations])):
        out = board.folder / "counts.txt"
        board.ticks(rows, plugin=f"{plugin},out={out}")
        counts.append(read_counts(out))
    steady = {
        address: Count(more.executed - before.executed, more.taken - before.taken)
        for address, more in counts[1].items()
        for before in [counts[0].get(address, Count(0, 0))]
    }
    program = disassemble(board.elf)
    entry = min(i.address for i in program if i.function == "policy_infer")
    if steady.get(entry, Count(0, 0)).executed != len(observations):
        raise ContractError("the envelope tripped on the rows given, so the policy did not run in every period")
    totals = model_cycles(program, steady)
    costs = [
        FunctionCost(name, executed / len(observations), cycles / len(observations))
        for name, (executed, cycles) in totals.items()
        if executed and not name.startswith(OUTSIDE)
    ]
    return StepCost(tuple(sorted(costs, key=lambda c: -c.cycles)))


def model_cycles(instructions: Iterable[Instruction], counts: Mapping[int, Count]) -> dict[str, tuple[int, int]]:
    """Executed instructions and modelled cycles by function."""
    program = list(instructions)
    totals: dict[str, tuple[int, int]] = {}
    for before, this, after in zip([None, *program], program, [*program[1:], None], strict=False):
        count = counts.get(this.address)
        if count is None:
            continue
        executed, cycles = totals.get(this.function, (0, 0))
        price = cost(this, before, after)
        totals[this.function] = (
            executed + count.executed,
            cycles + count.executed * price + count.taken * REFILL,
        )
    return totals


def cost(this: Instruction, before: Instruction | None, after: Instruction | None) -> int:
    """Cycles of one instruction between its neighbours, without a refill: the table in the module's
    docstring.
    """
    name = this.mnemonic
    if MULTIPLE.match(name):
        return 1 + words_moved(this)
    if SINGLE.match(name):
        overlaps = before is not None and SINGLE.match(before.mnemonic)
        return (1 if overlaps else 2) + _waits_for_address(this, before)
    if name.startswith(("udiv", "sdiv")):
        return 12
    if name.startswith("vmov") and this.operands.count(",") > 1:
        return 2
    if FLOAT_ARITHMETIC.match(name):
        price = 14 if name.startswith(("vdiv", "vsqrt")) else 3 if FLOAT_FUSED.match(name) else 1
        return price + (after is not None and _result(this) in _sources(after))
    return 2 if name.startswith(("mrs", "msr", "tbb", "tbh")) else 1


def _waits_for_address(this: Instruction, before: Instruction | None) -> bool:
    """Is the address made from what the instruction before has just computed?"""
    if before is None or before.mnemonic.startswith(("v", "ld", "st", "b", "c", "t", "push", "pop")):
        return False
    _, _, address = this.operands.partition("[")
    return re.search(rf"\b{re.escape(_result(before))}\b", address) is not None


def words_moved(instruction: Instruction) -> int:
    """Words that a multiple load or store moves."""
    if instruction.mnemonic.startswith(("ldrd", "strd")):
        return 2
    words = 0
    listed = instruction.operands[instruction.operands.index("{") + 1 : instruction.operands.index("}")]
    for item in listed.split(","):
        first, _, last = item.strip().partition("-")
        span = int(last[1:]) - int(first[1:]) + 1 if last else 1
        words += span * (2 if first.startswith("d") else 1)
    return words


def _result(instruction: Instruction) -> str:
    return instruction.operands.split(",")[0].strip()


def _sources(instruction: Instruction) -> list[str]:
    registers = re.findall(r"\bs\d+\b", instruction.operands)
    if instruction.mnemonic.startswith(("vldr", "vldm", "vpop")):
        return []
    return registers if READS_ALL.match(instruction.mnemonic) else registers[1:]


def disassemble(elf: Path) -> list[Instruction]:
    """Every instruction of an ELF file, by arm-none-eabi-objdump. Raises ContractError when it cannot."""
    done = subprocess.run(["arm-none-eabi-objdump", "-d", str(elf)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContractError(f"arm-none-eabi-objdump cannot read {elf}: {done.stderr.strip()[:500]}")
    instructions, function = [], ""
    for line in done.stdout.splitlines():
        if heading := HEADING.match(line):
            function = heading[2]
        elif found := LINE.match(line):
            name = re.sub(r"\.[nw]$", "", found[2])
            instructions.append(Instruction(function, int(found[1], 16), name, (found[3] or "").strip()))
    if not instructions:
        raise ContractError(f"{elf} holds no code that arm-none-eabi-objdump can show")
    return instructions


def read_counts(path: Path) -> dict[int, Count]:
    """The plugin's file, by address."""
    rows = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {int(address, 16): Count(int(executed), int(taken)) for address, executed, taken in rows}
