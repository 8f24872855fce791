"""A flight's log, whatever wrote it, and the pieces of it that have no hole.

A reader (mcap.py, crazyflie.py, ulog.py) makes a `Log`: what each channel said and when, as the machine had it.
`pieces` puts the channels on one grid in time. A piece ends where a channel is silent for longer than three of its
periods, where a value is no number, and where the clock goes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robostack.quaternion import continuous, normalise
from robostack.spec import ContractError

Floats = NDArray[np.float64]
CHANNELS: Mapping[str, int] = {"position": 3, "attitude": 4, "velocity": 3, "body_rate": 3, "command": 4}
"""elements: m, world ENU; wxyz; m/s, world; rad/s, body FLU; rotor speed command, rad/s"""
SLOWEST_S: Mapping[str, float] = {"position": 0.125, "velocity": 0.125}
"""period of a channel; autopilots log where they are more slowly than how they turn"""
SLOWEST_OTHERS_S = 0.025
"""rotors take twice to five times that long to change their speed"""
FINEST_S = 0.004
"""of the grid"""
GAP_PERIODS = 3.0
SHORTEST_S = 1.2
"""a piece: what the rotors were told before a window, and the window"""
TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class Series:
    """(n,) time in s by any clock, and (n, elements) values."""

    time_s: Floats
    values: Floats


@dataclass(frozen=True)
class Log:
    """`where` is what an error calls it. All channels have one clock."""

    where: str
    channels: Mapping[str, Series]
    sampled: bool = False
    """commands are samples of a faster loop; else each was held until the next"""
    compensated: bool = False
    """what the battery gives is in the commands"""


@dataclass(frozen=True)
class Piece:
    """T rows, a period apart."""

    begins_s: float
    """since the log's first sample"""
    state: Floats
    """(T, 13) position, attitude wxyz, velocity, body rate"""
    command: Floats
    """(T, 4) mean from this row to the next"""


@dataclass(frozen=True)
class Pieces:
    dt_s: float
    found: tuple[Piece, ...]
    notes: tuple[str, ...]
    """what was cut out and why, for a person"""


