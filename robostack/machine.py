"""What a figure was measured on: processor, system, versions, commit. No host name, user or path."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zlib
from importlib import metadata
from pathlib import Path

PACKAGES = ("robostack", "numpy", "onnx", "onnxruntime", "pydantic", "pyserial", "torch", "warp-lang")
TOOLS = {"gcc": ["gcc", "-dumpfullversion"], "arm-none-eabi-gcc": ["arm-none-eabi-gcc", "-dumpfullversion"],
         "qemu": ["qemu-system-arm", "--version"]}  # fmt: skip


def describe() -> dict[str, str]:
    """`cpu`, `cores`, `memory`, `system`, `python` and `commit` of this machine, in words."""
    return {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": commit(),
    }


def instruction_set() -> str:
    """Eight digits that two machines share when their processors have the same instructions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    known = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{zlib.crc32(known.encode()):08x}"


def versions() -> dict[str, str]:
    """Versions of the packages and tools that a figure depends on; what is absent is left out."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    for tool, command in TOOLS.items():
        if shutil.which(command[0]):
            lines = _output(command).splitlines()
            found[tool] = lines[0].replace("QEMU emulator version ", "").split(" ")[0] if lines else "unknown"
    return found


def commit() -> str:
    """Short commit of the checkout that robostack runs from, `-dirty` when changed, or "unknown"."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return "unknown"
    return _output(["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]).strip() or "unknown"


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    if sys.platform != "linux":
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
