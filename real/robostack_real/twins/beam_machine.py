"""A beam machine on EPICS: a softioc IOC that serves the PVs of a machine's file, with a machine drawn by seed behind.

Supplies follow their setpoints with a lag, BPMs and readbacks are updated at a rate, records limit and alarm, and
setpoints outlive the IOC in a file, as autosave keeps them. `TWIN:` PVs are its fault switches. Everything is on
loopback at a port of its own. The IOC is a process; `VirtualBeamMachine` starts it.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Self

import numpy as np

from robostack_real.devices.epics.machine_file import METRES, MachineFile
from robostack_real.link.errors import LinkError
from robostack_real.twins.process import TwinProcess

PACKAGE = files("robostack_real.devices.epics")
PORT = 5164
READY = b"ready\n"
LAG_S, READBACK_NOISE_A = 0.1, 1e-3
BEAM_UA = 20.0
LAST_ALARM_MM = 15.0
SWITCHES = ("Stuck", "BpmInvalid", "BpmNan", "BpmFrozen", "BeamTrip", "NoPermit", "NoHeartbeat", "Exit")
"""TWIN:Stuck is the number of a corrector that no longer follows, TWIN:Bpm... of a reading, from 1; 0: none"""


def free_ports(first: int) -> int:
    """The first of two ports, from `first` on, that are free for both TCP and UDP. Raises LinkError."""
    for port in range(first, 65000, 2):
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                for offset in (0, 1):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise LinkError(f"no two free ports from {first} on")


def client_environment(port: int) -> dict[str, str]:
    """What a client of the twin needs; libca reads it when it is loaded."""
    return {
        "EPICS_CA_ADDR_LIST": f"127.0.0.1:{port}",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_REPEATER_PORT": str(port + 1),
    }


def server_environment(port: int) -> dict[str, str]:
    return {
        "EPICS_CAS_SERVER_PORT": str(port),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_PORT": str(port + 1),
    }


class VirtualBeamMachine:
    """The IOC's process. `kill` and `start` are a crash and a reboot; setpoints are kept in `folder`. `freeze` leaves
    it connected and silent, `thaw` lets it go on.

    `truth`: a file for lines of JSON, which nobody on a machine sees: first what is wrong with it, then where the beam
    is at each update. Raises LinkError when it does not come up.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        port: int = PORT,
        machine: Path | None = None,
        lattice: str = "cafe2_cm1",
        rate_hz: float = 10.0,
        lag_s: float = LAG_S,
        truth: Path | None = None,
    ) -> None:
        self.port = port
        self._line = [sys.executable, "-m", __name__, "--seed", str(seed), "--state", str(folder / "setpoints.json")]
        self._line += ["--rate-hz", str(rate_hz), "--lag-s", str(lag_s), "--lattice", lattice]
        self._line += [*(["--machine", str(machine)] if machine else []), *(["--truth", str(truth)] if truth else [])]

    def start(self, *more: str) -> None:
        read, write = os.pipe()
        environment = [f"{k}={v}" for k, v in server_environment(self.port).items()]
        command = ["env", *environment, *self._line, *more]
        try:
            self._process = TwinProcess(command, stdio=write)
        finally:
            os.close(write)
        with os.fdopen(read, "rb") as said:
            if READY not in said:  # after what EPICS base says of itself
                raise LinkError(f"the twin at port {self.port} did not come up: {self._process.epitaph()}")

    def kill(self) -> None:
        self._process.kill()
        self._process.stop()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def wait(self) -> None:
        """Until it ends by itself, which raises LinkError."""
        select.select([self._process.pidfd], [], [])
        raise LinkError(f"the twin ended: {self._process.epitaph()}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.stop()


class Plant:
    """The machine behind the records: currents that follow setpoints, and the orbit that they make."""

    def __init__(self, file: MachineFile, seed: int, lattice: str, lag_s: float) -> None:
        import torch

        from robostack_sim.beam.config import BeamOrbitConfig
        from robostack_sim.beam.orbit import BeamOrbit

        torch.set_num_threads(1)
        self._task = BeamOrbit(BeamOrbitConfig(num_envs=1, lattice=lattice), seed)
        self._task.target_m.zero_()
        line = self._task.line
        file.ordered(line.readings, line.corrector_names, f"lattice {lattice}")
        self._file = file
        self._correctors = [line.corrector_names.index(c.name) for c in file.correctors]
        self._readings = [line.readings.index(r) for r in file.readings]
        self._random, self._lag_s = np.random.default_rng(seed), lag_s
        self.current_a = np.zeros(len(file.correctors))

    def advance(self, setpoint_a: np.ndarray, stuck: int, dt_s: float) -> None:
        step = (setpoint_a - self.current_a) * (1.0 - np.exp(-dt_s / self._lag_s))
        if 0 < stuck <= len(step):
            step[stuck - 1] = 0.0
        self.current_a = self.current_a + step
        task = self._task
        task.currents_a[0, self._correctors] = task.currents_a.new_tensor(self.current_a)
        walk = task.config.drift_m * np.sqrt(dt_s / task.config.step_dt) * self._random.normal(size=2)
        task.start[0, [0, 2]] += task.start.new_tensor(walk)

    @property
    def lost(self) -> bool:
        """The beam meets the pipe."""
        return bool(self._task.lost(self._task.orbit(self._task.currents_a, self._task.start)))

    def bpm_m(self) -> np.ndarray:
        found: np.ndarray = self._task.observe()["bpm_position"][0, self._readings].numpy()
        return found

    def wrong(self) -> dict[str, list[str]]:
        """What nobody is told: correctors with the other polarity, readings that are dead; and all readings."""
        names, task = self._file, self._task
        gain, stuck = task.gain[0, self._correctors], task.bpm_stuck_m[0, self._readings]
        return {
            "flipped": [c.name for c, g in zip(names.correctors, gain.tolist(), strict=True) if g < 0.0],
            "dead": [r for r, s in zip(names.readings, stuck.tolist(), strict=True) if not np.isnan(s)],
            "readings": list(names.readings),
        }

    def orbit_m(self) -> np.ndarray:
        """(R,) the true orbit at the BPMs, dead ones too."""
        found: np.ndarray = self._task.snapshot()["orbit"][0, self._readings].numpy()
        return found

    def true_rms_m(self) -> float:
        """Of the true orbit about the axis, at all BPMs."""
        task = self._task
        return float(task.rms_m(task.orbit(task.currents_a, task.start), live=False))


def serve(options: argparse.Namespace) -> None:
    """Runs the IOC until it is killed or its parent ends. The environment must be `server_environment`'s before softioc
    is imported."""
    parent = os.getppid()
    from softioc import alarm, asyncio_dispatcher, builder, softioc

    file = MachineFile.read(options.machine)
    plant = Plant(file, options.seed, options.lattice, options.lag_s)
    kept: Mapping[str, float] = json.loads(options.state.read_text()) if options.state.exists() else {}
    setpoints = np.array([kept.get(c.setpoint, 0.0) for c in file.correctors])
    plant.current_a = setpoints.copy()

    def record(kind: Any, pv: str, **more: Any) -> Any:
        device, _, name = pv.rpartition(":")
        builder.SetDeviceName(device)
        return kind(name, **more)

    def follow(i: int) -> Any:
        def update(value: float) -> None:
            setpoints[i] = value
            text = {c.setpoint: float(v) for c, v in zip(file.correctors, setpoints, strict=True)}
            fresh = options.state.with_suffix(".new")
            fresh.write_text(json.dumps(text))
            fresh.replace(options.state)  # a power cut may lose it, a kill does not

        return update

    limit = options.setpoint_limit_a
    wide = {"EGU": "A", "PREC": 4}
    for i, c in enumerate(file.correctors):
        read_only = {"ASG": "READONLY"} if c.setpoint == options.read_only else {}
        record(builder.aOut, c.setpoint, initial_value=float(setpoints[i]), DRVH=limit, DRVL=-limit, always_update=True,
               blocking=True, on_update=follow(i), **wide, **read_only)  # fmt: skip
    backs = [
        record(builder.aIn, c.readback, HIHI=limit + 0.1, HHSV="MAJOR", LOLO=-limit - 0.1, LLSV="MAJOR", **wide)
        for c in file.correctors
    ]
    scale = np.repeat([METRES[b.unit] for b in file.bpms], 2)
    bpms = [
        record(builder.aIn, pv, EGU=b.unit, PREC=4, HIGH=5.0, HSV="MINOR", LOW=-5.0, LSV="MINOR",
               HIHI=LAST_ALARM_MM, HHSV="MAJOR", LOLO=-LAST_ALARM_MM, LLSV="MAJOR")
        for b in file.bpms for pv in (b.x, b.y)
    ]  # fmt: skip
    lock = file.interlock
    beam = record(builder.aIn, lock.beam_current, EGU="uA", PREC=3, LOLO=1.0, LLSV="MAJOR")
    permit = record(builder.boolIn, lock.permit, ZNAM="no", ONAM="permitted") if lock.permit else None
    heartbeat = record(builder.longIn, lock.heartbeat) if lock.heartbeat else None
    switch = {name: record(builder.longOut, f"TWIN:{name}", initial_value=0) for name in SWITCHES}
    true_rms = record(builder.aIn, "TWIN:TrueRms", EGU="mm", PREC=4)
    builder.LoadDatabase()
    with as_file(PACKAGE / "operator.db") as database:
        softioc.dbLoadDatabase(str(database), substitutions=f"P={file.operator}")
    if options.read_only:
        _protect()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(), enable_pva=False)
    truth = options.truth.open("w") if options.truth else None
    if truth:
        print(json.dumps(plant.wrong()), file=truth)
    beats, dt_s = 0, 1.0 / options.rate_hz
    due = last = time.monotonic()
    ready = False
    while not switch["Exit"].get() and os.getppid() == parent:
        fault = {name: int(s.get()) for name, s in switch.items()}
        now = time.monotonic()
        plant.advance(setpoints, fault["Stuck"], now - last)
        last = now
        gone = bool(fault["BeamTrip"]) or plant.lost
        shown = plant.bpm_m() / scale
        if gone:  # electronics without a signal: noise about zero, which looks like a perfect orbit
            shown = 0.01 * np.random.default_rng(beats).normal(size=len(shown))
        for i, bpm in enumerate(bpms, 1):
            if fault["BpmFrozen"] == i:
                continue
            if fault["BpmInvalid"] == i:
                bpm.set(shown[i - 1], severity=alarm.INVALID_ALARM, alarm=alarm.READ_ALARM)
            else:
                bpm.set(np.nan if fault["BpmNan"] == i else shown[i - 1])
        noise = READBACK_NOISE_A * np.random.default_rng(beats).normal(size=len(backs))
        for back, value in zip(backs, plant.current_a + noise, strict=True):
            back.set(value)
        beam.set(0.0 if gone else BEAM_UA)
        if permit is not None:
            permit.set(not fault["NoPermit"])
        if heartbeat is not None and not fault["NoHeartbeat"]:
            beats += 1
            heartbeat.set(beats)
        true_rms.set(1e3 * plant.true_rms_m())
        if truth:
            print(json.dumps({"time": time.time(), "orbit_m": plant.orbit_m().tolist()}), file=truth, flush=True)
        if not ready:
            time.sleep(0.2)  # the records' first values are on their way
            print(READY.decode(), end="", flush=True)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on
            ready = True
        due = max(due + dt_s, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    os._exit(0)


def _protect() -> None:
    """Access security: records of group READONLY take no put from anybody."""
    from softioc import imports

    with tempfile.NamedTemporaryFile("w", suffix=".acf", delete=False) as file:
        file.write("ASG(DEFAULT) { RULE(1, WRITE) }\nASG(READONLY) { RULE(1, READ) }\n")
    imports.dbCore.asSetFilename(file.name.encode())


def _parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog=__name__)
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--machine", type=Path, default=Path(str(PACKAGE / "cafe2_cm1.toml")))
    found.add_argument("--lattice", default="cafe2_cm1")
    found.add_argument("--state", type=Path, required=True)
    found.add_argument("--rate-hz", type=float, default=10.0)
    found.add_argument("--lag-s", type=float, default=LAG_S, help="of the supplies, a time constant")
    found.add_argument("--setpoint-limit-a", type=float, default=10.0)
    found.add_argument("--truth", type=Path)
    found.add_argument("--read-only", default="", help="PV of a setpoint that takes no put")
    return found


if __name__ == "__main__":
    serve(_parser().parse_args())
