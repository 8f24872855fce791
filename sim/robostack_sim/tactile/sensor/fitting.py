"""A visuotactile sensor's table of colours from images of a ball that was pressed into it, as GelSight is calibrated
(Johnson and Adelson 2009; Wang, She, Romero and Adelson 2021).

A ball of known size makes every slope up to its print's edge, in every direction. Where the print lies is found by
what explains the colours best; then each bin of slopes gets its polynomial of the place, from its own pixels, and where
these are too few from those of the bins around it as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostack_sim.tactile.sensor.calibration import Calibration

Array = NDArray[np.float64]

LEAST_PRESSES = 8
NEEDED = 40
"""pixels behind a bin's polynomial"""
RIDGE = 0.3
"""of the polynomial's five terms that vary with the place, which a few presses do not settle"""
VISIBLE = 8.0
"""of 255: what differs less from the gel at rest is no print"""
WINDOW = 1.6
"""of a print's radius: pixels around it that say where it lies"""


class NoPrint(ValueError):
    """An image shows no ball's print; the text says what it shows."""


@dataclass(frozen=True, eq=False)
class Press:
    """One image (height, width, 3), 0 to 255, of a print with its middle at `x`, `y` and of `radius`, in pixels."""

    name: str
    image: Array
    x: float
    y: float
    radius: float


def find_print(name: str, image: Array, rest: Array, ball_px: float) -> Press:
    """Where a ball of radius `ball_px` pixels left its print. Raises NoPrint."""
    change = np.abs(image - rest).max(-1)
    seen = change > max(VISIBLE, 0.15 * float(change.max()))
    if seen.sum() < 20:
        raise NoPrint(f"{name}: shows no print: nothing differs from the gel at rest by more than {VISIBLE:g} of 255")
    rows, columns = np.nonzero(seen)
    y, x = float(np.median(rows)), float(np.median(columns))
    radius = math.sqrt(float(np.percentile((rows - y) ** 2 + (columns - x) ** 2, 95)))
    place = _settled(np.array([x, y, radius]), image - rest, ball_px)
    x, y, radius = place.tolist()
    height, width = change.shape
    if min(x, y, width - 1 - x, height - 1 - y) < radius:
        raise NoPrint(f"{name}: its print is cut off by the border; press further inside")
    return Press(name, image, x, y, radius)


def _settled(place: Array, change: Array, ball_px: float) -> Array:
    """From x, y and radius the best near them: steps as long as they help, then shorter ones."""
    place[2] = min(place[2], 0.9 * ball_px)
    best = _unexplained(place, change, ball_px)
    step = max(1.0, 0.15 * place[2])
    while step > 0.05:
        better = False
        for axis in (2, 0, 1):
            for way in (-step, step):
                tried = place.copy()
                tried[axis] += way
                if not 2.0 < tried[2] < 0.98 * ball_px:
                    continue
                left = _unexplained(tried, change, ball_px)
                if left < best:
                    place, best, better = tried, left, True
        step = step if better else 0.5 * step
    return place


def _unexplained(place: Array, change: Array, ball_px: float) -> float:
    """Mean square of a print's colours that no quadratic of its normals makes, were it there."""
    x, y, radius = place
    reach = WINDOW * radius + 3.0
    rows = slice(max(0, int(y - reach)), int(y + reach) + 2)
    columns = slice(max(0, int(x - reach)), int(x + reach) + 2)
    part = change[rows, columns]
    if min(part.shape[:2]) < 3:
        return math.inf
    gx, gy = slopes(part.shape[:2], x - columns.start, y - rows.start, radius, ball_px)
    up = 1.0 / np.sqrt(1.0 + gx * gx + gy * gy)
    a, b, c = gx * up, gy * up, 1.0 - up
    features = np.stack([a, b, c, a * a, a * b, b * b], -1).reshape(-1, 6)
    colours = part.reshape(-1, 3)
    made = features @ np.linalg.solve(features.T @ features + 1e-6 * np.eye(6), features.T @ colours)
    # a larger window has more level gel in it, and must not win by that
    return float(np.square(colours - made).sum() / np.square(colours).sum())


