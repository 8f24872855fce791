"""Flying the exported firmware: a board runs the policy, the task's physics is the machine.

Knows neither task nor board: a task offers scenarios and judges flights, a board kind (robostack.boards) builds and
starts itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robostack.boards import Answer, Session, choose
from robostack.evaluate.flight import GUARDED, STATUS, Column, Flight, percentiles
from robostack.export.onnx import load_policy
from robostack.learn.trained import task_of
from robostack.run_folder import RunFolder
from robostack.spec import ContractError, PolicySpec
from robostack.task import Layout, Scenario, Task

ECHOES = 300
"""round trips of the serial line alone, timed before it flies"""


class BoardLostError(ConnectionError):
    """A board was lost in flight; the message says why, and where the flight so far is kept."""


def fly(run: RunFolder, *, board: str = "auto", transport: str = "both", seed: int = 0) -> list[dict[str, Any]]:
    """Flies every scenario of the run's task and saves each flight as it lands. Returns rows of figures for tables.

    Flights of an earlier call go when the first of this one is saved; those of a machine stay. Raises ContractError
    when policy, task, board and firmware do not fit or do not build, ConnectionError when the board does not come up,
    BoardLostError in flight.
    """
    torch.set_num_threads(1)
    policy, task, kind = load_policy(run.policy), task_of(run), choose(board)
    scenarios = _named_apart(task)
    field = _Airfield(run, policy.spec, kind.name, seed)
    rows: list[dict[str, Any]] = []
    if transport in ("both", "lockstep"):
        with kind.lockstep(run.exported / "firmware") as session:
            session.check(policy.spec, policy.policy_hash)
            rows += _lockstep(field, session, scenarios)
    if transport in ("both", "serial"):
        with kind.serial(run.exported / "firmware") as session:
            session.check(policy.spec, policy.policy_hash)
            rows += _serial(field, session, scenarios)
    return [*task.judge_flights(field.landed), *rows]


def _named_apart(task: Task) -> Sequence[Scenario]:
    """The task's scenarios. Raises ContractError when there is none, or when two would share a file."""
    scenarios = task.scenarios()
    names = [s.name for s in scenarios]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice or not scenarios:
        what = f"has two scenarios called {twice[0]!r}" if twice else "has no scenarios"
        raise ContractError(f"task {task.name!r} {what}: fly needs some, each with a name of its own")
    return scenarios


def _lockstep(field: _Airfield, session: Session, scenarios: Sequence[Scenario]) -> list[dict[str, Any]]:
    flights = [field.fly(session, s, "lockstep") for s in _shown(scenarios, "fly")]
    steps, seconds = sum(map(len, flights)), field.seconds
    again = field.fly(session, scenarios[0], "lockstep", keep=False)
    rows = [
        _row(f"lockstep, {field.board}", steps / seconds, "periods/s", 1000.0, "higher"),
        _row("flown twice, same bytes", float(_digest(again) == _digest(flights[0])), "of 1", 1.0, "higher"),
    ]
    spent = percentiles(flights, "instructions")
    if spent and field.board != "host":
        rows.append(_row("instructions a period, worst", spent["max"], ""))
    return rows


def _serial(field: _Airfield, session: Session, scenarios: Sequence[Scenario]) -> list[dict[str, Any]]:
    echoes = np.array([session.echo() for _ in range(ECHOES)])
    scenario = next((s for s in scenarios if s.kind == "hover"), scenarios[0])
    before = field.seconds
    flight = field.fly(session, scenario, "serial", timing={"echo_s": echoes})
    return [
        _row(f"serial line, {field.board}", 1.0 / float(np.mean(echoes)), "round trips/s"),
        _row("serial round trip, p50", 1e3 * float(np.percentile(echoes, 50)), "ms"),
        _row("serial round trip, p99", 1e3 * float(np.percentile(echoes, 99)), "ms"),
        _row("serial flight, paced by the board", len(flight) / (field.seconds - before), "periods/s"),
        _row("of its periods, without a new observation", flight.about["unmet_periods"], f"of {len(flight)}"),
    ]


