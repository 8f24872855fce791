"""Small charts as inline SVG, coloured by the page's CSS variables, so that one file serves light and dark.

No plotting library: a robot writes its report with the core install, and a chart costs a few kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_POINTS = 300
"""Points kept of one line: enough for any width a chart is shown at."""
MAX_THIN_POINTS = 120
"""The same for a line that is one of many."""
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 24, 36

Array = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One polyline; `tone` is a CSS class of the report (`c1`..`c4`, `ink`, `muted`, `bad`)."""

    x: ArrayLike
    y: ArrayLike
    tone: str = "c1"
    label: str = ""
    dashed: bool = False
    thin: bool = False
    end_dot: bool = False
    points: bool = False
    """A dot at every point, for lines with few."""


@dataclass(frozen=True)
class Level:
    """A horizontal line across the chart: a limit or a bar to reach."""

    y: float
    label: str = ""


def lines(
    series: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    size: tuple[int, int] = (520, 250),
    x_range: Range | None = None,
    y_range: Range | None = None,
    equal: bool = False,
    levels: Sequence[Level] = (),
    x_ticks: Sequence[tuple[float, str]] | None = None,
) -> str:
    """A line chart. `equal` gives both axes the same scale, for paths through space; `x_ticks` are places on the x axis
    that have names."""
    data = [(_finite(s.x), _finite(s.y)) for s in series]
    x_range = x_range or _span([x for x, _ in data])
    y_range = y_range or _span([y for _, y in data] + [np.array([lv.y]) for lv in levels])
    frame = _Frame(size, x_range, y_range, equal)
    body = [frame.axes(x_label, y_label, x_ticks=x_ticks)]
    body += [frame.level(level) for level in levels]
    for s, (x, y) in zip(series, data, strict=True):
        body.append(frame.path(x, y, s))
    return frame.svg(body, f"{y_label} against {x_label}")


def histogram(
    values: ArrayLike,
    *,
    x_label: str,
    bins: int = 40,
    size: tuple[int, int] = (520, 220),
    marks: dict[str, float],
    of: str = "periods",
) -> str:
    """Counts of `values` in equal bins on a log scale, with named vertical `marks` (p50, p99)."""
    data = np.asarray(values, dtype=np.float64)
    data = data[np.isfinite(data)]
    low, high = (float(data.min()), float(data.max())) if len(data) else (0.0, 1.0)
    pad = max((high - low) * 0.04, abs(high) * 1e-3, 1e-12)
    counts, edges = np.histogram(data, bins=bins, range=(low - pad, high + pad))
    top = max(1, int(counts.max()))
    frame = _Frame(size, (float(edges[0]), float(edges[-1])), (0.0, 1.25 * math.log10(top) + 0.5), False)
    ticks = [(math.log10(10**k) + 0.2, f"{10**k:,}".replace(",", "\u202f")) for k in range(int(math.log10(top)) + 1)]
    body = [frame.axes(x_label, f"{of} (log)", y_ticks=ticks)]
    base = frame.py(0.0)
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            x0, x1, y = frame.px(left), frame.px(right), frame.py(math.log10(count) + 0.2)
            place = f'x="{x0:.1f}" y="{y:.1f}" width="{max(x1 - x0 - 1, 1):.1f}" height="{base - y:.1f}"'
            title = f"{left:.4g} to {right:.4g}: {count}"
            body.append(f'<rect class="fill c1" {place}><title>{title}</title></rect>')
    for row, (name, value) in enumerate(marks.items()):
        x = frame.px(value)
        anchor = "end" if x > size[0] * 0.7 else "start"
        shift = -4 if anchor == "end" else 4
        body.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{base:.1f}"/>')
        body.append(f'<text class="note" x="{x + shift:.1f}" y="{TOP + 10 + 14 * row}" '
                    f'text-anchor="{anchor}">{escape(name)}</text>')  # fmt: skip
    return frame.svg(body, f"histogram of {x_label}")


def legend(entries: Sequence[tuple[str, str]], *, dashed: str = "") -> str:
    """HTML swatches: (tone, label) pairs; `dashed` names the tone drawn dashed."""
    items = "".join(
        f'<span><i class="swatch {tone}{" dash" if tone == dashed else ""}"></i>{escape(label)}</span>'
        for tone, label in entries
    )
    return f'<div class="legend">{items}</div>'


