"""Flying the exported firmware: a board runs the policy, the task's physics is the machine.

Knows neither task nor board: a task offers scenarios, a board kind (entry point `robostack.boards`) builds and starts
itself.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from robostack import registry
from robostack.evaluate.flight import STATUS, Column, Flight, percentiles, rms_position_error
from robostack.export.onnx import load_policy
from robostack.run_folder import RunFolder
from robostack.spec import ContractError, PolicySpec
from robostack.task import Layout, Scenario, Task


class Answer(Protocol):
    """What a board says of one control period."""

    action: np.ndarray
    armed: bool
    tripped: bool
    ticks_spent: int
    deadline_misses: int


class Session(Protocol):
    """A running board; see robostack_real.link.session.BoardSession."""

    def check(self, spec: PolicySpec, policy_hash: str) -> Any: ...
    def reset(self) -> None: ...
    def arm(self) -> None: ...
    def disarm(self) -> None: ...
    def observe(self, values: np.ndarray) -> Answer: ...


class BoardKind(Protocol):
    """What the `robostack.boards` entry points are."""

    name: str

    def missing(self) -> list[str]: ...
    def remedy(self) -> str: ...
    def lockstep(self, firmware: Path) -> AbstractContextManager[Session]: ...
    def serial(self, firmware: Path) -> AbstractContextManager[Session]: ...


PREFERRED = ("netduinoplus2", "host")
"""boards that `auto` tries in turn"""


def choose(name: str) -> BoardKind:
    """A board kind by name; `auto` takes the first whose tools are here, and says so when it is not the first."""
    if name != "auto":
        board: BoardKind = registry.load("board", name)
        if board.missing():
            raise ContractError(f"board {name} needs {', '.join(board.missing())}: {board.remedy()}")
        return board
    for candidate in PREFERRED:
        board = registry.load("board", candidate)
        if not board.missing():
            return board
        print(f"board {candidate} left out, it needs {', '.join(board.missing())}: {board.remedy()}", file=sys.stderr)
    raise ContractError("no board can be built here; see the lines above for what to install")


def fly(run: RunFolder, *, board: str = "auto", transport: str = "both", seed: int = 0) -> list[dict[str, Any]]:
    """Flies every scenario of the run's task and saves the flights. Returns rows of figures for tables."""
    from robostack.learn.trainer import task_of

    torch.set_num_threads(1)
    policy = load_policy(run.policy)
    task = task_of(run)
    kind, firmware = choose(board), run.exported / "firmware"
    for old in run.flights.glob("*.npz"):
        old.unlink()
    rows: list[dict[str, Any]] = []
    if transport in ("both", "lockstep"):
        with kind.lockstep(firmware) as session:
            session.check(policy.spec, policy.policy_hash)
            rows += _lockstep(run, session, task, policy.spec, kind.name, seed)
    if transport in ("both", "serial"):
        with kind.serial(firmware) as session:
            session.check(policy.spec, policy.policy_hash)
            rows += _serial(run, session, task, policy.spec, kind.name, seed)
    return rows


def _lockstep(
    run: RunFolder, session: Session, task: Task, spec: PolicySpec, board: str, seed: int
) -> list[dict[str, Any]]:
    flights: list[Flight] = []
    start, scenarios = time.perf_counter(), task.scenarios()
    for scenario in _shown(scenarios, "fly"):
        flights.append(_fly_one(session, scenario, spec, board, "lockstep", seed))
    seconds = time.perf_counter() - start
    for flight in flights:
        flight.save(run.flights / f"{flight.name}.npz")
    again = _fly_one(session, scenarios[0], spec, board, "lockstep", seed)
    steps = sum(len(f) for f in flights)
    rows = task.judge_flights(flights)
    rows.append(_row(f"lockstep with {board}", steps / seconds, "periods/s", 1000.0, "higher"))
    rows.append(_row("flown twice, same bytes", float(_digest(again) == _digest(flights[0])), "of 1", 1.0, "higher"))
    spent = percentiles(flights, "instructions")
    if spent and board != "host":
        rows.append(_row("instructions a control period, worst", spent["max"], ""))
    return rows


def _serial(run: RunFolder, session: Session, task: Task, spec: PolicySpec, board: str, seed: int) -> list[dict[str, Any]]:
    scenario = next((s for s in task.scenarios() if s.kind == "hover"), task.scenarios()[0])
    flight = _fly_one(session, scenario, spec, board, "serial", seed)
    flight.save(run.flights / f"serial_{flight.name}.npz")
    trips = flight.timing["round_trip_s"]
    return [
        _row(f"serial line with {board}", 1.0 / float(np.mean(trips)), "round trips/s"),
        _row("serial round trip, p50", 1e3 * float(np.percentile(trips, 50)), "ms"),
        _row("serial round trip, p99", 1e3 * float(np.percentile(trips, 99)), "ms"),
        _row("serial hover, RMS error, last 2 s", rms_position_error(flight, 2.0), "m"),
    ]


def _fly_one(session: Session, scenario: Scenario, spec: PolicySpec, board: str, transport: str, seed: int) -> Flight:
    """One flight: the board sees the task's sensors and its answer drives the task's physics, period by period."""
    task = scenario.make()
    obs, _ = task.reset(seed + scenario.seed)
    scenario.prepare(task)
    obs = task.observe()
    columns = Layout(task.channels).indices(tuple(c.name for c in spec.observations))
    session.disarm()
    session.reset()
    session.observe(obs.flat[0, columns].numpy())
    session.arm()
    log: dict[str, list[np.ndarray]] = {}
    status, instructions, trips = [], [], []
    for _ in range(round(scenario.seconds / task.step_dt)):
        for name, value in task.snapshot().items():
            log.setdefault(name, []).append(value[0].numpy().copy())
        values = obs.flat[0, columns].numpy()
        asked = time.perf_counter()
        answer = session.observe(values)
        trips.append(time.perf_counter() - asked)
        log.setdefault("action", []).append(np.array(answer.action))
        status.append(STATUS.index("fallback" if answer.tripped else "policy" if answer.armed else "disarmed"))
        instructions.append(answer.ticks_spent)
        obs, *_ = task.step(torch.from_numpy(np.array(answer.action))[None])
    units = {**task.snapshot_units(), "action": spec.actions[0].unit}
    timing = {"round_trip_s": np.array(trips)} if transport == "serial" else {"instructions": np.array(instructions, float)}
    return Flight(
        scenario.name,
        task.step_dt,
        {n: Column(np.stack(v), units[n]) for n, v in log.items()},
        np.array(status, np.uint8),
        timing,
        {**scenario.about, "kind": scenario.kind, "transport": transport, "board": board},
    )


def _digest(flight: Flight) -> str:
    """Of everything that a flight in virtual time determines: what was measured, done, and spent."""
    parts = [*(c.values for c in flight.columns.values()), flight.status, *flight.timing.values()]
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def _row(what: str, value: float, unit: str, bar: float | None = None, better: str = "lower") -> dict[str, Any]:
    return {"what": what, "value": value, "unit": unit, "bar": bar, "better": better}


def _shown(scenarios: Sequence[Scenario], title: str) -> Any:
    from rich.console import Console
    from rich.progress import track

    return track(scenarios, title, console=Console(stderr=True))
