"""One beam machine over Channel Access: read, checked, moved within limits, and held when anything is wrong.

Nothing is put before entering it has found every PV sound and `begin` has kept a snapshot and made the machine ours. A
move is a ramp of small steps; before each of them everything that must hold is asked of the machine again: PVs
connected and not INVALID, beam, permit, heartbeat, the claim, and every setpoint where we left it. Whatever fails
raises `Hold`, and nothing is put after it: correctors that move blind are worse than correctors that stay.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from robostack.spec import ContractError
from robostack_real.devices.epics import channel_access
from robostack_real.devices.epics.channel_access import INVALID, MAJOR, Hold, Lost, Pv, Value
from robostack_real.devices.epics.machine_file import METRES, MachineFile
from robostack_real.devices.epics.operator import NAMES, Operator
from robostack_real.devices.epics.put_log import PutLog
from robostack_real.devices.epics.snapshot import Snapshot

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """Averaged over several shots."""

    position_m: Array
    """(R,) in the file's order"""
    current_a: Array
    """(C,) read back"""
    age_s: float


class BeamMachine:
    """`setpoint_a` (C,) is what we left on each corrector. Enter it to connect; `stop` may be called at any time, from
    a signal handler too: the next step of a ramp is not taken."""

    def __init__(self, file: MachineFile, folder: Path) -> None:
        self.file, self.folder = file, folder
        self.log = PutLog(folder)
        self.setpoint_a = np.zeros(len(file.correctors))
        self._slew = np.array([c.slew_a_per_s for c in file.correctors])
        self._step_max = np.array([c.step_max_a for c in file.correctors])
        self._travel_max = np.array([c.travel_max_a for c in file.correctors])
        self._scale = np.repeat([METRES[b.unit] for b in file.bpms], 2)
        self.asked_to_stop = ""
        """why, once it was"""
        self._stopped = threading.Event()
        self.began = False
        """only then may anything be put"""
        self.waited_s = 0.0
        """slept so far: for ramps, settling and shots"""
        self._permitted: Callable[[], None] = self._check_beam
        self._unanswered: dict[int, float] = {}
        """what stood on a corrector before a put that nobody answered"""

    def __enter__(self) -> Self:
        """Connects, and finds everything sound. Raises ContractError that names every PV that is not."""
        file, timing = self.file, self.file.timing
        lock = file.interlock
        names = [pv for c in file.correctors for pv in (c.setpoint, c.readback)]
        names += [pv for b in file.bpms for pv in (b.x, b.y)]
        names += [pv for pv in (lock.beam_current, lock.permit, lock.heartbeat) if pv]
        names += [f"{file.operator}:{name}" for name in NAMES]
        self._pvs = channel_access.connect(names, timing.connect_timeout_s)
        pick = self._pvs.__getitem__
        self._set, self._back = (
            [pick(n) for n in ns] for ns in zip(*((c.setpoint, c.readback) for c in file.correctors), strict=True)
        )
        self._bpm = [pick(pv) for b in file.bpms for pv in (b.x, b.y)]
        self._beam = pick(lock.beam_current)
        self._permit = pick(lock.permit) if lock.permit else None
        self._heartbeat = pick(lock.heartbeat) if lock.heartbeat else None
        self._survey()
        return self

    def again(self, folder: Path) -> None:
        """After a hold or a stop, or when somebody else moved a corrector while we looked on: looks on anew, on the
        connections that are there. Raises ContractError as entering does."""
        self.log.close()
        self.folder, self.log = folder, PutLog(folder)
        self.asked_to_stop, self.began, self._permitted = "", False, self._check_beam
        self._stopped.clear()
        self._unanswered.clear()
        self._survey()

    def _survey(self) -> None:
        """Everything is there and sound, and what stands is known."""
        file = self.file
        if gone := channel_access.wait(self._pvs.values(), file.timing.connect_timeout_s):
            raise ContractError(
                f"{file.name}: no answer from {', '.join(gone)}; are their IOCs up, the names right, and "
                "EPICS_CA_ADDR_LIST set?"
            )
        self.operator = Operator(file.operator, self._pvs, self.log)
        try:
            self._check_records()
            self.setpoint_a = _values(self._sound(self._set))
            self._check_setpoints()
        except Hold as why:
            raise ContractError(f"{file.name}: {why}") from why
        self._losses = self._count_losses()

    def __exit__(self, *exc: object) -> None:
        self.release("ended; setpoints stay")
        self.log.close()

    def stop(self, why: str = "asked to stop") -> None:
        self.asked_to_stop = self.asked_to_stop or why
        self._stopped.set()

    def _check_records(self) -> None:
        self._drive = self._drive_limits()
        for corrector, pv, (low, high, unit) in zip(self.file.correctors, self._set, self._drive, strict=True):
            if not pv.writable:
                raise ContractError(f"{pv.name}: is read-only for us; ask for write access (access security)")
            if unit not in ("A", ""):
                raise ContractError(f"{pv.name}: EGU is {unit!r}; setpoints must be in A")
            if max(low, corrector.low_a) >= min(high, corrector.high_a):
                raise ContractError(f"{pv.name}: its DRVL..DRVH = {low:g}..{high:g} A leaves nothing of low_a..high_a")
        for i, pv in enumerate(self._bpm):
            wanted, unit = self.file.bpms[i // 2].unit, pv.limits()[2]
            if unit not in (wanted, ""):
                raise ContractError(f"{pv.name}: EGU is {unit!r}, and the machine's file says unit = {wanted!r}")
        self._low = np.maximum([c.low_a for c in self.file.correctors], [d[0] for d in self._drive])
        self._high = np.minimum([c.high_a for c in self.file.correctors], [d[1] for d in self._drive])

    def _drive_limits(self) -> list[tuple[float, float, str]]:
        return [pv.limits() for pv in self._set]

    def _check_setpoints(self) -> None:
        for i, value in enumerate(self.setpoint_a):
            if not self._low[i] <= value <= self._high[i]:
                raise ContractError(
                    f"{self._set[i].name} = {value:g} A is outside {self._low[i]:g}..{self._high[i]:g} A: "
                    "set it within, or widen its limits in the machine's file"
                )

    def begin(self, restoring: bool = False) -> Snapshot:
        """Claims the machine and keeps what stands there, before the first put to a corrector. To restore, no beam is
        as good as a permit.

        Raises ContractError while another controller has it, Hold when it may not be moved.
        """
        if restoring:
            self._permitted = self._check_may_restore
        self.watch()
        snapshot = Snapshot.of(self.file, self.setpoint_a)
        snapshot.write(self.folder)
        self.operator.claim()
        if not restoring:
            self._low = np.maximum(self._low, self.setpoint_a - self._travel_max)
            self._high = np.minimum(self._high, self.setpoint_a + self._travel_max)
        self.began = True
        self.log.say("began", machine=self.file.name, owner=self.operator.token)
        return snapshot

    def read(self) -> Reading:
        """Mean of as many shots as the file says, all of them newer than this call. Raises Hold."""
        self.watch()
        seen = np.array([v.timestamp for v in self._fresh(self._bpm)])
        shots: list[Array] = []
        while len(shots) < self.file.timing.shots:
            found = self._fresh(self._bpm)
            stamps = np.array([v.timestamp for v in found])
            if (stamps > seen).all():
                shots.append(_values(found))
                seen = stamps
            else:
                self._sleep(0.01)
        self.watch()
        currents = _values(self._fresh(self._back, MAJOR))
        return Reading(np.mean(shots, 0) * self._scale, currents, max(0.0, time.time() - float(seen.min())))

    def watch(self) -> None:
        """Raises Hold unless everything is as it must be before a put."""
        if self._stopped.is_set():
            raise Hold(self.asked_to_stop)
        if self._count_losses() != self._losses:
            raise Lost(f"{', '.join(p.name for p in self._pvs.values() if p.losses)}: went away")
        if self._heartbeat is not None:
            self._fresh([self._heartbeat])
        self._permitted()
        self.operator.check()
        self._check_ours()

    def _check_beam(self) -> None:
        current = self._fresh([self._beam])[0].value
        if current < self.file.interlock.beam_current_min:
            raise Hold(
                f"{self._beam.name} = {current:g}: below {self.file.interlock.beam_current_min:g}, the beam is gone"
            )
        if self._permit is not None and self._fresh([self._permit], MAJOR)[0].value != 1:
            raise Hold(f"{self._permit.name}: the machine may not be moved")

    def _check_may_restore(self) -> None:
        off = self._fresh([self._beam])[0].value < self.file.interlock.beam_current_min
        if not off and (self._permit is None or self._fresh([self._permit], MAJOR)[0].value != 1):
            raise Hold(f"there is beam ({self._beam.name}) and no permit: restore with the beam off, or permitted")

    def _check_ours(self, correctors: Sequence[int] | None = None) -> None:
        """Setpoints are where we left them."""
        chosen = range(len(self._set)) if correctors is None else correctors
        for i, value in zip(chosen, _values(self._sound([self._set[i] for i in chosen])), strict=True):
            if abs(value - self.setpoint_a[i]) > self.file.timing.setpoint_tolerance_a:
                raise Hold(
                    f"{self._set[i].name} = {value:g} A, and we left {self.setpoint_a[i]:g} A: "
                    "someone else changed it; the machine is theirs"
                )

    def _sound(self, pvs: Sequence[Pv], alarm: int = MAJOR) -> list[Value]:
        """Connected, numbers, and in no alarm as severe. Raises Hold."""
        return [_sound(pv, found, alarm) for pv, found in zip(pvs, channel_access.ask(pvs), strict=True)]

    def _fresh(self, pvs: Sequence[Pv], alarm: int = INVALID) -> list[Value]:
        """Sound, and updated lately. A BPM in MAJOR alarm shows an orbit that is to be corrected."""
        limit = self.file.timing.max_age_s
        return [_fresh(pv, found, limit) for pv, found in zip(pvs, self._sound(pvs, alarm), strict=True)]

    def _count_losses(self) -> int:
        return sum(p.losses for p in self._pvs.values())

    def limited(self, target_a: Array) -> Array:
        """(C,) within our limits, the records', and the largest step and travel."""
        stepped = np.clip(target_a, self.setpoint_a - self._step_max, self.setpoint_a + self._step_max)
        return np.clip(stepped, self._low, self._high)

    def move(self, target_a: Array, why: str) -> None:
        """Ramps no faster than the slew limits, then waits until IMon has reached ISet.

        Raises Hold for a target beyond the limits, and when anything is not as it must be; what has been put until then
        stays.
        """
        if not self.began:
            raise ContractError("nothing is put before begin()")
        for pv, value, low, high in zip(self._set, target_a, self._low, self._high, strict=True):
            if not low <= value <= high:
                raise Hold(f"{pv.name}: the target {value:g} A is outside {low:g}..{high:g} A")
        start, period = self.setpoint_a.copy(), self.file.timing.ramp_period_s
        steps = max(1, math.ceil(float(np.max(np.abs(target_a - start) / (self._slew * period)))))
        for k in range(1, steps + 1):
            self._pause()
            for i in range(len(start)):
                share = k / steps
                self._put(i, float((1.0 - share) * start[i] + share * target_a[i]), why)
            self._sleep(period)
        self.settle()

    def _pause(self) -> None:
        """While the operator holds; everything is watched meanwhile."""
        self.watch()
        while self.operator.holding():
            self.rest(0.1)

    def _put(self, i: int, value: float, why: str) -> None:
        pv, before = self._set[i], float(self.setpoint_a[i])
        if value == before:
            return
        self._check_ours([i])
        self.log.put(pv.name, before, value, why)
        self.setpoint_a[i], self._unanswered[i] = value, before
        pv.put(value)
        found = float(pv.get().value)
        del self._unanswered[i]  # not sooner: to libca a put is done, too, when its IOC dies
        if abs(found - value) > self.file.timing.setpoint_tolerance_a:
            raise Hold(
                f"{pv.name} = {found:g} A right after we put {value:g} A: its record limited or refused it, "
                "or someone else changed it"
            )

    def settle(self) -> None:
        """Raises Hold, naming the corrector, when a readback does not reach its setpoint in time."""
        timing, until = self.file.timing, time.monotonic() + self.file.timing.settle_timeout_s
        while True:
            self.watch()
            off = np.abs(_values(self._fresh(self._back, MAJOR)) - self.setpoint_a)
            if (off <= timing.settle_tolerance_a).all():
                return
            if time.monotonic() > until:
                i = int(off.argmax())
                raise Hold(
                    f"{self._back[i].name} is {off[i]:.3g} A from {self._set[i].name} = {self.setpoint_a[i]:g} A after "
                    f"{timing.settle_timeout_s:g} s: the corrector is stuck"
                )
            self._sleep(0.02)

    def rest(self, seconds: float) -> None:
        """Waits, watching. Raises Hold."""
        self.watch()
        self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        start = time.monotonic()
        stopped = self._stopped.wait(seconds)
        self.waited_s += time.monotonic() - start
        if stopped:
            raise Hold(self.asked_to_stop)

    def verify(self, say: Callable[[str], None]) -> bool:
        """After a Hold: whether every setpoint stands where we left it and is read back, by nothing but reading.

        PVs that are gone or silent are waited for. Says what it finds, corrector by corrector, and puts nothing.
        """
        timing = self.file.timing
        mine = [*self._set, *self._back]
        if silent := channel_access.wait(mine, 0.0):
            say(f"waiting up to {timing.return_timeout_s:g} s for {', '.join(silent)}")
            channel_access.wait(mine, timing.return_timeout_s)
        until, trouble = time.monotonic() + timing.settle_timeout_s + timing.connect_timeout_s, [""]
        while trouble and time.monotonic() < until:
            trouble = self._trouble()
            if trouble:
                time.sleep(0.1)
        for line in trouble:
            say(line)
        self.log.say("held", verified=not trouble, trouble=trouble, setpoint_a=self.setpoint_a.tolist())
        return not trouble

    def _trouble(self) -> list[str]:
        found, n = [], len(self._set)
        answers = channel_access.ask([*self._set, *self._back])
        for i, (pv, back) in enumerate(zip(self._set, self._back, strict=True)):
            try:
                value = float(_sound(pv, answers[i], MAJOR).value)
                read = float(_fresh(back, _sound(back, answers[n + i], MAJOR), self.file.timing.max_age_s).value)
                limits = pv.limits()
            except Hold as why:
                found.append(f"{why}; we left {self.setpoint_a[i]:g} A on {pv.name}: not sure that it stands")
                continue
            if i in self._unanswered and abs(value - self._unanswered[i]) <= self.file.timing.setpoint_tolerance_a:
                self.setpoint_a[i] = self._unanswered.pop(i)  # the put never arrived
            if abs(value - self.setpoint_a[i]) > self.file.timing.setpoint_tolerance_a:
                found.append(f"{pv.name} = {value:g} A, and we left {self.setpoint_a[i]:g} A: not touched")
            elif not abs(read - value) <= self.file.timing.settle_tolerance_a:
                found.append(f"{back.name} = {read:g} A does not show {pv.name} = {value:g} A")
            if limits[:2] != self._drive[i][:2]:
                low, high = self._drive[i][:2]
                found.append(
                    f"{pv.name}: DRVL..DRVH are {limits[0]:g}..{limits[1]:g} A now, and were {low:g}..{high:g} A"
                )
        return found

    def release(self, status: str) -> None:
        """Gives the machine back, as far as its records can be reached."""
        try:
            self.operator.release(status)
        except Hold as why:
            self.log.say("not released", why=str(why))


def _sound(pv: Pv, found: Value | Lost, alarm: int) -> Value:
    if isinstance(found, Lost):
        raise found
    if not math.isfinite(found.value):
        raise Hold(f"{pv.name} = {found.value}: no number")
    if found.severity >= alarm:
        raise Hold(f"{pv.name}: alarm {'INVALID' if found.severity >= INVALID else 'MAJOR'}, value {found.value}")
    return found


def _fresh(pv: Pv, found: Value, max_age_s: float) -> Value:
    if found.age_s > max_age_s:
        raise Hold(f"{pv.name}: stale, not updated for {found.age_s:.1f} s (max_age_s = {max_age_s:g})")
    if found.age_s < -max_age_s:
        raise Hold(f"{pv.name}: its time is {-found.age_s:.1f} s ahead of this host's clock; set the clocks (NTP)")
    return found


def _values(found: Sequence[Value]) -> Array:
    return np.array([v.value for v in found], float)
