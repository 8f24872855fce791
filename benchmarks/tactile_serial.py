"""A magnetic skin on a serial line at 400 frames a second: gaps, how late a frame is read, and what reading costs.

    python benchmarks/tactile_serial.py [--quick]

The board is the twin, in a process of its own, on a pseudo-terminal. It says in its temperatures how many frames it has
sent and when this one, so that each frame that is missing is known. The package of ReSkin's makers, which is AnySkin's
under another name, reads the same board where it is installed.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _results import row, write

from robostack_real.devices.anyskin import AnySkin

COLD_C, PER_COUNT_C, COUNTS, TURN_S = 20.0, 0.005, 2000, 8.0


def board(link: str, up: Any, over: Any) -> None:
    from robostack_real.twins.anyskin import VirtualSkin

    class Stamped(VirtualSkin):
        def temperature_c(self) -> np.ndarray:
            counted = COLD_C + PER_COUNT_C * ((self.count + self.held) % COUNTS)
            return np.array([25.0, 25.0, 25.0, COLD_C + time.monotonic() % TURN_S, counted], np.float32)

    with Stamped(Path(link)):
        up.set()
        over.wait()


class Recorder(AnySkin):
    """Also keeps each frame's two special temperatures, and when it could be read."""

    def __init__(self, port: str) -> None:
        super().__init__(port)
        self.seen: list[tuple[float, float, float]] = []

    def _take(self, frame: np.ndarray, came_s: float) -> None:
        super()._take(frame, came_s)
        self.seen.append((float(frame[3, 0]), float(frame[4, 0]), time.monotonic()))


def missing(counted_c: np.ndarray) -> int:
    """Frames that were sent between two that were read."""
    counts = np.rint((counted_c - COLD_C) / PER_COUNT_C).astype(int)
    return int(((np.diff(counts) - 1) % COUNTS).sum())


def ours(link: str, seconds: float) -> dict[str, float]:
    with Recorder(link) as skin:
        time.sleep(0.5)
        skin.seen.clear()
        cpu, start, ages = time.process_time(), time.monotonic(), []
        while (now := time.monotonic()) - start < seconds:
            touch = skin.read()  # as a policy does
            if touch is not None:
                ages.append(touch.age_s)
            time.sleep(max(0.0, start + (math.floor((now - start) * 60.0) + 1) / 60.0 - now))
        cpu, wall, dropped = time.process_time() - cpu, time.monotonic() - start, skin.dropped
    sent_c, counted_c, read_s = np.array(skin.seen).T
    late_s = (read_s - (sent_c - COLD_C)) % TURN_S
    return {
        "frames": len(skin.seen), "rate": len(skin.seen) / wall, "missing": missing(counted_c), "dropped": dropped,
        "p50": float(np.percentile(late_s, 50)), "p99": float(np.percentile(late_s, 99)), "worst": float(late_s.max()),
        "pause": float(np.diff(read_s).max()), "cpu": cpu / wall, "age": float(np.percentile(ages, 99)),
    }  # fmt: skip


def theirs(link: str, frames: int) -> int | None:
    """Frames missing; None where it is not installed."""
    try:
        from reskin_sensor import ReSkinBase
    except ImportError:
        return None
    sensor = ReSkinBase(num_mags=5, port=link)
    sensor.reset_input_buffer()
    for _ in range(100):
        sensor.get_sample()
    counted = np.array([sensor.get_sample()[-1][16] for _ in range(frames)])
    sensor.close()
    return missing(counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 s instead of 60")
    parser.add_argument("--out", type=Path, help="results file to write")
    options = parser.parse_args()
    seconds = 5.0 if options.quick else 60.0
    context = multiprocessing.get_context("spawn")
    up, over = context.Event(), context.Event()
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        link = f"{folder}/skin"
        process = context.Process(target=board, args=(link, up, over), daemon=True)
        process.start()
        if not up.wait(120.0):
            raise SystemExit("the twin has not started in two minutes")
        found = ours(link, seconds)
        peer = theirs(link, round(400 * seconds / 4))
        over.set()
        process.join()
    name = None if peer is None else "reskin-sensor 2.0, a quarter as long"
    rows = [
        row(f"frames missing, of {found['frames']}", found["missing"], "frames", 0.0,
            reference=name, reference_value=peer),
        row("frames cut or damaged", found["dropped"], "frames", 0.0),
        row("frames read a second", found["rate"], "Hz", 395.0, better="higher"),
        row("longest time between two frames", 1e3 * found["pause"], "ms"),
        row("from the board's write to a frame that can be read, median", 1e3 * found["p50"], "ms"),
        row("the same, p99", 1e3 * found["p99"], "ms"),
        row("the same, longest", 1e3 * found["worst"], "ms"),
        row("age of what a loop of 60 Hz reads, p99", 1e3 * found["age"], "ms"),
        row("what the reader costs of a core", 100 * found["cpu"], "%"),
    ]  # fmt: skip
    write("tactile_serial", rows, options.out)


if __name__ == "__main__":
    main()
