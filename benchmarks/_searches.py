"""What an operator's script does without a model: searches that move, read one number, and move again.

Each is a generator of settings, (M,) in units of a usual move, that is sent the reading at each. Higher is better.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import count

import numpy as np

Search = Generator[np.ndarray, float, None]
Reading = Callable[[np.ndarray], np.ndarray]


def coordinates(start: np.ndarray, size: float, shrink: float = 0.75) -> Search:
    """A magnet after the other: a move, one to the better side, and to the top of the parabola through the logarithms
    of the three."""
    at, top = start, (yield start)
    for turn in count():
        step, axis = size * shrink ** (turn // len(start)), np.eye(len(start))[turn % len(start)]
        ahead = yield at + step * axis
        other = 2.0 if ahead > top else -1.0
        there = yield at + other * step * axis
        x, y = np.array([0.0, 1.0, other]), np.log(np.maximum([top, ahead, there], 1e-3))
        bend, slope, _ = np.polyfit(x, y, 2)
        best = -slope / (2.0 * bend) if bend < 0.0 else x[y.argmax()]
        at = at + float(np.clip(best, -2.5, 2.5)) * step * axis
        top = yield at


def nelder_mead(start: np.ndarray, size: float) -> Search:
    """Reflection, expansion, contraction, shrinkage by 1, 2, 1/2, 1/2 (Nelder and Mead 1965)."""
    corners = [start, *(start + size * axis for axis in np.eye(len(start)))]
    values = []
    for corner in corners:
        values.append((yield corner))
    while True:
        order = np.argsort(values)[::-1]
        corners, values = [corners[i] for i in order], [values[i] for i in order]
        middle = np.mean(corners[:-1], axis=0)
        away = middle - corners[-1]
        reflected = yield middle + away
        if reflected > values[0]:
            further = yield middle + 2.0 * away
            grown = (middle + 2.0 * away, further) if further > reflected else (middle + away, reflected)
            corners[-1], values[-1] = grown
        elif reflected > values[-2]:
            corners[-1], values[-1] = middle + away, reflected
        else:
            side = 0.5 if reflected > values[-1] else -0.5
            nearer = yield middle + side * away
            if nearer > max(reflected, values[-1]):
                corners[-1], values[-1] = middle + side * away, nearer
            else:
                for i in range(1, len(corners)):
                    corners[i] = 0.5 * (corners[i] + corners[0])
                    values[i] = yield corners[i]


def held(searches: list[Search], read: Reading, moves: int) -> np.ndarray:
    """(moves + 1, N, M): the settings that each of N searches would hold after so many moves: the best it has read.

    `read` takes all settings (N, M) at once and gives (N,) readings. The start is read before the first move; the move
    back to what is held is not counted.
    """
    at = np.stack([next(s) for s in searches])
    best, value = at, read(at)
    kept, seen = [best], value
    for _ in range(moves):
        at = np.stack([s.send(float(v)) for s, v in zip(searches, seen, strict=True)])
        seen = read(at)
        better = seen > value
        best, value = np.where(better[:, None], at, best), np.maximum(value, seen)
        kept.append(best)
    return np.stack(kept)
