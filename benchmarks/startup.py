"""How long a user waits before anything happens: help, the library, a list, a word completed at TAB.

    python benchmarks/startup.py [--quick]

Each is a process of its own, begun by the clock outside; of the library what `import` takes inside one. Cold: the
kernel was asked before each call to forget the files of robostack and the metadata of what is installed beside it, so
that they come from the disk; Python's own library stays in memory, as other programs keep it there. Warm: all does.
Processor time tells a slow start from a busy machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _results import row, write

import robostack

ROBOSTACK = str(Path(sys.executable).with_name("robostack"))
IMPORT = "import time; t = time.perf_counter(); import robostack; print(time.perf_counter() - t)"


def whole(*words: str) -> Callable[[Path], float]:
    """Of a process, s."""

    def call(folder: Path) -> float:
        began = time.perf_counter()
        subprocess.run([ROBOSTACK, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return call


def imported(folder: Path) -> float:
    done = subprocess.run([sys.executable, "-c", IMPORT], cwd=folder, check=True, capture_output=True, text=True)
    return float(done.stdout)


def forget() -> None:
    """Puts what a start reads out of the page cache."""
    files = [
        *Path(robostack.__file__).parent.rglob("*.py*"),
        *Path(sysconfig.get_paths()["purelib"]).glob("*.dist-info/*"),
    ]
    for path in files:
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def processor_s() -> float:
    """That all children together have had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def python(folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], cwd=folder, check=True)
    return time.perf_counter() - began


CALLS: dict[str, tuple[Callable[[Path], float], float | None]] = {
    "robostack --help": (whole("--help"), 0.4),
    "import robostack": (imported, 0.1),
    "robostack list": (whole("list"), None),
    "robostack evaluate --help": (whole("evaluate", "--help"), None),
    "TAB after `robostack train`": (whole("--complete", "train", ""), None),
    "python, which they begin with": (python, None),
}
"""What is called, and the worst that is allowed, s."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    count = 3 if parser.parse_args().quick else 10
    rows = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        for what, (call, bar) in CALLS.items():
            if bar is not None:
                cold = []
                for _ in range(count):
                    forget()
                    cold.append(call(Path(name)))
                rows.append(row(f"{what}, cold, worst of {count}", max(cold), "s", bar))
            before = processor_s()
            warm = [call(Path(name)) for _ in range(count)]
            rows.append(row(f"{what}, warm, median", statistics.median(warm), "s"))
            rows.append(row(f"{what}, its processor time", (processor_s() - before) / count, "s"))
    write("startup", rows)


if __name__ == "__main__":
    main()
