"""The deepest that a firmware's stack can become, from the image itself.

The edges are every call, tail call and indirect call in the linked image's disassembly, so that a library's functions
count as one's own. A frame is what the compiler's .su file says; a function that has none (a library's) counts with
everything that it ever pushes. An indirect call may reach every function whose address is anywhere in the image: the
vector table apart, that is the policy and the board's clocks.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robostack.export.board import INSTALL
from robostack.export.cycles import Instruction, disassemble, words_moved
from robostack.export.host import ToolMissingError
from robostack.spec import ContractError

EXCEPTION_FRAME = 112
"""bytes the core pushes on entry to a handler: 26 words with the floating-point unit on, and what aligns them to 8
(ARMv7-M Architecture Reference Manual, B1.5.7)"""
FAULT = "Halt_Handler"
"""what a fault runs, on top of any other handler; the others share one priority and never nest"""
ENTRY = "Reset_Handler"
FUNCTION = re.compile(r"^\s*\d+: ([0-9a-f]+)\s+\d+ FUNC\s.*\s(\S+)$", re.MULTILINE)
VECTORS = re.compile(r"\] \.vectors\s+PROGBITS\s+[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+)")
ADDRESS = re.compile(r"[0-9a-f]{5,}")
JUMP = re.compile(r"(ldr|mov|add)\S* pc(?!.*(\[sp\]|\blr$))")
"""to an address that a register or a table holds; a return is no jump"""


@dataclass(frozen=True)
class StackReport:
    """Bytes of stack, at most."""

    main_bytes: int
    """from reset on, without interrupts"""
    handlers: Mapping[str, int]
    """each with what the core pushes for it"""
    deepest_path: tuple[str, ...]
    """of main_bytes, from the reset handler on"""
    reached_by_pointer: tuple[str, ...]
    """what an indirect call is taken to reach"""

    @property
    def worst_bytes(self) -> int:
        """main, the deepest interrupt on top of it, and a fault on top of that."""
        interrupts = [size for name, size in self.handlers.items() if name != FAULT]
        return self.main_bytes + max(interrupts, default=0) + self.handlers.get(FAULT, 0)


def stack_depth(build: Path) -> StackReport:
    """Of the `firmware.elf` and the .su files that firmware/Makefile leaves in `build`, for a Cortex-M.

    Raises ContractError when there is no bound: recursion, a frame whose size is known at run time only.
    """
    image = _Image.read(build)
    main_bytes, path = image.deepest(ENTRY)
    handlers = {name: EXCEPTION_FRAME + image.deepest(name)[0] for name in sorted(image.vectors - {ENTRY})}
    return StackReport(main_bytes, handlers, path, tuple(sorted(image.pointed)))


@dataclass(frozen=True)
class _Image:
    """A linked image, its functions by name; two of one name count as one, which calls what either calls."""

    code: Mapping[str, list[Instruction]]
    names: Mapping[int, str]
    """of functions by address"""
    frames: Mapping[str, int]
    """bytes, as the compiler says"""
    pointed: frozenset[str]
    """functions whose address is in the image outside the vector table"""
    vectors: frozenset[str]

    @classmethod
    def read(cls, build: Path) -> _Image:
        elf = build / "firmware.elf"
        code: dict[str, list[Instruction]] = {}
        names: dict[int, str] = {}
        for instruction in disassemble(elf):
            if instruction.function not in code:
                names[instruction.address] = instruction.function
            code.setdefault(instruction.function, []).append(instruction)
        # the symbol table too, since a second function of one name has no heading of its own here
        symbols = {int(address, 16) & ~1: name for address, name in FUNCTION.findall(_tool("readelf", "-sW", elf))}
        names = {**symbols, **names}  # of two names for one function the heading's
        table, rest = _flash(elf)
        pointed, vectors = (
            frozenset(names[w & ~1] for w in words if w & 1 and w & ~1 in symbols) for words in (rest, table)
        )
        return cls(code, names, _frames(build), pointed, vectors)

    def deepest(self, name: str, above: tuple[str, ...] = ()) -> tuple[int, tuple[str, ...]]:
        """Bytes and path of the deepest chain of calls from `name`; the graph is small enough to walk every one."""
        if name in above:
            raise ContractError(f"the stack has no bound: {' calls '.join([*above[above.index(name) :], name])}")
        instructions = self.code[name]
        below = (self.deepest(callee, (*above, name)) for callee in sorted(self._calls(name, instructions)))
        size, path = max(below, default=(0, ()))
        plain = name.split(".", maxsplit=1)[0]  # the compiler calls a part or a copy of a function name.part.0
        own = self.frames[plain] if plain in self.frames else _pushed(name, instructions)
        return own + size, (name, *path)

    def _calls(self, here: str, instructions: list[Instruction]) -> set[str]:
        found: set[str] = set()
        for i in instructions:
            operand = i.operands.split(",")[-1].strip()
            if i.mnemonic.startswith(("b", "cb")) and ADDRESS.fullmatch(operand):
                target = self.names.get(int(operand, 16), here)
                if target != here or i.mnemonic == "bl":
                    found.add(target)
            elif (i.mnemonic in ("bx", "blx") and operand != "lr") or JUMP.match(f"{i.mnemonic} {i.operands}"):
                found |= self.pointed
        return found


def _frames(build: Path) -> dict[str, int]:
    """Of functions by name, the larger where two have one name."""
    found: dict[str, int] = {}
    for su in build.glob("*.su"):
        for line in su.read_text(encoding="utf-8").splitlines():
            where, size, kind = line.split("\t")
            name = where.rpartition(":")[2]
            if kind == "dynamic":
                raise ContractError(f"{where}: a stack frame of a size known at run time only; give its arrays one")
            found[name] = max(int(size), found.get(name, 0))
    return found


def _pushed(name: str, instructions: list[Instruction]) -> int:
    """Everything that a function takes from the stack, never less what it gives back."""
    size = 0
    for i in instructions:
        if i.mnemonic in ("push", "vpush") or (i.mnemonic.startswith(("stmdb", "vstmdb")) and i.operands[:3] == "sp!"):
            size += 4 * words_moved(i)
        elif i.mnemonic.startswith("sub") and i.operands.startswith("sp,"):
            constant = re.search(r"#(\d+)", i.operands)
            if constant is None:
                raise ContractError(f"{name} takes as much stack as a register says: {i.mnemonic} {i.operands}")
            size += int(constant[1])
        elif i.mnemonic.startswith("str") and (down := re.search(r"\[sp, #-(\d+)\]!", i.operands)):
            size += int(down[1])
    return size


def _flash(elf: Path) -> tuple[list[int], list[int]]:
    """The words of the vector table, and all others of the flash image."""
    section = VECTORS.search(_tool("readelf", "-SW", elf))
    if section is None:
        raise ContractError(f"{elf} has no vector table; the depth of a stack is known for images of a Cortex-M")
    flash = elf.with_suffix(".bin")
    _tool("objcopy", "-O", "binary", elf, flash)
    data = flash.read_bytes()
    words = [w for (w,) in struct.iter_unpack("<I", data[: len(data) // 4 * 4])]
    count = int(section[1], 16) // 4
    return words[:count], words[count:]


def _tool(name: str, *arguments: str | Path) -> str:
    command = [f"arm-none-eabi-{name}", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ToolMissingError(f"{command[0]} is not installed: {INSTALL}") from error
    if done.returncode:
        raise ContractError(f"{' '.join(command)}: {done.stderr.strip()[:500]}")
    return done.stdout
