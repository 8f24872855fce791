"""The control room's records (operator.db): one controller at a time, start, hold, abort, and what is going on."""

from __future__ import annotations

import os
import socket
import time
import uuid

from robostack.spec import ContractError
from robostack_real.devices.epics.channel_access import Hold, Pv
from robostack_real.devices.epics.put_log import PutLog

NAMES = ("Owner", "Heartbeat", "Start", "Hold", "Abort", "Status", "Step", "Rms", "BestRms")
BEAT_S = 1.0
WATCHED_S = 5.0
"""how long another owner's heartbeat is watched before it counts as dead"""
ARBITRATION_S = 0.5
"""of two that claim at once the later put stays, and both look after this"""


class Operator:
    """Claimed by `claim`, given back by `release`; `check` says that it is still ours."""

    def __init__(self, prefix: str, pvs: dict[str, Pv], log: PutLog) -> None:
        self.prefix, self._log = prefix, log
        self._pv = {name: pvs[f"{prefix}:{name}"] for name in NAMES}
        self.token = f"{socket.gethostname()[:16]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"[:39]
        self._beats, self._beaten = 0, 0.0
        self.ours = False

    def owner(self) -> str:
        return str(self._pv["Owner"].get().value)

    def claim(self) -> None:
        """Raises ContractError while another one steers; takes over from one whose heartbeat stands still."""
        other = self.owner()
        if other:
            seen, until = self._pv["Heartbeat"].get().value, time.monotonic() + WATCHED_S
            while time.monotonic() < until:
                time.sleep(0.1)
                if self._pv["Heartbeat"].get().value != seen:
                    raise ContractError(
                        f"{self.prefix}:Owner = {other!r}: another controller steers this machine; end it first"
                    )
            self._log.say("took over", owner=other)
        for name, what in (("Abort", "abort"), ("Hold", "hold")):
            if self._pv[name].get().value:
                raise ContractError(f"{self.prefix}:{name} is set: clear it before a start, for {what} is what it asks")
        self._put("Owner", self.token)
        time.sleep(ARBITRATION_S)
        if (winner := self.owner()) != self.token:
            raise ContractError(f"{self.prefix}:Owner = {winner!r}: another controller claimed it at the same time")
        self.ours = True
        self.check()

    def check(self) -> None:
        """Beats once a second. Raises Hold when it was taken away, or the operator says abort."""
        if not self.ours:
            return
        if (owner := self.owner()) != self.token:
            self.ours = False
            raise Hold(f"{self.prefix}:Owner = {owner!r}: the machine was taken over; it is theirs now")
        if self._pv["Abort"].get().value:
            raise Hold(f"{self.prefix}:Abort: the operator says abort")
        if time.monotonic() - self._beaten > BEAT_S:
            self._beats, self._beaten = self._beats + 1, time.monotonic()
            self._put("Heartbeat", self._beats)

    def holding(self) -> bool:
        return self.ours and bool(self._pv["Hold"].get().value)

    def started(self) -> bool:
        return bool(self._pv["Start"].get().value)

    def status(self, text: str) -> None:
        if self.ours:
            self._put("Status", text[:39])

    def progress(self, step: int, rms_m: float, best_m: float) -> None:
        if self.ours:
            for name, value in (("Step", step), ("Rms", 1e3 * rms_m), ("BestRms", 1e3 * best_m)):
                self._put(name, value)

    def release(self, status: str) -> None:
        """Start falls back, so that the next run waits for the operator again."""
        if not self.ours or self.owner() != self.token:
            return
        self.status(status)
        self._put("Start", 0)
        self._put("Owner", "")
        self.ours = False

    def _put(self, name: str, value: object) -> None:
        self._log.put(self._pv[name].name, None, value, "operator's records")
        self._pv[name].put(value)
