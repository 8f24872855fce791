"""Flight: what a machine did, one row a control period, and the figures that are read from it.

Saved as a .npz that loads without pickle, so that a log from somebody else cannot run code here.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostack.run_folder import write_atomic

FORMAT = 1
STATUS = ("policy", "fallback", "disarmed", "stock")
"""Who commanded a period; stock: the machine's own controller. `Flight.status` holds indices into this."""

GUARDED = "guarded_"
"""begins the names of flights of a machine that flew by itself (robostack.evaluate.guarded)"""

Float32 = NDArray[np.float32]


class FlightError(ValueError):
    """A flight log is damaged, foreign, or lacks a column; the message names which."""


@dataclass(frozen=True, eq=False)
class Column:
    """One quantity over the flight: `values` (T, n) float32 in `unit`, a name for each of the n elements."""

    values: Float32
    unit: str
    elements: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float32)
        object.__setattr__(self, "values", values[:, None] if values.ndim == 1 else values)
        if self.values.ndim != 2:
            raise FlightError(f"a column is (T, n); this one has shape {self.values.shape}")
        if self.elements and len(self.elements) != self.values.shape[1]:
            raise FlightError(f"{len(self.elements)} element names for {self.values.shape[1]} elements")


@dataclass(frozen=True, eq=False)
class Flight:
    """A log of T control periods.

    `columns` by channel name; a multirotor has `position` (m, world ENU), `velocity` (m/s), `attitude`
    (quat_wxyz), `body_rate` (rad/s), `rotor_speed` (rad/s), `action`, and `reference`, the position
    asked for (m); what a board was commanded is there by its channel's name (`setpoint`).
    `status` (T,) says who commanded. `timing` holds one array a measure, the unit in its name: `instructions`
    (a control period on the board), `answer_s` (from an observation to its actuation, with the wait for the board's
    next period in it), `echo_s` (round trips of the line alone). `about` is plain JSON: what was flown (`kind`:
    "recover", "hover", "figure_eight"; `period_s`), on what (`transport`, `board`); over a serial line `unmet_periods`:
    how many of the board's periods had no new observation; and, where the board was lost before the end, `cut_short`:
    why.
    """

    name: str
    dt_s: float
    columns: Mapping[str, Column]
    status: NDArray[np.uint8]
    timing: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.dt_s) and self.dt_s > 0):
            raise FlightError(f"flight {self.name}: dt_s is {self.dt_s}; it must be a positive number of seconds")
        for name, column in self.columns.items():
            if len(column.values) != len(self):
                raise FlightError(f"flight {self.name}: {name} has {len(column.values)} rows, status has {len(self)}")

    def __len__(self) -> int:
        return len(self.status)

    def __getitem__(self, name: str) -> Float32:
        """(T, n) values of a column. Raises FlightError naming the columns that exist."""
        if name not in self.columns:
            raise FlightError(f"flight {self.name} has no column {name!r}; it has {', '.join(self.columns)}")
        return self.columns[name].values

    @property
    def time_s(self) -> NDArray[np.float64]:
        """(T,) start of each period."""
        return np.arange(len(self), dtype=np.float64) * self.dt_s

    def under_policy(self) -> Flight:
        """The periods that the policy commanded, as a flight of their own."""
        rows = self.status == STATUS.index("policy")
        columns = {n: replace(c, values=c.values[rows]) for n, c in self.columns.items()}
        return replace(self, columns=columns, status=self.status[rows])

    def save(self, path: str | Path) -> Path:
        """Writes a compressed .npz, all or nothing. Raises RunFolderError when it cannot."""
        header = {
            "format": FORMAT, "name": self.name, "dt_s": self.dt_s, "about": dict(self.about),
            "columns": {n: {"unit": c.unit, "elements": c.elements} for n, c in self.columns.items()},
            "timing": list(self.timing),
        }  # fmt: skip
        arrays: dict[str, Any] = {"header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}
        arrays["status"] = np.asarray(self.status, dtype=np.uint8)
        arrays |= {f"column/{name}": column.values for name, column in self.columns.items()}
        arrays |= {f"timing/{name}": np.asarray(values, dtype=np.float64) for name, values in self.timing.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_atomic(Path(path), buffer.getvalue())
        return Path(path)

    def save_csv(self, path: str | Path) -> Path:
        """Writes a row a period with a name for each element: what spreadsheets and plotters read."""
        head: list[str] = ["time_s", "status"]
        parts: list[NDArray[Any]] = [self.time_s[:, None], self.status[:, None]]
        for name, c in self.columns.items():
            elements = c.elements or [str(i) for i in range(c.values.shape[1])]
            head += [f"{name}.{e} [{c.unit}]" for e in elements] if c.values.shape[1] > 1 else [f"{name} [{c.unit}]"]
            parts.append(c.values)
        table = np.concatenate(parts, 1)
        lines = [",".join(f"{v:.9g}" for v in row) for row in table]
        write_atomic(Path(path), ("\n".join([",".join(head), *lines]) + "\n").encode())
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Flight:
        """Reads a saved flight. Raises FlightError when it is truncated, foreign or of another version."""
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(file["header"].tobytes())
                if header.get("format") != FORMAT:
                    raise FlightError(f"{path}: flight format {header.get('format')!r}; this robostack reads {FORMAT}")
                columns = {
                    name: Column(file[f"column/{name}"], c["unit"], tuple(c["elements"]))
                    for name, c in header["columns"].items()
                }
                timing = {name: file[f"timing/{name}"] for name in header["timing"]}
                return cls(header["name"], header["dt_s"], columns, file["status"], timing, header["about"])
        except FlightError:
            raise
        except FileNotFoundError:
            raise
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            zipfile.BadZipFile,
        ) as error:
            raise FlightError(f"{path} is not a flight log, or is damaged: {error}") from error


def position_error(flight: Flight) -> Float32:
    """(T,) distance to the reference, m; to the origin where the flight has no reference."""
    target = flight["reference"] if "reference" in flight.columns else np.zeros((1, 3), np.float32)
    return np.asarray(np.linalg.norm(flight["position"] - target, axis=1), dtype=np.float32)


def rms_position_error(flight: Flight, last_s: float | None = None) -> float:
    """Root mean square of `position_error`, m, over the last `last_s` seconds (None: all). NaN for none."""
    rows = len(flight) if last_s is None else min(len(flight), round(last_s / flight.dt_s))
    error = position_error(flight)[len(flight) - rows :].astype(np.float64)
    return float(np.sqrt(np.mean(error**2))) if rows else float("nan")


def survived(flight: Flight, box_m: float = 0.6) -> bool:
    """Whether the machine stayed within `box_m` of the reference on each axis to the end, the policy in command."""
    target = flight["reference"] if "reference" in flight.columns else np.zeros((1, 3), np.float32)
    inside = np.all(np.abs(flight["position"] - target) <= box_m)
    fell_back = np.any(flight.status == STATUS.index("fallback"))
    return bool(len(flight) > 0 and inside and not fell_back and "cut_short" not in flight.about)


def survival(flights: Iterable[Flight], box_m: float = 0.6) -> float:
    """Share of flights that survived, 0 to 1. NaN for none."""
    kept = [survived(f, box_m) for f in flights]
    return float(np.mean(kept)) if kept else float("nan")


def percentiles(flights: Iterable[Flight], measure: str, ranks: tuple[float, ...] = (50, 99)) -> dict[str, float]:
    """`{"p50": ..., "p99": ..., "max": ...}` of a timing measure over all flights that have it, or {}."""
    parts = [f.timing[measure] for f in flights if measure in f.timing and len(f.timing[measure])]
    if not parts:
        return {}
    values = np.concatenate(parts)
    return {
        **{f"p{rank:g}": float(np.percentile(values, rank)) for rank in ranks},
        "max": float(values.max()),
    }
