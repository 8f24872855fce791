"""From what a camera behind a gel sees to the force on each taxel: the bridge to a policy that feels a force field.

    colour - colour at rest -> slope of the skin, by the sensor's own table -> depth, by Poisson's equation
    markers -> how far the skin is sheared
    depth and shear -> forces, by the gel's stiffness and the friction cone

As Johnson and Adelson (2009) and Yuan et al. (2017) measure a print; the forces are those of an elastic foundation, the
simulator's `Bristle`, and share its errors: a column of gel knows nothing of its neighbour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from robostack.spec import ContractError
from robostack_real.devices.tactile import Touch
from robostack_real.devices.tactile_camera import CameraSensor

Array = npt.NDArray[np.float32]

STEEPEST = math.radians(50.0)
"""of slopes that the inverse of a table is made for; a cubic that reaches the steepest ones is worse for all others"""
STEEPEST_SLOPE = math.tan(STEEPEST)
SAMPLES = 20_000
LEVEL = 3.0
"""of 255: a colour that differs from the one at rest by less is a skin that lies level"""
DARK = 0.3
"""of a marker, by how much it is darker than what is around it"""
SEEN = 0.5
"""share of a marker's darkness at rest that must be found again"""


@dataclass(frozen=True)
class Gel:
    """Pad and gel, as the policy was trained with: `rows` x `columns` taxels of `pitch_m`; the pressure (N/m3) that a
    metre of indentation and of shear makes; friction. The camera's pixels are `pixel_m` apart, its middle is the pad's,
    and it sees `markers`, (columns, rows) of them, of `marker_radius_m`, or none."""

    rows: int = 14
    columns: int = 10
    pitch_m: float = 0.002
    normal_n_m3: float = 1.0e8
    shear_n_m3: float = 3.3e7
    friction: float = 1.0
    pixel_m: float = 3.0e-4
    markers: tuple[int, int] | None = None
    marker_radius_m: float = 4.0e-4

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not np.all(np.greater(value, 0)):
                raise ContractError(f"Gel: {name} = {value!r}: must be more than 0")


