"""A guarded flight: a machine flies a policy while the host watches, and lands under its own controller on any doubt.

    checks -> take off -> hand over -> follow -> hand back -> land

Take-off and landing are the machine's own. The policy flies only between hand-over and hand-back; whatever the machine
itself does against a bad policy (its envelope, its supervisor) does not depend on this host. When the link is lost
nothing can be asked any more: the machine's own watchdog acts on setpoints that do not come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robostack.evaluate import bag
from robostack.evaluate.flight import GUARDED, STATUS, Column, Flight, FlightError, rms_position_error
from robostack.evaluate.trajectory import Trajectory
from robostack.export.onnx import LoadedPolicy
from robostack.hosts import Check, FlyingHost, Telemetry
from robostack.run_folder import RunFolder
from robostack.runtime import loop
from robostack.spec import ContractError

PERIOD_S = 0.02
TAKE_OFF_S, SETTLE_S, LAND_S = 2.0, 1.0, 2.0
"""under the machine's own controller"""
TAKE_OFF_MOST_S, THERE_M, THERE_M_S = 15.0, 0.2, 0.2
"""that a machine at its own pace may take, and how near and how slow it has to be then, on any axis"""


@dataclass(frozen=True)
class Limits:
    """Past any of these the policy has to hand back."""

    error_m: float = 0.5
    """from the reference, on any axis"""
    fence_m: float = 1.6
    """from above the take-off point, along the floor"""
    height_m: float = 2.0
    supply_v: float = 3.2
    """of a cell"""
    telemetry_age_s: float = 0.5
    hand_over_s: float = 1.0
    """that a machine may take to hand over"""


def doubt_of(told: Telemetry, home_m: np.ndarray, limits: Limits, reference_m: np.ndarray | None = None) -> str:
    """Why a machine that said this should not fly on under its policy; empty when it may. `home_m` is above where it
    took off, `reference_m` where it is asked to be."""
    offset = told.position_m - home_m
    if told.age_s > limits.telemetry_age_s:
        return f"no telemetry for {told.age_s:.1f} s"
    if not told.fit_to_fly:
        return told.ended or "the machine's supervisor does not let it fly"
    if told.supply_v < limits.supply_v:
        return f"the battery has {told.supply_v:.2f} V, less than {limits.supply_v:g} V"
    if np.hypot(offset[0], offset[1]) > limits.fence_m or told.position_m[2] > limits.height_m:
        return f"it left the fence at {np.round(told.position_m, 2).tolist()} m"
    if reference_m is not None and np.abs(told.position_m - reference_m).max() > limits.error_m:
        far = np.abs(told.position_m - reference_m).max()
        return f"it is {far:.2f} m off its reference, more than {limits.error_m:g} m"
    return ""


@dataclass
class Outcome:
    """How it went. `doubt` is why it ended early, empty where it did not."""

    checks: list[Check]
    doubt: str = ""
    flight: Flight | None = None
    began_ns: int = 0
    """Unix time of its first row"""


class RefusedToFly(ContractError):
    """A check before take-off failed; the message has each with its remedy."""


@dataclass
class _Rows:
    """The log, a row a period; see robostack.evaluate.flight.Flight."""

    values: dict[str, list[np.ndarray]] = field(default_factory=dict)
    status: list[int] = field(default_factory=list)

    def add(self, told: Telemetry, reference_m: np.ndarray, status: str, missed: int) -> None:
        """Again for each period that this host missed before."""
        row = {
            "position": told.position_m, "velocity": told.velocity_m_s, "attitude": told.attitude_wxyz,
            "reference": reference_m, "action": told.action, "supply": np.array([told.supply_v]),
        }  # fmt: skip
        for name, value in row.items():
            self.values.setdefault(name, []).extend([np.asarray(value, np.float32)] * (1 + missed))
        self.status.extend([STATUS.index(status)] * (1 + missed))