class _Airfield:
    """Where flights start and land: each is saved before the next one starts."""

    def __init__(self, run: RunFolder, spec: PolicySpec, board: str, seed: int) -> None:
        self.run, self.spec, self.board, self.seed = run, spec, board, seed
        self.landed: list[Flight] = []
        self.seconds = 0.0
        """spent in flight so far"""

    def fly(
        self,
        session: Session,
        scenario: Scenario,
        transport: str,
        *,
        timing: dict[str, np.ndarray] | None = None,
        keep: bool = True,
    ) -> Flight:
        """One flight: the board sees the task's sensors and its answer drives the task's physics, period by period.

        Raises BoardLostError; what was flown until then is kept all the same.
        """
        task = scenario.make()
        task.reset(self.seed + scenario.seed)
        scenario.prepare(task)
        log = _Log(task, self.spec)
        start = time.perf_counter()
        lost = None
        try:
            log.arm(session)
            while len(log) < round(scenario.seconds / task.step_dt):
                log.step(session)
        except ConnectionError as error:
            lost = error
        self.seconds += time.perf_counter() - start
        about = {**scenario.about, "kind": scenario.kind, "transport": transport, "board": self.board}
        name = scenario.name if transport == "lockstep" else f"{transport}_{scenario.name}"
        if transport == "serial":
            about["unmet_periods"] = len(log) - len(log.answer_s)
        own = {"answer_s": log.answer_s} if transport == "serial" else {"instructions": log.instructions}
        measures = {**{n: np.array(v, float) for n, v in own.items()}, **(timing or {})}
        flight = log.flight(name, measures, {**about, "cut_short": str(lost)} if lost else about)
        if keep and len(flight):
            self._land(flight)
        if lost:
            where = f"; the {len(flight) * flight.dt_s:.2f} s flown until then are in {self._path(flight)}"
            message = f"{lost}{where if keep and len(flight) else ''}"
            if self.landed:
                self.run.record(fly={"rows": [], "lost": message})
            raise BoardLostError(message) from lost
        return flight

    def _land(self, flight: Flight) -> None:
        path = flight.save(self._path(flight))
        if not self.landed:  # only now: neither a board that does not come up nor a full disk costs earlier flights
            self.run.record(fly={"rows": []})
            for old in set(self.run.flights.glob("*.npz")) - {path}:
                if not old.name.startswith(GUARDED):
                    old.unlink()
        self.landed.append(flight)

    def _path(self, flight: Flight) -> Path:
        return self.run.flights / f"{flight.name}.npz"


class _Log:
    """A task in flight and what it did so far, one row a control period."""

    def __init__(self, task: Task, spec: PolicySpec) -> None:
        self._task, self._spec = task, spec
        layout = Layout(task.channels)
        self._columns = layout.indices(tuple(c.name for c in spec.observations))
        self._commands = {c.name: layout.indices((c.name,)) for c in spec.observations if c.source == "command"}
        self._obs = task.observe()
        self._values: dict[str, list[np.ndarray]] = {}
        self._status: list[int] = []
        self._last: Answer | None = None
        self.answer_s: list[float] = []
        self.instructions: list[int] = []

    def __len__(self) -> int:
        return len(self._status)

    def arm(self, session: Session) -> None:
        session.disarm()
        session.reset()
        session.observe(self._measured())
        session.arm()

    def step(self, session: Session) -> None:
        """One observation, and as many periods of the machine as passed on the board until it acted on it: a line too
        slow for the board's timer does not slow the machine down. Between two answers actuators keep what the first
        one said.

        Raises ConnectionError when the board is lost; the period is then not logged.
        """
        measured, asked = self._measured(), time.perf_counter()
        answer = session.observe(measured)
        self.answer_s.append(time.perf_counter() - asked)
        self.instructions.append(answer.ticks_spent)
        if self._last:
            for _ in range(answer.tick - self._last.tick - 1):
                self._advance(self._last)
        self._advance(answer)
        self._last = answer

    def _advance(self, answer: Answer) -> None:
        """A period of the machine under what a board said."""
        action = np.array(answer.action)
        asked = {name: self._obs.flat[:, columns] for name, columns in self._commands.items()}
        for name, value in {**asked, **self._task.snapshot(), "action": torch.from_numpy(action)[None]}.items():
            self._values.setdefault(name, []).append(value[0].numpy().copy())
        self._status.append(STATUS.index("fallback" if answer.tripped else "policy" if answer.armed else "disarmed"))
        self._obs, *_ = self._task.step(torch.from_numpy(action)[None])

    def flight(self, name: str, timing: dict[str, np.ndarray], about: dict[str, Any]) -> Flight:
        commands = [c for c in self._spec.observations if c.name in self._commands]
        units = {c.name: c.unit for c in commands}
        units |= {**self._task.snapshot_units(), "action": self._spec.actions[0].unit}
        names = {**{c.name: c.element_names for c in commands}, "action": self._spec.action_names}
        columns = {n: Column(np.stack(v), units[n], names.get(n, ())) for n, v in self._values.items()}
        return Flight(name, self._task.step_dt, columns, np.array(self._status, np.uint8), timing, about)

    def _measured(self) -> np.ndarray:
        return self._obs.flat[0, self._columns].numpy()


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
