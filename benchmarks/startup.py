"""How long a user waits before anything happens: help, the library, a list, a word completed at TAB.

    python benchmarks/startup.py [--quick]

Each is a process of its own, begun by the clock outside; of the library what `import` takes inside one. The files lie
in the page cache, as on any machine that has run it today. The median of the calls and the worst are shown: a terminal
shows its user the worst.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _results import row, write

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
    "python -c pass, which all of these begin with": (python, None),
}
"""What is called, and the worst that is allowed, s."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    count = 5 if parser.parse_args().quick else 30
    rows = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        for what, (call, bar) in CALLS.items():
            taken = [call(Path(name)) for _ in range(count)]
            rows.append(row(f"{what}, worst of {count}", max(taken), "s", bar))
            rows.append(row(f"{what}, median", statistics.median(taken), "s"))
    write("startup", rows)


if __name__ == "__main__":
    main()
