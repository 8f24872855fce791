"""Paths through space as inline SVG: a parallel view from a corner, over a floor of squares whose size is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from robostack.evaluate.chart import MAX_POINTS, MAX_THIN_POINTS, Array

RIGHT = np.array([0.87, -0.5, 0.0])
UP = np.array([0.21, 0.37, 0.91])
"""of the picture, in the world; x goes to the right and y to the back, seen from 25 degrees above"""
MARGIN = 14
SQUARES = 8
"""along a side of the floor, about"""


@dataclass(frozen=True)
class Path:
    """`points` (T, 3) m; `tone` is a CSS class of the report."""

    points: NDArray[np.floating]
    tone: str = "c1"
    label: str = ""
    thin: bool = False
    end_dot: bool = False


def space(paths: Sequence[Path], *, size: tuple[int, int] = (520, 300)) -> str:
    """The paths and the floor below them. What is not finite is left out."""
    kept = [np.asarray(p.points, np.float64)[np.isfinite(p.points).all(1)] for p in paths]
    everywhere = np.concatenate([*kept, np.zeros((1, 3))])
    low, high = everywhere.min(0), everywhere.max(0)
    side = _round(max(float((high - low)[:2].max()), 1e-3) / SQUARES)
    first, last = np.floor(low[:2] / side), np.ceil(high[:2] / side)
    floor_m = float(low[2]) - 0.5 * side
    edges = side * np.stack([first, last])
    corners = np.array([[x, y, floor_m] for x in edges[:, 0] for y in edges[:, 1]])
    view = _View(np.concatenate([everywhere, corners]), size)
    grid = [((side * k, edges[0, 1]), (side * k, edges[1, 1])) for k in np.arange(first[0], last[0] + 1)]
    grid += [((edges[0, 0], side * k), (edges[1, 0], side * k)) for k in np.arange(first[1], last[1] + 1)]
    lines = [view.points([(*a, floor_m), (*b, floor_m)]) for a, b in grid]
    body = [f'<polyline class="axis" fill="none" points="{line}"/>' for line in lines]
    for axis, end in (("x", (edges[1, 0], edges[0, 1])), ("y", (edges[0, 0], edges[1, 1]))):
        u, v = view.place(np.array([[*end, floor_m]]))[0]
        body.append(f'<text class="tick" x="{u:.0f}" y="{v + 4:.0f}" text-anchor="middle">{axis}</text>')
    for path, points in zip(paths, kept, strict=True):
        if len(points):
            body.append(_drawn(path, points, view))
    body.append(f'<text class="label" x="0" y="12">squares of {side:g} m</text>')
    return (f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" '
            f'aria-label="paths through space">{"".join(body)}</svg>')  # fmt: skip


class _View:
    """Puts places of the world into the picture."""

    def __init__(self, places: Array, size: tuple[int, int]) -> None:
        flat = places @ np.stack([RIGHT, UP], 1)
        self._low, self._high = flat.min(0), flat.max(0)
        room = np.array(size) - 2 * MARGIN
        self._scale = float((room / np.maximum(self._high - self._low, 1e-9)).min())
        self._start = (np.array(size) - self._scale * (self._high - self._low)) / 2

    def place(self, places: Array) -> Array:
        """(N, 3) m -> (N, 2) pixels"""
        flat = np.asarray(places) @ np.stack([RIGHT, UP], 1)
        across = self._start[0] + self._scale * (flat[:, 0] - self._low[0])
        return np.stack([across, self._start[1] + self._scale * (self._high[1] - flat[:, 1])], 1)

    def points(self, places: Sequence[Sequence[float]] | Array) -> str:
        return " ".join(f"{u:.1f},{v:.1f}" for u, v in self.place(np.asarray(places, np.float64)))


def _drawn(path: Path, points: Array, view: _View) -> str:
    step = max(1, -(-len(points) // (MAX_THIN_POINTS if path.thin else MAX_POINTS)))
    shown = points[np.unique(np.r_[np.arange(0, len(points), step), len(points) - 1])]
    style = f"{path.tone}{' thin' if path.thin else ''}"
    title = f"<title>{escape(path.label)}</title>" if path.label else ""
    u, v = view.place(shown[-1:])[0]
    dot = f'<circle class="dot {path.tone}" cx="{u:.1f}" cy="{v:.1f}" r="2.6"/>' if path.end_dot else ""
    return f'<polyline class="line {style}" points="{view.points(shown)}">{title}</polyline>{dot}'


def _round(length: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= length * (1 - 1e-9))
