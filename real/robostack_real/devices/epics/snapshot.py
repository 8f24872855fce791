"""All setpoints before the first put, in a file, and which of them an operator may have back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robostack.run_folder import write_atomic
from robostack.spec import ContractError
from robostack_real.devices.epics.machine_file import MachineFile
from robostack_real.devices.epics.put_log import left_by_us

SNAPSHOT = "snapshot.json"


@dataclass(frozen=True)
class Snapshot:
    machine: str
    time: str
    setpoint_a: Mapping[str, float]
    """by PV"""

    @classmethod
    def of(cls, file: MachineFile, setpoint_a: npt.NDArray[np.float64]) -> Snapshot:
        pvs = [c.setpoint for c in file.correctors]
        return cls(file.name, datetime.now(UTC).isoformat(), dict(zip(pvs, setpoint_a.tolist(), strict=True)))

    def write(self, folder: Path) -> None:
        text = {"machine": self.machine, "time": self.time, "setpoint_a": dict(self.setpoint_a)}
        write_atomic(folder / SNAPSHOT, json.dumps(text, indent=1).encode())

    @classmethod
    def read(cls, path: Path, file: MachineFile) -> Snapshot:
        """Raises ContractError for a file that is no snapshot of this machine."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            snapshot = cls(
                str(found["machine"]), str(found["time"]), {str(k): float(v) for k, v in found["setpoint_a"].items()}
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ContractError(f"{path}: no snapshot: {error!r}; a run writes it as {SNAPSHOT}") from error
        if snapshot.machine != file.name:
            raise ContractError(f"{path}: a snapshot of machine {snapshot.machine!r}, and the file is {file.name!r}'s")
        wanted = {c.setpoint for c in file.correctors}
        if differ := sorted(wanted ^ set(snapshot.setpoint_a)):
            raise ContractError(f"{path}: {differ[0]} is not in both the snapshot and the machine's file")
        if bad := [pv for pv, v in snapshot.setpoint_a.items() if not math.isfinite(v)]:
            raise ContractError(f"{path}: setpoint_a.{bad[0]}: must be a finite number")
        return snapshot


def changed_by_others(path: Path, pvs: list[str], now_a: npt.NDArray[np.float64], tolerance_a: float) -> list[str]:
    """PVs that stand neither at the snapshot nor where its run left them, by the log beside it."""
    kept, left = json.loads(path.read_text(encoding="utf-8"))["setpoint_a"], left_by_us(path.parent)
    ours = {pv: (kept[pv], *left.get(pv, ())) for pv in pvs}
    return [pv for pv, v in zip(pvs, now_a, strict=True) if min(abs(v - o) for o in ours[pv]) > tolerance_a]
