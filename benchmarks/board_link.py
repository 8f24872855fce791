"""The emulated board: control periods a second in lockstep, round trips over its serial line, and a hot swap.

    python benchmarks/board_link.py [--quick]

Lockstep is virtual time: the flight repeats to the byte, however fast it goes. The serial line is real time: a flight
is paced by the board's 100 Hz timer, so the line itself is timed by echoes of a flight's sizes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from _results import row, write

from robostack.boards import choose
from robostack.export.firmware import export_firmware
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack_real.twins.kinds import EmulatedBoard

from firmware_step import SPEC, RandomActor  # isort: skip


def lockstep(board: EmulatedBoard, firmware: Path, periods: int) -> tuple[float, bytes]:
    """Periods a second, and the bytes of every answer."""
    random = np.random.default_rng(0)
    values = np.zeros((periods, SPEC.observation_size), np.float32)
    values[:, :6] = 0.1 * random.standard_normal((periods, 6))
    values[:, 6] = 1.0
    seen = bytearray()
    with board.lockstep(firmware) as session:
        session.observe(values[0])
        session.arm(session.identify().policy_hash)
        start = time.perf_counter()
        for v in values:
            answer = session.observe(v)
            seen += answer.action.tobytes() + answer.ticks_spent.to_bytes(4, "little")
        return periods / (time.perf_counter() - start), bytes(seen)


def round_trips(board: EmulatedBoard, firmware: Path, count: int) -> np.ndarray:
    """(count,) seconds of echoes as large as an observation and its answer."""
    with board.serial(firmware) as link:
        return np.array([link.echo() for _ in range(count)])


def swap_in_flight(board: EmulatedBoard, firmware: Path, new: LoadedPolicy) -> tuple[int, int, bool]:
    """Control periods from the first byte to the new policy's first action, those that were missed or had no tick, and
    whether the new policy runs: armed, an observation a period."""
    values = np.zeros(SPEC.observation_size, np.float32)
    values[6] = 1.0
    with board.lockstep(firmware) as session:
        first = session.observe(values)
        session.arm(session.identify().policy_hash)
        answers = [first]
        now = session.load(new, meanwhile=lambda: answers.append(session.observe(values)))
        answers.append(session.observe(values))
    last = answers[-1]
    skipped = last.tick - first.tick + 1 - len(answers)
    good = now.policy_hash == new.policy_hash and last.armed and not last.tripped
    return len(answers) - 1, last.deadline_misses + skipped, good


def swap_over_the_line(board: EmulatedBoard, firmware: Path, new: LoadedPolicy) -> float:
    """Seconds, disarmed: upload and self-test."""
    with board.serial(firmware) as link:
        start = time.perf_counter()
        link.load(new)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the periods")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    periods, echoes = (1000, 200) if options.quick else (20_000, 2000)
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        actor = RandomActor(seed=0)
        policy = export_onnx(actor, SPEC, Path(name) / "policy.onnx", reference=actor)
        firmware = Path(name) / "firmware"
        export_firmware(policy, firmware)
        board = choose("netduinoplus2")
        assert isinstance(board, EmulatedBoard)
        (rate, first), (_, second) = (lockstep(board, firmware, periods) for _ in range(2))
        trips = round_trips(board, firmware, echoes)
        other = RandomActor(seed=1)
        new = export_onnx(other, SPEC, Path(name) / "new.onnx", reference=other)
        swappable = Path(name) / "swappable"
        export_firmware(policy, swappable, hot_swap=True)
        swap_periods, missed, good = swap_in_flight(board, swappable, new)
        swap_s = swap_over_the_line(board, swappable, new)
    rows = [
        row("lockstep control periods, emulated STM32F405", rate, "1/s", 1000.0, better="higher"),
        row("two lockstep runs, same bytes", float(first == second), "of 1", 1.0, better="higher"),
        row("serial round trips, emulated STM32F405", 1.0 / float(trips.mean()), "1/s", better="higher"),
        row("serial round trip, p50", 1e3 * float(np.percentile(trips, 50)), "ms"),
        row("serial round trip, p99", 1e3 * float(np.percentile(trips, 99)), "ms"),
        row("hot swap in flight, periods missed", missed, "", 0.0),
        row("hot swap in flight, the new policy runs", float(good), "of 1", 1.0, better="higher"),
        row("hot swap in flight, one message a period", swap_periods, "periods"),
        row("hot swap over the serial line, disarmed", swap_s, "s"),
    ]
    write("board_link", rows, options.out)


if __name__ == "__main__":
    main()