class FieldEstimator:
    """`table` (bins, bins, 3, 6) and `rest` (height, width, 3) as `robostack calibrate-tactile` leaves them.

    `estimate(image)` is (3, rows, columns) N: shear along the pad's x and y, pressing; and, in the same shape, which of
    it was seen: without markers no shear is, and no taxel out of the camera's sight. `tare` first, with what the camera
    itself sees of the gel at rest: the calibration's picture has no markers. Raises ContractError for an image of
    another size.
    """

    def __init__(self, table: npt.NDArray[Any], rest: npt.NDArray[Any], gel: Gel) -> None:
        self.gel, (self.height, self.width) = gel, rest.shape[:2]
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        self._place = np.stack([x / self.width - 0.5, y / self.height - 0.5], -1)
        self._inverse = _inverse(table, self.width, self.height)
        self._down = _between(gel.rows, gel.pitch_m, self.height, self.height * gel.pixel_m)
        self._across = _between(gel.columns, gel.pitch_m, self.width, self.width * gel.pixel_m)
        self._seen = np.logical_and.outer(
            _inside(gel.rows, gel.pitch_m, self.height * gel.pixel_m),
            _inside(gel.columns, gel.pitch_m, self.width * gel.pixel_m),
        )
        self._sines = _sines(self.height), _sines(self.width)
        self.tare(rest)

    @classmethod
    def read(cls, folder: Path, gel: Gel) -> Self:
        """Of polycalib.npz and dataPack.npz, which are Taxim's names. Raises FileNotFoundError, ContractError."""
        with np.load(folder / "polycalib.npz") as file, np.load(folder / "dataPack.npz") as pack:
            if absent := {"grad_r", "grad_g", "grad_b"} - {*file.files} or {"f0"} - {*pack.files}:
                raise ContractError(f"{folder}: polycalib.npz and dataPack.npz have no {', '.join(sorted(absent))}")
            # the files are OpenCV's: blue, green, red, and of these the table calls the first red
            table = np.stack([file["grad_b"], file["grad_g"], file["grad_r"]], 2)
            return cls(table, pack["f0"][..., ::-1], gel)

    def tare(self, rest: npt.NDArray[Any]) -> None:
        """From now on the gel of this image (height, width, 3) is touched by nothing."""
        self._rest = self._checked(rest)
        if self.gel.markers:
            self._dark = self._darkness(self._rest)
            self._starts = self._found(self._dark, self._cells(), 1.0)

    def estimate(self, image: npt.NDArray[Any]) -> tuple[Array, npt.NDArray[np.bool_]]:
        image = self._checked(image)
        change, moved_m = image - self._rest, None
        if self.gel.markers:
            dark = self._darkness(image)
            change = _filled(change, _extreme(np.maximum(dark, self._dark), 1, np.maximum) > 0.5 * DARK)
            moved_m = self._moved(dark)
        return self._forces(self.depth(change), moved_m)

    def _checked(self, image: npt.NDArray[Any]) -> Array:
        if image.shape != (self.height, self.width, 3):
            tall, wide = image.shape[:2]
            raise ContractError(
                f"an image of {wide} x {tall} pixels, but the calibration is for {self.width} x {self.height}"
            )
        return image.astype(np.float32)

    def depth(self, change: Array) -> Array:
        """(height, width) m of the skin under a change of colour (height, width, 3), zero at the picture's border."""
        sloped = np.abs(change).max(-1) >= LEVEL
        normal = _features(np.concatenate([change[sloped] / 255.0, self._place[sloped]], -1)) @ self._inverse
        slope = np.zeros((self.height, self.width, 2), np.float32)
        slope[sloped] = np.clip(normal[:, :2] / np.maximum(normal[:, 2:], 0.2), -STEEPEST_SLOPE, STEEPEST_SLOPE)
        bend = np.gradient(slope[..., 0], axis=1) + np.gradient(slope[..., 1], axis=0)
        (down, curl_down), (across, curl_across) = self._sines
        found = down @ ((down @ bend @ across) / (curl_down[:, None] + curl_across)) @ across
        return np.maximum(found * self.gel.pixel_m, 0.0).astype(np.float32)

    def _forces(self, depth: Array, moved_m: Array | None) -> tuple[Array, npt.NDArray[np.bool_]]:
        gel = self.gel
        area = gel.pitch_m**2
        out = np.zeros((3, gel.rows, gel.columns), np.float32)
        valid = np.broadcast_to(self._seen, out.shape).copy()
        at_middles = self._down @ depth @ self._across.T  # as the simulator has it
        out[2] = gel.normal_n_m3 * area * at_middles
        valid[:2] &= moved_m is not None
        if moved_m is not None:
            valid[:2] &= np.isfinite(moved_m).all(0)
            shear = gel.shear_n_m3 * area * np.nan_to_num(moved_m)
            size = np.hypot(*shear)
            out[:2] = shear * np.minimum(1.0, gel.friction * out[2] / np.maximum(size, 1e-9))
        return np.where(valid, out, 0.0).astype(np.float32), valid

    def _darkness(self, image: Array) -> Array:
        """(height, width), 0 to 1: how much darker than its surroundings, where these are wider than a marker."""
        bright = image.sum(-1)
        reach = math.ceil(self.gel.marker_radius_m / self.gel.pixel_m) + 1
        around = _extreme(_extreme(bright, reach, np.maximum), reach, np.minimum)
        found: Array = 1.0 - bright / np.maximum(around, 1.0)
        return np.where(found > DARK, found, 0.0)

    def _cells(self) -> npt.NDArray[np.float64]:
        """(markers along, across, 3) where each one's cell has its middle, row and column, and 1: none is lost."""
        across, along = self.gel.markers or (1, 1)
        rows = (np.arange(along) + 0.5) * self.height / along - 0.5
        columns = (np.arange(across) + 0.5) * self.width / across - 0.5
        return np.stack([*np.meshgrid(rows, columns, indexing="ij"), np.ones((along, across))], -1)

    def _found(self, dark: Array, near: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
        """The same of the darkness within that share of half a cell of each place, and how much of it there is."""
        along, across = near.shape[:2]
        half = 0.5 * share * np.array([self.height / along, self.width / across])
        return np.array([[_centre(dark, place[:2], half) for place in row] for row in near])

    def _moved(self, dark: Array) -> Array:
        """(2, rows, columns) m that the skin over each taxel has gone along x and y; not a number where a marker that
        says so is lost."""
        gel, (along, across) = self.gel, self._starts.shape[:2]
        places = self._found(dark, self._found(dark, self._starts, 1.0), 0.6)
        moved = (places - self._starts)[..., 1::-1] * gel.pixel_m
        lost = ~(places[..., 2] > SEEN * self._starts[..., 2])
        rows = _between(gel.rows, gel.pitch_m, along, self.height * gel.pixel_m)
        columns = _between(gel.columns, gel.pitch_m, across, self.width * gel.pixel_m)
        over = np.einsum("rj,jik,ci->krc", rows, np.where(lost[..., None], 0.0, moved), columns)
        over[:, rows @ lost @ columns.T > 1.0 - SEEN] = np.nan
        return over.astype(np.float32)


class FieldSensor:
    """A camera as a sensor of forces: `values` are (3, rows, columns) N and `valid` has their shape, see
    FieldEstimator.estimate; else see robostack_real.devices.tactile.TactileSensor."""

    def __init__(self, camera: CameraSensor, estimator: FieldEstimator) -> None:
        self.camera, self.estimator, self.where = camera, estimator, camera.where

    def read(self) -> Touch | None:
        seen = self.camera.read()
        if seen is None:
            return None
        values, valid = self.estimator.estimate(seen.values)
        return Touch(values, seen.age_s, valid)

    def tare(self) -> None:
        self.camera.tare()
        self._tare()

    def _tare(self) -> None:
        assert self.camera.rest is not None
        self.estimator.tare(self.camera.rest)

    def __enter__(self) -> Self:
        self.camera.__enter__()
        try:
            self._tare()
        except BaseException:
            self.camera.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.camera.__exit__(*exc)


def _inverse(table: npt.NDArray[Any], width: int, height: int) -> Array:
    """(features, 3): a skin's outward normal, mirrored, as a cubic in change of colour and place, by least squares over
    the table. Of a matt skin the colours are linear in the normal; slopes are a quotient, so they are not fitted."""
    bins, draw = len(table), np.random.default_rng(0)
    i = draw.integers(0, int((bins - 1) * STEEPEST / (math.pi / 2)), SAMPLES)
    j = draw.integers(0, bins - 1, SAMPLES)
    x, y = draw.uniform(0, width - 1, SAMPLES), draw.uniform(0, height - 1, SAMPLES)
    basis = np.stack([x * x, y * y, x * y, x, y, np.ones_like(x)], -1)
    change = np.einsum("nkc,nc->nk", table[i, j].astype(np.float64), basis)
    steep, way = (i + 0.5) / (bins - 1) * math.pi / 2, (j + 0.5) / (bins - 1) * 2 * math.pi - math.pi
    normal = np.stack([np.sin(steep) * np.cos(way), np.sin(steep) * np.sin(way), np.cos(steep)], -1)
    level = np.zeros((SAMPLES // 10, 3)), np.tile([0.0, 0.0, 1.0], (SAMPLES // 10, 1))
    place = np.stack([x / width - 0.5, y / height - 0.5], -1)
    known = np.concatenate([change / 255.0, place], -1), np.concatenate([level[0], place[: SAMPLES // 10]], -1)
    features = _features(np.concatenate(known))
    kept: Array = np.linalg.lstsq(features, np.concatenate([normal, level[1]]), rcond=1e-6)[0].astype(np.float32)
    return kept


def _features(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """All products of at most three of five numbers, (n, 5) -> (n, 56)."""
    columns = [np.ones(len(x), x.dtype)]
    for degree in (1, 2, 3):
        columns += [np.prod(x[:, chosen], 1) for chosen in combinations_with_replacement(range(5), degree)]
    return np.stack(columns, 1)


def _between(count: int, pitch_m: float, points: int, span_m: float) -> Array:
    """(count, points) weights of the two of `points`, evenly spread over `span_m`, between which each taxel lies."""
    at = ((np.arange(count) - 0.5 * (count - 1)) * pitch_m / span_m + 0.5) * points - 0.5
    at = np.clip(at, 0.0, points - 1.0)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(points))).astype(np.float32)


def _inside(count: int, pitch_m: float, span_m: float) -> npt.NDArray[np.bool_]:
    """(count,) which taxels have their middle within `span_m`."""
    return np.abs(np.arange(count) - 0.5 * (count - 1)) * pitch_m < 0.5 * span_m - 1e-9


def _sines(n: int) -> tuple[Array, Array]:
    """(n, n) the sine transform, its own inverse, and (n,) what the second difference makes of each sine."""
    k = np.arange(1, n + 1)
    waves = np.sqrt(2.0 / (n + 1)) * np.sin(math.pi * np.outer(k, k) / (n + 1))
    return waves.astype(np.float32), (2.0 * np.cos(math.pi * k / (n + 1)) - 2.0).astype(np.float32)


def _extreme(image: Array, reach: int, kind: np.ufunc) -> Array:
    """The largest (np.maximum) or smallest within `reach` pixels each way."""
    width = 2 * reach + 1
    for axis in (0, 1):
        found = np.moveaxis(
            np.pad(image, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge"), axis, 0
        )
        have = 1
        while have < width:
            step = min(have, width - have)
            found, have = kind(found[:-step], found[step:]), have + step
        image = np.moveaxis(found, 0, axis)
    return image


def _filled(change: Array, hidden: npt.NDArray[np.bool_], reach: int = 4) -> Array:
    """Under markers the mean of what is around them."""
    seen = (~hidden).astype(np.float32)[..., None]
    sums = np.concatenate([change * seen, seen], -1)
    for axis in (0, 1):
        sums = np.moveaxis(sums, axis, 0)
        total = np.cumsum(np.pad(sums, [(reach + 1, reach), (0, 0), (0, 0)]), 0, dtype=np.float64)
        sums = np.moveaxis(total[2 * reach + 1 :] - total[: -2 * reach - 1], 0, axis)
    around = sums[hidden]
    out = change.copy()
    out[hidden] = around[:, :3] / np.maximum(around[:, 3:], 1e-6)
    return out


def _centre(dark: Array, middle: npt.NDArray[Any], half: npt.NDArray[Any]) -> tuple[float, float, float]:
    """Row and column of the darkness within `half` of `middle`, and how much of it there is."""
    (top, left), (bottom, right) = (
        np.maximum(np.ceil(middle - half), 0).astype(int),
        np.floor(middle + half).astype(int),
    )
    part = dark[top : bottom + 1, left : right + 1]
    by_row, by_column = part.sum(1), part.sum(0)
    weight = float(by_row.sum())
    if weight <= 0.0:
        return float(middle[0]), float(middle[1]), 0.0
    row, column = by_row @ np.arange(len(by_row)) / weight, by_column @ np.arange(len(by_column)) / weight
    return float(top + row), float(left + column), weight
