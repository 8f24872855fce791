"""How a visuotactile sensor's colours depend on the slope of its gel: a table of polynomials, and the gel at rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Calibration:
    """`table` is (bins, bins, 3, 6) as in Taxim: for a slope's angle in equal bins of 0 to 90 degrees and its direction
    in bins of -180 to 180, for red, green and blue, the coefficients of x2, y2, xy, x, y and 1, with x and y in pixels
    of `rest`, (height, width, 3), the gel that nothing touches, 0 to 255."""

    table: Array
    rest: Array

    def __post_init__(self) -> None:
        bins = self.table.shape[0] if self.table.ndim else 0
        if self.table.shape != (bins, bins, 3, 6) or bins < 2:
            raise ValueError(f"Calibration: table is {self.table.shape}, must be (bins, bins, 3, 6)")
        if self.rest.ndim != 3 or self.rest.shape[2] != 3 or min(self.rest.shape) < 2:
            raise ValueError(f"Calibration: rest is {self.rest.shape}, must be (height, width, 3)")


def from_taxim(folder: Path | None = None) -> Calibration:
    """A folder of Taxim's calibration files, polycalib.npz and dataPack.npz; by default the GelSight Mini's, which come
    with `taxim` (PyPI; numpy is all that this needs of it).

    Raises FileNotFoundError, ImportError, and ValueError naming the file that is not as Taxim writes it.
    """
    if folder is None:
        from taxim import CALIB_GELSIGHT_MINI

        folder = Path(CALIB_GELSIGHT_MINI)
    # the files are OpenCV's: blue, green, red; and of its channels the table calls the first red
    table = [_read(folder / "polycalib.npz", name) for name in ("grad_b", "grad_g", "grad_r")]
    rest = _read(folder / "dataPack.npz", "f0")
    return Calibration(np.stack(table, 2).astype(np.float32), rest[..., ::-1].astype(np.float32))


def to_taxim(calibration: Calibration, folder: Path) -> None:
    """Writes the two files that `from_taxim` reads, and Taxim."""
    parts = {name: calibration.table[:, :, k] for k, name in enumerate(("grad_b", "grad_g", "grad_r"))}
    np.savez_compressed(folder / "polycalib.npz", bins=len(calibration.table), **parts)  # type: ignore[arg-type]
    np.savez_compressed(folder / "dataPack.npz", f0=calibration.rest[..., ::-1])


def _read(path: Path, name: str) -> NDArray[Any]:
    with np.load(path) as file:
        if name not in file.files:
            raise ValueError(f"{path}: has no {name!r}, but {', '.join(file.files)}")
        found: NDArray[Any] = file[name]
        return found


def three_lights(width: int = 80, height: int = 60, bins: int = 120) -> Calibration:
    """A gel under a red, a green and a blue light, 120 degrees apart and 30 above the gel, each fading with distance.

    Our own default, of no real sensor: matt skin, so that a colour changes with the cosine to its light.
    """
    angle = np.arange(bins) / (bins - 1) * math.pi / 2  # each bin as its least, so that a level skin has no colour
    way = (np.arange(bins) + 0.5) / (bins - 1) * 2 * math.pi - math.pi
    # outward normal of a skin that is pressed in by a depth whose gradient is along `way`
    steep = np.sin(angle)[:, None]
    parts = (steep * np.cos(way), steep * np.sin(way), np.cos(angle)[:, None])
    normal = np.stack(np.broadcast_arrays(*parts), -1)
    table = np.zeros((bins, bins, 3, 6), np.float32)
    rest = np.empty((height, width, 3), np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    low, strength, fading = math.radians(30.0), 220.0, 0.35
    for k, turn in enumerate(2 * math.pi / 3 * np.arange(3)):
        light = np.array([math.cos(low) * math.cos(turn), math.cos(low) * math.sin(turn), math.sin(low)])
        # a light's strength over the gel, a plane: 1 in the middle
        per_x, per_y = fading * math.cos(turn) / (0.5 * width), fading * math.sin(turn) / (0.5 * height)
        at_0 = 1.0 - per_x * 0.5 * (width - 1) - per_y * 0.5 * (height - 1)
        change = np.maximum(normal @ light, 0.0) - light[2]
        table[..., k, 3:] = (strength * change)[..., None] * np.array([per_x, per_y, at_0])
        rest[..., k] = strength * light[2] * (at_0 + per_x * x + per_y * y)
    return Calibration(table, rest)
