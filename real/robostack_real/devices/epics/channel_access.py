"""PVs over Channel Access by libca (pyepics): every value comes with its severity and its age, or not at all."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import shutil
import socket
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import epics

T = TypeVar("T")

MAJOR, INVALID = 2, 3
REPEATER_PORT = 5065
REPEATER_REGISTER = struct.pack(">HHHHII", 24, 0, 0, 0, 0, 0)

warnings.filterwarnings("ignore", r"ca\.get\(.*timed out", module=r"epics\.ca")  # Lost says it


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
        (answer,) = ask([self])
        if isinstance(answer, Lost):
            raise answer
        return answer

    def request(self) -> float:
        """Sends a get, for `answer` -> until when one is waited for. Raises Lost."""
        with self._answers("a get"):
            self._type = epics.ca.promote_type(self._pv.chid, use_time=True)
            epics.ca.get_with_metadata(self._pv.chid, ftype=self._type, wait=False)
        return time.monotonic() + self._timeout_s

    def answer(self, until: float) -> Value:
        """Raises Lost."""
        with self._answers("a get"):
            left = max(0.0, until - time.monotonic())
            found = epics.ca.get_complete_with_metadata(self._pv.chid, ftype=self._type, timeout=left)
        if found is None or found.get("value") is None:
            raise Lost(f"{self.name}: connected, and has not answered for {self._timeout_s:g} s; its IOC may hang")
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
        """Returns when the record has processed, or its IOC died meanwhile, which the next get says. Raises Lost."""
        with self._answers(f"a put of {value}"):
            done = self._pv.put(value, wait=True, timeout=self._timeout_s)
        if done != 1:
            raise Lost(
                f"{self.name}: connected, and has not answered a put of {value} for {self._timeout_s:g} s; its IOC may "
                "hang, and whether the put took is not known"
            )

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


def ask(pvs: Sequence[Pv]) -> list[Value | Lost]:
    """All of them at once, so that they take one way there and back, and are nearly of one moment."""
    sent = [_or_lost(pv.request) for pv in pvs]
    return [
        until if isinstance(until, Lost) else _or_lost(functools.partial(pv.answer, until))
        for pv, until in zip(pvs, sent, strict=True)
    ]


def _or_lost(act: Callable[[], T]) -> T | Lost:
    try:
        return act()
    except Lost as error:
        return error


def connect(names: Iterable[str], timeout_s: float) -> dict[str, Pv]:
    """By name; whether each is there is `wait`'s to say."""
    repeater()
    return {name: Pv(name, timeout_s) for name in names}


def wait(pvs: Iterable[Pv], timeout_s: float) -> list[str]:
    """Names of those that do not answer after so long."""
    silent, until = list(pvs), time.monotonic() + timeout_s
    while silent := [pv for pv, found in zip(silent, ask(silent), strict=True) if isinstance(found, Lost)]:
        if time.monotonic() > until:
            break
        epics.ca.poll(0.01, 1.0)
    return [pv.name for pv in silent]


@functools.cache
def repeater() -> None:
    """To be called before the first PV is made. libca starts EPICS base's caRepeater, by which clients hear at once of
    an IOC that is back; where that is not installed it complains, and the same runs here in a thread for as long as we
    live, as libca has it on systems without processes."""
    if shutil.which("caRepeater"):
        return
    port = int(os.environ.get("EPICS_CA_REPEATER_PORT", REPEATER_PORT))
    run = ctypes.CDLL(epics.ca.find_libca()).caRepeaterThread  # returns when there is one already
    threading.Thread(target=run, args=(None,), daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.01)
        for _ in range(100):  # until it confirms that it is there
            client.sendto(REPEATER_REGISTER, ("127.0.0.1", port))
            with suppress(TimeoutError):
                client.recv(len(REPEATER_REGISTER))
                return