def slopes(shape: tuple[int, ...], x: float, y: float, radius: float, ball_px: float) -> tuple[Array, Array]:
    """Of the gel's skin over each pixel of (height, width), as the image model has it: the ball's print under a 5 x 5
    binomial blur."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    far2 = (columns - x) ** 2 + (rows - y) ** 2
    deep = np.sqrt(np.maximum(ball_px**2 - far2, 0.0)) - math.sqrt(max(ball_px**2 - radius**2, 0.0))
    wide = np.pad(np.maximum(deep, 0.0), 2, mode="edge")
    weights = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    down = sum(w * wide[k : k + shape[0]] for k, w in enumerate(weights))
    smooth = np.pad(sum(w * down[:, k : k + shape[1]] for k, w in enumerate(weights)), 1, mode="edge")
    return 0.5 * (smooth[1:-1, 2:] - smooth[1:-1, :-2]), 0.5 * (smooth[2:, 1:-1] - smooth[:-2, 1:-1])


def fit(rest: Array, presses: Sequence[Press], ball_px: float, bins: int = 120) -> Calibration:
    """Of at least LEAST_PRESSES presses, all of the size of `rest` (height, width, 3). Raises ValueError."""
    if len(presses) < LEAST_PRESSES:
        raise ValueError(
            f"{len(presses)} presses with a whole print, at least {LEAST_PRESSES} are needed, some thirty are good: "
            "press the ball in all over the gel, more and less deep"
        )
    height, width = rest.shape[:2]
    found = np.zeros((bins - 1, bins - 1, 6, 9))
    count = np.zeros((bins - 1, bins - 1))
    rows, columns = np.mgrid[:height, :width]
    terms = _terms(columns / width - 0.5, rows / height - 0.5)
    for press in presses:
        steep, way, sloped = _bins(*slopes(rest.shape, press.x, press.y, press.radius, ball_px), bins)
        basis, change = terms[sloped], (press.image - rest)[sloped]
        np.add.at(found, (steep, way), basis[:, :, None] * np.concatenate([basis, change], 1)[:, None, :])
        np.add.at(count, (steep, way), 1.0)
    solved, done, reach = np.zeros((bins - 1, bins - 1, 6, 3)), np.zeros(count.shape, bool), 1
    ridge = np.diag([RIDGE] * 5 + [1e-6])
    while not done.all():
        enough = ~done & (count >= NEEDED) if reach < bins else ~done
        solved[enough] = np.linalg.solve(found[enough][..., :6] + ridge, found[enough][..., 6:])
        done |= enough
        found, count = _spread(found, reach), _spread(count, reach)
        reach *= 2
    table = np.zeros((bins, bins, 3, 6))
    table[:-1, :-1] = np.einsum("ab,ijbk->ijka", _to_pixels(width, height), solved)
    table[-1], table[:, -1] = table[-2], table[:, 0]  # what is vertical; what is at -180 and 180 degrees
    return Calibration(table.astype(np.float32), rest.astype(np.float32))


def shaded(calibration: Calibration, press: Press, ball_px: float) -> Array:
    """The image of a press as the table makes it."""
    rest = calibration.rest.astype(float)
    steep, way, sloped = _bins(*slopes(rest.shape, press.x, press.y, press.radius, ball_px), len(calibration.table))
    rows, columns = np.nonzero(sloped)
    rest[sloped] += np.einsum("nkc,nc->nk", calibration.table[steep, way], _terms(columns, rows))
    return np.clip(rest, 0.0, 255.0)


def errors(calibration: Calibration, rest: Array, presses: Sequence[Press], ball_px: float) -> tuple[float, float]:
    """Root mean squares over the pixels of the prints, of 255: of what the table makes of them wrongly, and of how much
    their colours change at all."""
    wrong, all_ = [], []
    for press in presses:
        gx, gy = slopes(rest.shape, press.x, press.y, press.radius, ball_px)
        inside = (gx != 0.0) | (gy != 0.0)
        wrong.append((shaded(calibration, press, ball_px) - press.image)[inside])
        all_.append((press.image - rest)[inside])
    return _rms(wrong), _rms(all_)


def _rms(parts: list[Array]) -> float:
    return float(np.sqrt(np.mean(np.square(np.concatenate(parts)))))


def _bins(gx: Array, gy: Array, bins: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Of the sloped pixels, and which these are; as `shade_kernel` counts."""
    sloped = (np.abs(gx) > 1e-9) | (np.abs(gy) > 1e-9)
    gx, gy = gx[sloped], gy[sloped]
    steep = (np.arctan(np.hypot(gx, gy)) * (2.0 / math.pi) * (bins - 1)).astype(int)
    way = ((np.arctan2(gy, gx) + math.pi) * (0.5 / math.pi) * (bins - 1)).astype(int)
    return np.minimum(steep, bins - 2), np.minimum(way, bins - 2), sloped


def _terms(x: NDArray[Any], y: NDArray[Any]) -> Array:
    return np.stack([x * x, y * y, x * y, x, y, np.ones_like(x)], -1).astype(float)


def _to_pixels(width: int, height: int) -> Array:
    """(6, 6): a polynomial of x / width - 1/2 and y / height - 1/2 as one of x and y."""
    a, b = 1.0 / width, 1.0 / height
    of_each = [
        [a * a, 0, 0, -a, 0, 0.25],
        [0, b * b, 0, 0, -b, 0.25],
        [0, 0, a * b, -0.5 * a, -0.5 * b, 0.25],
        [0, 0, 0, a, 0, -0.5],
        [0, 0, 0, 0, b, -0.5],
        [0, 0, 0, 0, 0, 1],
    ]
    return np.array(of_each, float).T


def _spread(sums: Array, reach: int) -> Array:
    """Each bin with half of those `reach` away: in every direction all round, in slope as far as there are any."""
    sums = sums + 0.5 * (np.roll(sums, reach, 1) + np.roll(sums, -reach, 1))
    out = sums.copy()
    if reach < len(sums):
        out[reach:] += 0.5 * sums[:-reach]
        out[:-reach] += 0.5 * sums[reach:]
    return out