def pieces(log: Log, begin_s: float = 0.0, end_s: float = np.inf) -> Pieces:
    """What lies between `begin_s` and `end_s` after the first sample.

    Raises ContractError: a channel is missing, too slow or never a number, channels disagree on when the clock went
    back, or no piece is long enough.
    """
    series = {name: _checked(log, name) for name in CHANNELS}
    origin = min(s.time_s[0] for s in series.values())
    epochs = {name: _epochs(s) for name, s in series.items()}
    counts = {name: len(parts) for name, parts in epochs.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{n - 1} times in {name}" for name, n in counts.items())
        raise ContractError(f"{log.where}: the clock goes back {said}: give one flight, by one clock")
    periods = {name: float(np.median(np.diff(s.time_s))) for name, s in series.items()}
    for name, period in periods.items():
        slowest = SLOWEST_S.get(name, SLOWEST_OTHERS_S)
        if not 0.0 < period <= slowest:
            raise ContractError(
                f"{log.where}: {name} comes every {1e3 * period:.3g} ms; a rotor's lag shows at {1e3 * slowest:g} ms "
                "or less: log it faster"
            )
    quick = [p for name, p in periods.items() if name not in SLOWEST_S]
    dt_s = round(max(FINEST_S, *quick), 6)
    notes, found = [], []
    count = next(iter(counts.values()))
    for k in range(count):
        epoch = {name: parts[k] for name, parts in epochs.items()}
        if k:
            last = max(parts[k - 1].time_s[-1] for parts in epochs.values())
            first = min(s.time_s[0] for s in epoch.values())
            notes.append(f"the clock goes back by {last - first:.3f} s, {last - origin:.3f} s after the beginning")
        limits = {name: GAP_PERIODS * max(periods[name], dt_s) for name in epoch}
        notes += _gaps(epoch, limits, origin)
        found += _whole(epoch, limits, dt_s, origin, log.sampled, begin_s, end_s)
    long_enough = tuple(p for p in found if len(p.state) * dt_s >= SHORTEST_S)
    if not long_enough:
        longest = max((len(p.state) for p in found), default=0) * dt_s
        why = f"; {notes[0]}" if notes else ""
        raise ContractError(
            f"{log.where}: its longest piece with all of {', '.join(CHANNELS)} has {longest:.2f} s, needed are "
            f"{SHORTEST_S:g} s{why}"
        )
    return Pieces(dt_s, long_enough, tuple(notes))


def _checked(log: Log, name: str) -> Series:
    """Rows that are numbers, each time once. Raises ContractError."""
    if name not in log.channels:
        raise ContractError(f"{log.where}: no {name}; it has {', '.join(log.channels) or 'nothing'}")
    s = log.channels[name]
    good = np.isfinite(s.values).all(1) & np.isfinite(s.time_s)
    if name == "attitude":
        good &= np.abs(np.linalg.norm(s.values, axis=1) - 1.0) < 0.1
    kept = Series(s.time_s[good], s.values[good])
    fresh = np.diff(kept.time_s, prepend=-np.inf) != 0.0
    kept = Series(kept.time_s[fresh], kept.values[fresh])
    if len(kept.time_s) < 2:
        raise ContractError(f"{log.where}: {name} is never a number ({len(s.time_s)} rows): log it")
    return kept


def _epochs(series: Series) -> list[Series]:
    """What lies between two steps back of the clock."""
    at = np.flatnonzero(np.diff(series.time_s) < 0.0) + 1
    return [
        Series(t, v) for t, v in zip(np.split(series.time_s, at), np.split(series.values, at), strict=True) if len(t)
    ]


def _gaps(epoch: Mapping[str, Series], limits: Mapping[str, float], origin: float) -> list[str]:
    found = []
    for name, s in epoch.items():
        between = np.diff(s.time_s)
        (at,) = np.nonzero(between > limits[name] + TOLERANCE_S)
        if len(at):
            worst = at[between[at].argmax()]
            many = f"{len(at)} gaps, the longest" if len(at) > 1 else "a gap"
            found.append(f"{name} has {many} of {between[worst]:.3f} s at {s.time_s[worst] - origin:.3f} s")
    return found


def _whole(
    epoch: Mapping[str, Series], limits: Mapping[str, float], dt_s: float, origin: float, sampled: bool,
    begin_s: float, end_s: float,
) -> list[Piece]:  # fmt: skip
    start = max(origin + begin_s, *(s.time_s[0] for s in epoch.values()))
    end = min(origin + end_s, *(s.time_s[-1] for s in epoch.values()))
    grid = start + dt_s * np.arange(max(0, int((end - start) / dt_s + 1e-3)))  # a command's period has to end, too
    if not len(grid):
        return []
    covered = np.ones(len(grid), dtype=bool)
    for name, s in epoch.items():
        after = np.searchsorted(s.time_s, grid + TOLERANCE_S, side="right")
        before, after = np.maximum(after - 1, 0), np.minimum(after, len(s.time_s) - 1)
        covered &= s.time_s[after] - s.time_s[before] <= limits[name] + TOLERANCE_S
    turned = replace(epoch["attitude"], values=continuous(epoch["attitude"].values))
    state = [_at(epoch["position"], grid), normalise(_at(turned, grid))]
    state += [_at(epoch["velocity"], grid), _at(epoch["body_rate"], grid)]
    rows, command = np.concatenate(state, 1), _means(epoch["command"], grid, dt_s, sampled)
    edges = np.flatnonzero(np.diff(covered, prepend=False, append=False))
    return [Piece(grid[a] - origin, rows[a:b], command[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _at(series: Series, grid: Floats) -> Floats:
    return _columns(grid, series.time_s, series.values)


def _means(series: Series, grid: Floats, dt_s: float, sampled: bool) -> Floats:
    """(T, 4) mean over the `dt_s` from each of `grid`, of what was held or of the line through the samples."""
    t, v = series.time_s, series.values
    mean = 0.5 * (v[1:] + v[:-1]) if sampled else v[:-1]
    area = np.concatenate([np.zeros((1, v.shape[1])), np.cumsum(mean * np.diff(t)[:, None], axis=0)])
    return (_columns(grid + dt_s, t, area) - _columns(grid, t, area)) / dt_s


def _columns(at: Floats, time_s: Floats, values: Floats) -> Floats:
    return np.stack([np.interp(at, time_s, column) for column in values.T], 1)


def joined(columns: Sequence[Floats]) -> Floats:
    """(n, elements) of what a log has as one column an element."""
    return np.stack([np.asarray(c, float) for c in columns], 1)
