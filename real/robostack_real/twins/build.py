"""Builds firmware for a board or a twin from generated C."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Literal

from robostack.spec import ContractError

Board = Literal["netduinoplus2", "host"]
Transport = Literal["usart", "lockstep"]

PACKAGES = {
    "make": "make",
    "cc": "gcc",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "newlib": "libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
"""Tool to Debian package."""
_NEEDS: dict[Board, tuple[str, ...]] = {
    "host": ("make", "cc"),
    "netduinoplus2": ("make", "arm-none-eabi-gcc", "newlib", "qemu-system-arm"),
}


class BuildError(ContractError):
    """The firmware did not build; the message carries the compiler's."""


def missing_tools(board: Board = "netduinoplus2") -> list[str]:
    """Tools that building and emulating this board needs and the machine lacks."""
    return [tool for tool in _NEEDS[board] if not _present(tool)]


def install_line(missing: list[str]) -> str:
    """The command that installs them on Debian and Ubuntu."""
    return "sudo apt-get install -y " + " ".join(PACKAGES[tool] for tool in missing)


def build_firmware(
    firmware: Path,
    generated: Path,
    build: Path,
    *,
    board: Board = "netduinoplus2",
    transport: Transport = "lockstep",
) -> Path:
    """Compiles the C sources in `firmware` with the policy in `generated` into `build`/firmware.elf.

    Raises BuildError with the compiler's message, or naming the missing tools and what installs them.
    """
    missing = [tool for tool in missing_tools(board) if tool != "qemu-system-arm"]
    if missing:
        raise BuildError(f"cannot build for {board} without {', '.join(missing)}: {install_line(missing)}")
    makefile, generated, build = (p.resolve() for p in (firmware / "Makefile", generated, build))
    settings = {"BOARD": board, "TRANSPORT": transport, "GENERATED": generated, "BUILD": build}
    command = ["make", "-s", "-f", str(makefile), *(f"{k}={v}" for k, v in settings.items())]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"{' '.join(command)}\n{result.stderr.strip() or result.stdout.strip()}")
    return build / "firmware.elf"


def _present(tool: str) -> bool:
    if tool != "newlib":
        return shutil.which(tool) is not None
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc is None:
        return False
    asked = subprocess.run([gcc, "-print-file-name=nano.specs"], capture_output=True, text=True, check=False)
    return Path(asked.stdout.strip()).is_absolute()
