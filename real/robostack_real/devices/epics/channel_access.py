"""PVs over Channel Access by libca (pyepics): every value comes with its severity and its age, or not at all."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import epics

MAJOR, INVALID = 2, 3


class Hold(ConnectionError):
    """Why nothing more may be put: what is there stays, and a person decides. The message says what and where."""


class Lost(Hold):
    """A PV went away or does not answer."""


@dataclass(frozen=True)
class Value:
    value: Any
    severity: int
    age_s: float
    """by this host's clock"""
    timestamp: float


class Pv:
    """One PV. `losses` counts how often it went away since it was connected first."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self.name, self._timeout_s = name, timeout_s
        self.losses = 0
        self._pv = epics.PV(name, auto_monitor=False, connection_callback=self._connection)

    def _connection(self, conn: bool = False, **_: Any) -> None:
        self.losses += not conn

    @property
    def connected(self) -> bool:
        return bool(self._pv.connected)

    @property
    def writable(self) -> bool:
        return bool(self._pv.write_access)

    def get(self) -> Value:
        """Asked of the IOC now. Raises Lost."""
        with self._answers("a get"):
            found = self._pv.get_with_metadata(form="time", use_monitor=False, timeout=self._timeout_s)
        if found is None or found.get("value") is None:
            raise Lost(f"{self.name}: does not answer")
        return Value(found["value"], int(found["severity"]), time.time() - found["timestamp"], found["timestamp"])

    def limits(self) -> tuple[float, float, str]:
        """DRVL, DRVH (infinite where the record has none), and EGU. Raises Lost."""
        with self._answers("a get of its limits"):
            found = self._pv.get_ctrlvars(timeout=self._timeout_s)
        if not found:
            raise Lost(f"{self.name}: does not say its limits")
        low, high = found.get("lower_ctrl_limit", 0.0), found.get("upper_ctrl_limit", 0.0)
        unit = found.get("units", "")
        return (low, high, unit) if low < high else (-math.inf, math.inf, unit)

    def put(self, value: Any) -> None:
        """Returns when the record has processed. Raises Lost when that is not known."""
        with self._answers(f"a put of {value}"):
            done = self._pv.put(value, wait=True, timeout=self._timeout_s)
        if done != 1:
            raise Lost(f"{self.name}: no answer to a put of {value}; whether it took is not known")

    @contextmanager
    def _answers(self, asked: str) -> Iterator[None]:
        """libca's own failures, as when a circuit breaks in the middle, are Lost too."""
        if not self.connected:
            raise Lost(f"{self.name}: is gone")
        try:
            yield
        except (
            epics.ca.ChannelAccessException,
            epics.ca.ChannelAccessGetFailure,
            epics.ca.CASeverityException,
        ) as error:
            raise Lost(f"{self.name}: {asked} failed: {error}") from error


def connect(names: Iterable[str], timeout_s: float) -> dict[str, Pv]:
    """By name; whether each is there is `missing`'s to say."""
    found = {name: Pv(name, timeout_s) for name in names}
    wait(found.values(), timeout_s)
    return found


def wait(pvs: Iterable[Pv], timeout_s: float) -> list[str]:
    """Names of those that are not connected after so long at most."""
    pvs, until = list(pvs), time.monotonic() + timeout_s
    while (gone := [p.name for p in pvs if not p.connected]) and time.monotonic() < until:
        epics.ca.poll(0.01, 1.0)
    return gone
