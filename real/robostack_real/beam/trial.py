"""Controllers tried live on beam machines that nobody described to them.

A correction is `robostack run --live` as an operator gives it, in a process and with a libca of its own, on a twin of
its own: every controller meets the same machine as it was at first. Where the beam really was the twin tells
afterwards, so a figure here is the true orbit's, and not what a dead BPM shows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from robostack.evaluate.flight import Column, Flight
from robostack.export.onnx import LoadedPolicy
from robostack.spec import ContractError
from robostack_real.beam.corrections import CONTROLLERS, KIND
from robostack_real.devices.epics.command import HELD, HELD_BLIND
from robostack_real.devices.epics.device import fitted
from robostack_real.devices.epics.machine_file import MachineFile
from robostack_real.link.errors import LinkError
from robostack_real.twins.beam_machine import VirtualBeamMachine, client_environment, free_ports


class Trial:
    """Corrections of machines that a file describes, by the policy at `path` and by those that start from its nominal
    response. Raises ContractError for a policy that does not fit the machine's file."""

    def __init__(self, policy: LoadedPolicy, path: Path, machine: Path, moves: int) -> None:
        self.path, self.machine, self.moves = path, machine, moves
        self._given_up = threading.Event()
        """by Ctrl-C, or as one failed: what has not begun yet shall not"""
        self.file = fitted(MachineFile.read(machine), policy.spec, policy.origin)
        self._lattice = str(policy.spec.provenance.get("settings", {}).get("lattice", "cafe2_cm1"))

    def corrections(self, seeds: Iterable[int], controllers: Sequence[str], at_once: int) -> Iterator[Flight]:
        """Of every machine by every controller, as they end; a flight's rows are moves, the first is before them.

        Raises ConnectionError when a twin does not come up, ContractError for what `robostack run` refuses.
        """
        port, jobs = 14000 + 2 * (os.getpid() % 3000), []
        for seed in seeds:
            for controller in controllers:
                port = free_ports(port)
                jobs.append((seed, controller, port))
                port += 2
        pool = ThreadPoolExecutor(at_once)
        try:
            for done in as_completed([pool.submit(self.correct, *job) for job in jobs]):
                yield done.result()
        finally:
            self._given_up.set()
            pool.shutdown(cancel_futures=True)

    def correct(self, seed: int, controller: str, port: int) -> Flight:
        with tempfile.TemporaryDirectory(prefix="robostack-") as name:
            folder = Path(name)
            truth = folder / "truth.jsonl"
            line = [sys.executable, "-m", "robostack", "run", str(self.path), "--config", str(self.machine), "--live"]
            line += ["--controller", controller, "--steps", str(self.moves), "--root", name]
            with VirtualBeamMachine(
                folder, seed=seed, port=port, machine=self.machine, lattice=self._lattice, truth=truth
            ):
                if self._given_up.is_set():
                    raise LinkError(f"machine {seed}: given up before its first move")
                environment = {**os.environ, **client_environment(port)}
                done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
            log = [e for path in folder.glob("epics/*/puts.jsonl") for e in _lines(path)]
            orbits = [e for e in log if e.get("event") == "orbit"]
            if done.returncode not in (0, HELD, HELD_BLIND) or not orbits:
                said = [line for line in done.stderr.splitlines() if line.startswith("robostack:")]  # and not libca
                why = said[-1] if said else f"exit status {done.returncode}: {done.stderr.strip()[-400:]}"
                raise ContractError(f"machine {seed}, {CONTROLLERS[controller]}: not corrected: {why}")
            held = next((e["why"] for e in log if e.get("event") == "hold"), "")
            wrong, *seen = _lines(truth)
            return self._flight(seed, controller, orbits, held, wrong, seen)

    def _flight(
        self,
        seed: int,
        controller: str,
        orbits: list[dict[str, Any]],
        held: str,
        wrong: dict[str, list[str]],
        seen: list[dict[str, Any]],
    ) -> Flight:
        readings = self.file.readings
        times = [datetime.fromisoformat(e["time"]).timestamp() for e in orbits]
        at = np.searchsorted([s["time"] for s in seen], times) - 1  # nothing moved between that update and the reading
        true = np.array([s["orbit_m"] for s in seen])[at][:, [wrong["readings"].index(r) for r in readings]]
        off = np.square(true - [self.file.target_m.get(r, 0.0) for r in readings])
        alive = [r not in wrong["dead"] for r in readings]
        columns = {
            "true_orbit": Column(true, "m", readings),
            "bpm_position": Column(np.array([e["position_m"] for e in orbits]), "m", readings),
            "corrector_current": Column(
                np.array([e["setpoint_a"] for e in orbits]), "A", tuple(c.name for c in self.file.correctors)
            ),
            "rms": Column(np.sqrt(off[:, alive].mean(1)), "m"),
            "rms_all": Column(np.sqrt(off.mean(1)), "m"),
        }
        about = {
            "kind": KIND,
            "machine": seed,
            "controller": controller,
            "moves": self.moves,
            "flipped": wrong["flipped"],
            "dead": sorted({r.rpartition("_")[0] for r in wrong["dead"]}),
            **({"cut_short": held} if held else {}),
        }
        timing = {"move_s": np.diff(times)[: self.moves]}
        name = f"{KIND}_{seed:02d}_{controller}"
        return Flight(name, 1.0, columns, np.zeros(len(times), np.uint8), timing, about)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Without the last one where its writer was killed in it."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
