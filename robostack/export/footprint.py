"""What an image takes of a board's memory, object file by object file, from the linker's own map.

Flash is code, constants and the initial values of variables; RAM is variables. The stack is neither: it gets what
RAM is left. The map lies beside the image (`firmware.elf`, `firmware.map`), where `firmware/Makefile` has it put.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from robostack.spec import ContractError

PADDING = "(alignment)"
OUTPUT = re.compile(r"^(\.\S+)(?:\s+0x([0-9a-f]+))?")
INPUT = re.compile(r"^ (?:\.\S+|COMMON)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S.*)$")
FILL = re.compile(r"^ \*fill\*\s+0x[0-9a-f]+\s+0x([0-9a-f]+)")
IN_RAM = {".data": (True, True), ".bss": (False, True)}
"""(flash, RAM) by output section; every other one that has an address is in flash alone"""


@dataclass(frozen=True)
class Footprint:
    """Bytes of an image; `by_object` has (flash, RAM) of each object file and library, padding among it."""

    flash_bytes: int
    ram_bytes: int
    by_object: dict[str, tuple[int, int]]


def footprint(elf: Path) -> Footprint:
    """Reads the map beside `elf`. Raises ContractError when there is none, or none of a linker's."""
    path = elf.with_suffix(".map")
    try:
        _, found, text = path.read_text(encoding="utf-8").partition("Linker script and memory map")
    except OSError as error:
        raise ContractError(f"{path}: {error.strerror}; link {elf.name} with -Wl,-Map={path.name}") from error
    by_object: dict[str, tuple[int, int]] = {}
    for section, name, size in _pieces(text):
        in_flash, in_ram = IN_RAM.get(section, (True, False))
        flash, ram = by_object.get(name, (0, 0))
        by_object[name] = flash + size * in_flash, ram + size * in_ram
    if not found or not by_object:
        raise ContractError(f"{path}: not a map of GNU ld; link {elf.name} with -Wl,-Map={path.name}")
    flash, ram = (sum(sizes) for sizes in zip(*by_object.values(), strict=True))
    return Footprint(flash, ram, by_object)


def _pieces(text: str) -> Iterator[tuple[str, str, int]]:
    """Output section, object and bytes of everything in a section with an address: comments and debugging have 0."""
    section, loaded = "", False
    for line in re.sub(r"^( ?[.*]\S+)\n +0x", r"\1 0x", text, flags=re.MULTILINE).splitlines():
        if output := OUTPUT.match(line):
            section, loaded = output[1], int(output[2] or "0", 16) > 0
        elif loaded and (piece := INPUT.match(line)) and int(piece[1], 16):
            yield section, _object(piece[2]), int(piece[1], 16)
        elif loaded and (fill := FILL.match(line)):
            yield section, PADDING, int(fill[1], 16)


def _object(path: str) -> str:
    """policy.o of build/policy.o, libgcc.a of /usr/.../libgcc.a(_udivmoddi4.o)."""
    return re.sub(r"\(.*\)$", "", path).rsplit("/", 1)[-1]