class GuardedFlight:
    """One flight; `fly()` once. `held` says whether the dead man's switch is down.

    `tell` gets a line at each stage.
    """

    def __init__(
        self,
        host: FlyingHost,
        policy: LoadedPolicy,
        trajectory: Trajectory,
        *,
        seconds: float,
        height_m: float = 0.5,
        limits: Limits | None = None,
        held: Callable[[], bool] | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.host, self.policy, self.trajectory = host, policy, trajectory
        self.seconds, self.height_m, self.limits = seconds, height_m, limits or Limits()
        self._held, self._tell = held or (lambda: True), tell
        self._rows, self._doubt = _Rows(), ""
        self._home = np.zeros(3)
        if held is None and host.needs_dead_man:
            raise RefusedToFly(
                f"{host.where} is a machine that can hurt somebody: it flies only while a hand holds a switch down; "
                "give --dead-man /dev/input/event... (a gamepad or keyboard; a terminal does not see a key let go)"
            )

    def fly(self) -> Outcome:
        """Raises RefusedToFly when a check fails, ConnectionError when the machine was lost before take-off. What
        happens in the air ends in a landing and an Outcome."""
        checks = self.host.preflight(self.policy)
        failed = [c for c in checks if not c.ok]
        if failed:
            listed = "\n  ".join(f"{c.what}: {c.found}; {c.remedy}" for c in failed)
            raise RefusedToFly(f"{self.host.where} does not take off:\n  {listed}")
        if not self._held():
            raise RefusedToFly(f"{self.host.where} does not take off: the dead man's switch is not held down")
        self.host.arm()
        began_ns = time.time_ns()
        try:
            self._in_the_air()
        except ConnectionError as error:
            self._doubt = f"{self._doubt}; {error}" if self._doubt else str(error)
        return Outcome(checks, self._doubt, self._flight(), began_ns)

    def _in_the_air(self) -> None:
        try:
            start = self.host.telemetry().position_m
            self._home = np.array([start[0], start[1], start[2] + self.height_m])
            self._tell(f"take off to {self.height_m:g} m")
            self.host.take_off(self.height_m, TAKE_OFF_S)
            self._rise()
            if not self._doubt:
                self._under_policy()
        finally:
            self._land()

    def _land(self) -> None:
        self._tell("hand back and land")
        try:
            self.host.hand_back()
            self.host.land(LAND_S)
        except KeyboardInterrupt:  # the second one: the first asked for this landing
            self.host.stop()
            self._doubt = "Ctrl-C while landing: motors stopped"

    def _rise(self) -> None:
        """Until the machine's own controller has it above where it stood."""
        begin, there = time.monotonic(), False

        def tick(missed: int) -> None:
            nonlocal there
            told = self._watched(self.host.telemetry(), None)
            self._rows.add(told, self._home, "stock", missed)
            off = np.abs(told.position_m - self._home)
            there = bool(off.max() < THERE_M and np.abs(told.velocity_m_s).max() < THERE_M_S)
            if there and time.monotonic() - begin > TAKE_OFF_S + SETTLE_S:
                raise loop.Stop

        self._loop(tick, TAKE_OFF_MOST_S)
        if not there and not self._doubt:
            self._doubt = f"it did not reach {self.height_m:g} m in {TAKE_OFF_MOST_S:g} s"

    def _under_policy(self) -> None:
        self._tell(f"the policy flies: {self.trajectory.name}, {self.seconds:g} s")
        begin = time.monotonic()
        asked = False
        took_over = False

        def tick(missed: int) -> None:
            nonlocal asked, took_over
            told = self.host.telemetry()
            took_over |= told.policy_flies
            reference = self.trajectory.at(max(0.0, time.monotonic() - begin - self.limits.hand_over_s))
            position = reference[0] + self._home
            self.host.setpoint(position, *reference[1:])
            if not asked:  # the first setpoint goes before
                self.host.hand_over()
                asked = True
            late = time.monotonic() - begin > self.limits.hand_over_s
            if (took_over or late) and not told.policy_flies:
                self._stop(told.ended or "the policy did not take over")
            self._rows.add(told, position, "policy" if told.policy_flies else "stock", missed)
            self._watched(told, position)

        self._loop(tick, self.seconds + self.limits.hand_over_s)

    def _loop(self, tick: Callable[[int], None], seconds: float) -> None:
        timing = loop.run(tick, PERIOD_S, stop=lambda: None, periods=round(seconds / PERIOD_S))
        if timing.interrupted and not self._doubt:
            self._doubt = "Ctrl-C"

    def _watched(self, told: Telemetry, reference_m: np.ndarray | None) -> Telemetry:
        """Stops the loop on the first doubt."""
        if not self._held():
            self._stop("the dead man's switch was let go")
        if doubt := doubt_of(told, self._home, self.limits, reference_m):
            self._stop(doubt)
        return told

    def _stop(self, doubt: str) -> None:
        self._doubt = self._doubt or doubt
        raise loop.Stop

    def _flight(self) -> Flight | None:
        if not self._rows.status:
            return None
        unit = ", ".join(dict.fromkeys(a.unit for a in self.policy.spec.actions))
        units = {"position": "m", "velocity": "m/s", "attitude": "1", "reference": "m", "action": unit, "supply": "V"}
        names = {"action": self.policy.spec.action_names}
        columns = {n: Column(np.stack(v), units[n], names.get(n, ())) for n, v in self._rows.values.items()}
        about = {
            "kind": self.trajectory.name,
            "transport": self.host.where.partition("://")[0],
            "board": self.host.where,
        }
        period = getattr(self.trajectory, "period_s", None)
        if period is not None:
            about["period_s"] = period
        if self._doubt:
            about["cut_short"] = self._doubt
        return Flight(
            f"{GUARDED}{self.trajectory.name}", PERIOD_S, columns, np.array(self._rows.status, np.uint8), {}, about
        )


def save(outcome: Outcome, policy: Path, root: Path, name: str, log: Literal["csv", "mcap"] = "csv") -> Path:
    """The whole flight as `name`.csv or .mcap, and what the policy flew as `name`.npz for the report: in the flights of
    the run that the policy lies in, else in `root`/flights. Returns the former's path. Raises RunFolderError."""
    run = RunFolder(policy.resolve().parent.parent)
    folder = run.flights if run.checkpoints.is_dir() else root / "flights"
    folder.mkdir(parents=True, exist_ok=True)
    assert outcome.flight is not None
    flown = replace(outcome.flight.under_policy(), name=name)
    if len(flown):
        flown.save(folder / f"{name}.npz")
    if log == "mcap":
        return bag.save(outcome.flight, folder / f"{name}.mcap", outcome.began_ns)
    return outcome.flight.save_csv(folder / f"{name}.csv")


def judge(outcome: Outcome, folder: Path) -> list[dict[str, Any]]:
    """Rows of figures, with the same flight in simulation beside where `folder` has one."""
    assert outcome.flight is not None
    flown = outcome.flight.under_policy()
    words = str(outcome.flight.about["kind"]).replace("_", "-")
    row: dict[str, Any] = {"bar": None, "better": "lower"}
    rows = [{**row, "what": f"{words}, flown by the policy", "value": PERIOD_S * len(flown), "unit": "s"}]
    if len(flown):
        simulated = [rms_position_error(f) for f in _simulated(folder, outcome.flight.about)]
        beside = {"reference": "in simulation", "reference_value": simulated[0]} if simulated else {}
        error = rms_position_error(flown)
        rows.append({**row, "what": f"{words}, RMS error", "value": error, "unit": "m", **beside})
    return rows


def _simulated(folder: Path, about: Mapping[str, Any]) -> list[Flight]:
    """Flights of the same kind and period that a board flew."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        try:
            flight = Flight.load(path) if not path.name.startswith(GUARDED) else None
        except FlightError:
            continue
        if flight and all(flight.about.get(k) == about.get(k) for k in ("kind", "period_s")):
            found.append(flight)
    return found
