"""A beam machine as a robostack.devices device: `epics://machine.toml` looks on, `epics://machine.toml?live` acts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np

from robostack.export.onnx import LoadedPolicy
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import ContractError, PolicySpec
from robostack_real.devices.epics.channel_access import Hold
from robostack_real.devices.epics.machine import BeamMachine
from robostack_real.devices.epics.machine_file import MachineFile

READ, CURRENT, TARGET = "bpm_position", "corrector_current", "target_orbit"


class EpicsDevice:
    """See robostack.devices.Device; a write is a move: ramped, settled, verified. Every call may raise Hold, a
    ConnectionError, after which nothing is put any more.

    Raises ContractError for a policy of another interface or for other BPMs and correctors.
    """

    channels, paces = (READ, CURRENT), True

    def __init__(self, uri: str, policy: LoadedPolicy, *, folder: Path | None = None) -> None:
        path, _, word = uri.removeprefix("epics://").partition("?")
        if word not in ("", "live"):
            raise ContractError(f"{uri}: after ? can only stand live")
        self.where, self.live, self.tripped = uri, word == "live", ""
        folder = folder or new_folder(Path("logs"))
        self.machine = BeamMachine(fitted(MachineFile.read(path), policy.spec, policy.origin), folder)
        self._moves = 0

    @property
    def target_m(self) -> Array:
        """(R,) the golden orbit, which is the file's."""
        file = self.machine.file
        return np.array([file.target_m.get(name, 0.0) for name in file.readings], np.float32)

    def read(self) -> Mapping[str, Sample]:
        reading = self.machine.read()
        return {READ: (reading.position_m, reading.age_s), CURRENT: (reading.current_a, reading.age_s)}

    def arm(self) -> None:
        if not self.live:
            raise ContractError(f"{self.where}: looks on only; epics://machine.toml?live acts")
        self.machine.begin()

    def write(self, action: Array) -> Array:
        before = self.machine.setpoint_a.copy()
        self._moves += 1
        try:
            self.machine.move(self.machine.limited(before + np.asarray(action, float)), f"move {self._moves}")
        except Hold as why:
            self.tripped = str(why)
            raise
        return (self.machine.setpoint_a - before).astype(np.float32)

    def stop(self) -> None:
        self.machine.stop()

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
