"""What every tactile sensor here offers, whatever is inside: magnets, a camera, or an estimate made of its images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Touch:
    """One reading. `values` are the sensor's own, see there: shape, unit, frame. `age_s` is the time since it arrived;
    `valid` says which values can be believed, in a shape that spreads over `values`."""

    values: npt.NDArray[Any]
    age_s: float
    valid: npt.NDArray[np.bool_]


class TactileSensor(Protocol):
    """Enter it to open it. Every call may raise ConnectionError while it is lost; the next one looks for it again."""

    where: str

    def read(self) -> Touch | None:
        """The newest reading since the last call, none where there is no news."""

    def tare(self) -> None:
        """What it reads now is no touch, from now on. It waits for readings. Raises ConnectionError when none come."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
