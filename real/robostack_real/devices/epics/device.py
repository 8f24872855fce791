"""A beam machine as a robostack.devices device: `epics://machine.toml` looks on, `epics://machine.toml?live` acts."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from robostack.export.onnx import LoadedPolicy
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import ContractError, PolicySpec
from robostack_real.devices.epics.channel_access import Hold
from robostack_real.devices.epics.machine import BeamMachine
from robostack_real.devices.epics.machine_file import MachineFile

log = logging.getLogger(__name__)

READ, CURRENT, TARGET = "bpm_position", "corrector_current", "target_orbit"


class EpicsDevice:
    """See robostack.devices.Device; a write is a move: ramped, settled, verified. Every call may raise Hold, a
    ConnectionError, after which nothing is put any more: what stands is verified before the next read, which looks on,
    and a move takes another stop and another arm.

    Raises ContractError for a policy of another interface or for other BPMs and correctors.
    """

    channels, paces, changes = (READ, CURRENT), True, True

    def __init__(self, uri: str, policy: LoadedPolicy, *, folder: Path | None = None) -> None:
        path, _, word = uri.removeprefix("epics://").partition("?")
        if word not in ("", "live"):
            raise ContractError(f"{uri}: after ? can only stand live")
        self.where, self.live, self.tripped = uri, word == "live", ""
        folder = folder or new_folder(Path("logs"))
        self.machine = BeamMachine(fitted(MachineFile.read(path), policy.spec, policy.origin), folder)
        self._period_s = policy.spec.control_dt_s
        self._moves, self._best_m = 0, np.inf
        self._held = self._stopped = False

    @property
    def target_m(self) -> Array:
        """(R,) the golden orbit, which is the file's."""
        file = self.machine.file
        return np.array([file.target_m.get(name, 0.0) for name in file.readings], np.float32)

    def read(self) -> Mapping[str, Sample]:
        if self._held or self._stopped:
            self._look_again()
        try:
            reading = self.machine.read()
            if self.machine.began:
                self._tell(reading.position_m)
        except Hold as why:
            self._hold(str(why))
            raise
        return {READ: (reading.position_m, reading.age_s), CURRENT: (reading.current_a, reading.age_s)}

    def arm(self) -> None:
        if not self.live:
            raise ContractError(f"{self.where}: looks on only; epics://machine.toml?live acts")
        try:
            self.machine.begin()
            self.machine.operator.status("correcting")
        except Hold:
            self._held = True
            self.machine.release("not begun")
            raise
        self._moves, self._best_m = 0, np.inf

    def write(self, action: Array) -> Array:
        if not self.machine.began and not action.any():
            time.sleep(self._period_s)  # looks on, and asks the machine no more often
            return action
        before = self.machine.setpoint_a.copy()
        self._moves += 1
        try:
            self.machine.move(self.machine.limited(before + np.asarray(action, float)), f"move {self._moves}")
        except Hold as why:
            self._hold(str(why))
            raise
        return (self.machine.setpoint_a - before).astype(np.float32)

    def stop(self) -> None:
        """Cuts a ramp short; what has been put stays."""
        if self.machine.began:
            self._stopped = True
            self.machine.stop()
        self.tripped = ""

    def _hold(self, why: str) -> None:
        self._held = True
        if self.machine.began and not self._stopped:
            self.tripped = why

    def _look_again(self) -> None:
        """Verifies what stands after a hold or a stop, gives the machine back, and finds everything out anew."""
        machine, why = self.machine, self.tripped or "stopped"
        folder = machine.folder
        if machine.began:
            verified = machine.verify(log.warning)
            stands = "every setpoint stands where we left it" if verified else "NOT all stands as we left it"
            log.warning("held, %s: %s; the way back is --restore %s/snapshot.json", why, stands, folder)
            machine.release(f"HOLD: {why}" if self.tripped else why)
            folder = new_folder(folder.parent.parent)
        try:
            machine.again(folder)
        except ContractError as error:
            raise Hold(str(error)) from error
        self._held = self._stopped = False

    def _tell(self, position_m: npt.NDArray[np.float64]) -> None:
        """The control room and the log."""
        rms = float(np.sqrt(np.mean(np.square(position_m - self.target_m))))
        self._best_m = min(self._best_m, rms)
        self.machine.operator.progress(self._moves, rms, self._best_m)
        found = {"position_m": position_m.tolist(), "setpoint_a": self.machine.setpoint_a.tolist()}
        waited_s = round(self.machine.waited_s, 6)
        self.machine.log.say("orbit", step=self._moves, rms_m=rms, waited_s=waited_s, **found)

    def __enter__(self) -> Self:
        self.machine.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.tripped:
            self.machine.release(self.tripped)
        self.machine.__exit__(*exc)


def new_folder(root: Path) -> Path:
    folder = root / "epics" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    folder.mkdir(parents=True)
    return folder


def fitted(file: MachineFile, spec: PolicySpec, origin: str) -> MachineFile:
    """The machine's file in the contract's order. Raises ContractError for a contract that no such machine keeps."""
    channels = {c.name: c for c in spec.observations}
    if READ not in channels or CURRENT not in channels or [a.name for a in spec.actions] != ["corrector_step"]:
        raise ContractError(f"{origin}: task {spec.task!r} does not correct orbits; train beam_orbit")
    if others := sorted(set(channels) - {READ, CURRENT, TARGET}):
        raise ContractError(f"{origin}: reads {', '.join(others)}, which is not measured here; train with probe_a = 0")
    elements, correctors = channels[READ].elements, spec.actions[0].elements
    if not elements or not correctors or channels[CURRENT].elements != correctors:
        raise ContractError(f"{origin}: its channels do not name their BPMs and correctors; export it anew")
    return file.ordered(elements, correctors, origin)
