"""A loop at a fixed rate, and what its timing was.

Period k starts at start + k * dt_s by the monotonic clock: absolute deadlines, so that errors do not add
up. A tick that cannot begin in the first half of its period does not run: the actuators hold, the next tick
is told how many periods were missed, and two ticks are never run to catch up.
"""

from __future__ import annotations

import signal
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

R10 = (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
EDGES_S = (*(float(f"{digits}e{decade}") for decade in range(-6, 0) for digits in R10), 1.0)
"""Edges of the histograms' bins: the preferred numbers R10 (ISO 3), ten a decade from 1 us to 1 s."""


class Stop(Exception):
    """Raised by a tick to end the loop in good order."""


@dataclass
class Distribution:
    """Durations in a fixed amount of memory: `counts` has a bin below, between and above EDGES_S each."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(EDGES_S) + 1))
    count: int = 0
    mean_s: float = 0.0
    max_s: float = 0.0

    def add(self, duration_s: float) -> None:
        self.counts[bisect_right(EDGES_S, duration_s)] += 1
        self.count += 1
        self.mean_s += (duration_s - self.mean_s) / self.count
        self.max_s = max(self.max_s, duration_s)

    def quantile(self, share: float) -> float:
        """An upper bound of the given quantile (s): its bin's upper edge, or the maximum if that is less."""
        seen = 0
        for edge, n in zip((*EDGES_S, self.max_s), self.counts, strict=True):
            seen += n
            if n and seen >= share * self.count:
                return min(edge, self.max_s)
        return 0.0


@dataclass
class Timing:
    """What a loop measured: `jitter` from a period's start to its tick's, `work` the tick's own duration."""

    dt_s: float
    ticks: int = 0
    late: int = 0
    """Periods in which no tick ran because it could not begin in time."""
    interrupted: bool = False
    jitter: Distribution = field(default_factory=Distribution)
    work: Distribution = field(default_factory=Distribution)

    def as_dict(self) -> dict[str, Any]:
        """For a report: JSON-like, with the histograms and their edges."""
        summary: dict[str, Any] = {
            "dt_s": self.dt_s, "ticks": self.ticks, "late": self.late, "interrupted": self.interrupted,
            "edges_s": list(EDGES_S),
        }  # fmt: skip
        for name, d in (("jitter", self.jitter), ("work", self.work)):
            summary[name] = {
                "mean_s": d.mean_s, "p50_s": d.quantile(0.5), "p99_s": d.quantile(0.99), "max_s": d.max_s,
                "counts": list(d.counts),
            }  # fmt: skip
        return summary


def run(
    tick: Callable[[int], object],
    dt_s: float,
    *,
    stop: Callable[[], object],
    periods: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    timing: Timing | None = None,
) -> Timing:
    """Calls `tick(missed)` once a period until `periods` have passed, a tick raises Stop, or Ctrl-C.

    `sleep` may return early, and do something useful meanwhile. A `timing` that is given can be read while the loop
    runs; it is the one returned.

    Ctrl-C lets the running tick end. `stop` is called exactly once whatever ends the loop, an error in a tick
    included, and Ctrl-C cannot cut it short. Only the main thread can catch Ctrl-C; in another the loop ends
    by Stop.
    """
    if not dt_s > 0:
        raise ValueError(f"dt_s must be above 0, got {dt_s}")
    timing = timing or Timing(dt_s)
    with _interrupts() as interrupted:
        try:
            _run(tick, timing, periods, interrupted, clock, sleep)
        except Stop:
            pass
        finally:
            timing.interrupted = interrupted.is_set()
            stop()
    return timing


def _run(
    tick: Callable[[int], object],
    timing: Timing,
    periods: int | None,
    interrupted: threading.Event,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> None:
    start, period, missed = clock(), 0, 0
    while periods is None or period < periods:
        deadline = start + period * timing.dt_s
        while (now := clock()) < deadline and not interrupted.is_set():
            sleep(deadline - now)
        if interrupted.is_set():
            return
        if now - deadline >= timing.dt_s / 2:
            missed += 1
            timing.late += 1
        else:
            timing.jitter.add(now - deadline)
            timing.ticks += 1
            tick(missed)
            missed = 0
            timing.work.add(clock() - now)
        period += 1


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that is set by Ctrl-C; the handler that was there before comes back at the end."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        # None: a handler that Python did not install and cannot put back
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