class _Frame:
    """Maps data to pixels and draws axes."""

    def __init__(self, size: tuple[int, int], x: Range, y: Range, equal: bool) -> None:
        self.width, self.height = size
        if equal:
            scale = max((x[1] - x[0]) / (self.width - LEFT - RIGHT), (y[1] - y[0]) / (self.height - TOP - BOTTOM))
            x = _grow(x, scale * (self.width - LEFT - RIGHT))
            y = _grow(y, scale * (self.height - TOP - BOTTOM))
        self.x, self.y = x, y

    def px(self, x: Any) -> Any:
        return LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - LEFT - RIGHT)

    def py(self, y: Any) -> Any:
        return self.height - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (self.height - TOP - BOTTOM)

    def axes(
        self,
        x_label: str,
        y_label: str,
        y_ticks: Sequence[tuple[float, str]] | None = None,
        x_ticks: Sequence[tuple[float, str]] | None = None,
    ) -> str:
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        out = []
        for value, text in y_ticks or _ticks(self.y, max(2, (self.height - TOP - BOTTOM) // 42)):
            y = self.py(value)
            out.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            out.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
        for value, text in x_ticks or _ticks(self.x, max(2, (self.width - LEFT - RIGHT) // 78)):
            x = self.px(value)
            out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
            anchor = "end" if x > right - 4 * len(text) else "middle"  # the last must not be cut off
            out.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="{anchor}">{text}</text>')
        out.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
        out.append(f'<text class="label" x="{right}" y="{self.height - 4}" text-anchor="end">{escape(x_label)}</text>')
        out.append(f'<text class="label" x="0" y="{TOP - 12}">{escape(y_label)}</text>')
        return "".join(out)

    def level(self, level: Level) -> str:
        y, right = self.py(level.y), self.width - RIGHT
        return (f'<line class="mark" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text class="note" x="{right - 4}" y="{y - 5:.1f}" text-anchor="end">'
                f"{escape(level.label)}</text>")  # fmt: skip

    def path(self, x: Array, y: Array, line: Line) -> str:
        keep = np.isfinite(x) & np.isfinite(y)
        x, y = x[keep], y[keep]
        if not len(x):
            return ""
        step = max(1, -(-len(x) // (MAX_THIN_POINTS if line.thin else MAX_POINTS)))
        index = np.unique(np.r_[np.arange(0, len(x), step), len(x) - 1])
        px = np.clip(self.px(x[index]), LEFT, self.width - RIGHT)
        py = np.clip(self.py(y[index]), TOP, self.height - BOTTOM)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
        style = f"{line.tone}{' thin' if line.thin else ''}{' dash' if line.dashed else ''}"
        title = f"<title>{escape(line.label)}</title>" if line.label else ""
        marked = [*zip(px, py, strict=True)] if line.points else [(px[-1], py[-1])] if line.end_dot else []
        dots = "".join(f'<circle class="dot {line.tone}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in marked)
        return f'<polyline class="line {style}" points="{points}">{title}</polyline>{dots}'

    def svg(self, body: list[str], label: str) -> str:
        return (f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
                f'aria-label="{escape(label, quote=True)}">{"".join(body)}</svg>')  # fmt: skip


def _finite(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64).ravel()


def _span(parts: list[Array]) -> Range:
    """Range of all finite values with a little air, never empty."""
    joined = np.concatenate(parts) if parts else np.array([])
    joined = joined[np.isfinite(joined)]
    if not len(joined):
        return 0.0, 1.0
    low, high = float(joined.min()), float(joined.max())
    air = (high - low) * 0.06 or max(abs(high) * 0.1, 1e-6)
    return (0.0 if 0 <= low < air else low - air), high + air


def _grow(span: Range, width: float) -> Range:
    middle = (span[0] + span[1]) / 2
    return middle - width / 2, middle + width / 2


def _ticks(span: Range, count: int) -> list[tuple[float, str]]:
    """At most about `count` round values within the range, with their text."""
    raw = (span[1] - span[0]) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil(span[0] / step - 1e-9)
    values = [k * step for k in range(first, math.floor(span[1] / step + 1e-9) + 1)]
    return [(v, f"{v + 0.0:,.{digits}f}".replace(",", "\u202f").replace("-", "\u2212")) for v in values]
