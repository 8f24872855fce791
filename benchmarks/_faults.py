"""Faults at random moments of a quadrotor's flight, and what has to become of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _fleet import Fleet, Seen

from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.learn.trained import as_reference, load_run, policy_spec
from robostack.run_folder import RunFolder
from robostack.runtime.envelope import Reason
from robostack.spec import Channel, PolicySpec
from robostack.task import Layout
from robostack_real.link.frame import encode
from robostack_real.link.protocol import Message, Type, Verdict, observe_payload
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.task import Quadrotor

KINDS = ("nan", "stale", "crc", "overrun", "flood", "wrong_digest", "tumble", "link_loss", "low_battery")
CELL_V = 4.2
BATTERY = Channel(name="battery", shape=(1,), unit="V", low=(3.0,), high=(4.4,), max_age_s=0.1)
"""Watched by the envelope and read by no policy: a low battery is an invalid sample."""
ON_ITS_BACK = (0.0, 1.0, 0.0, 0.0)  # quat_wxyz


def export_watched(run: RunFolder, path: Path) -> LoadedPolicy:
    """The run's best policy with one channel more in its contract: BATTERY."""
    task, actor = load_run(run)
    spec = policy_spec(task, actor, {})
    spec = spec.model_copy(update={"observations": (*spec.observations, BATTERY)})
    return export_onnx(actor, spec, path, reference=as_reference(actor))


def flying(num_envs: int, moving_share: float = 0.5) -> Quadrotor:
    """In the air near the origin, disturbed, noisy and late, half of them after a moving reference."""
    return Quadrotor(
        QuadrotorConfig(
            num_envs=num_envs, origin_share=1.0, idle_share=1.0, moving_share=moving_share, delay_s=(0.0, 0.02),
            reference_acceleration_m_s2=(0.0, 3.0), box_m=1e6, episode_s=1e4,
        )
    )  # fmt: skip


@dataclass
class Fault:
    """One flight with one fault, and what became of it. Periods count from the first of the flight."""

    kind: str
    at: int
    """the first period of it"""
    rng: np.random.Generator
    channel: int = -1
    due: int | None = None
    """the last period in which the fallback may begin; None: it must not begin"""
    tripped_at: int | None = None
    cause: tuple[int, int] = (0, -1)
    """reason and channel that the board gave"""
    wanted: tuple[int, int] = (0, -1)
    """and that it had to give; channel -1 stands for any"""
    unclamped: int = 0
    unlatched: int = 0
    hung: bool = False
    refused: bool = True
    """every ARM with a wrong digest was"""
    bad_value: float = np.nan
    repeats: bool = False
    """a stale channel's sensor repeats its last sample and says how old it is; else it is silent"""

    @property
    def late(self) -> int | None:
        """Periods that the fallback began after `due`; None where none had to begin or none did."""
        return None if self.due is None or self.tripped_at is None else self.tripped_at - self.due

    @property
    def false_trip(self) -> bool:
        early = self.tripped_at is not None and self.tripped_at < self.at
        return early or (self.due is None and self.tripped_at is not None)

    @property
    def held(self) -> bool:
        """The fallback began in time, or flight went on where nothing had to end it."""
        begun = self.due is None or (self.late is not None and self.late <= 0)
        named = self.due is None or all(w in (c, -1) for w, c in zip(self.wanted, self.cause, strict=True))
        return (
            begun and named and self.refused and not (self.false_trip or self.unclamped or self.unlatched or self.hung)
        )


def draw(kind: str, spec: PolicySpec, between: tuple[int, int], rng: np.random.Generator) -> Fault:
    """A fault of this kind that begins in `between` (periods, inclusive)."""
    fault = Fault(kind, int(rng.integers(between[0], between[1] + 1)), rng)
    ages = [round(c.max_age_s / spec.control_dt_s) for c in spec.observations]
    soonest = int(np.argmin(ages))
    if kind in ("nan", "stale"):
        fault.channel = int(rng.integers(len(ages)))
        fault.due = fault.at + ages[fault.channel]
        fault.wanted = (Reason.INVALID if kind == "nan" else Reason.STALE, fault.channel)
        limit = spec.observations[fault.channel].per_element("high")[0]
        fault.repeats = bool(rng.integers(2))
        fault.bad_value = float(rng.choice([np.nan, np.inf, -np.inf, 1.001 * limit, 3e38]))
    elif kind in ("crc", "link_loss"):
        fault.due, fault.wanted = fault.at + ages[soonest], (Reason.STALE, soonest)
    elif kind == "tumble":
        tumble = spec.envelope.tumble
        assert tumble is not None
        fault.due = fault.at + round(tumble.for_s / spec.control_dt_s)
        fault.wanted = (Reason.TUMBLE, [c.name for c in spec.observations].index(tumble.attitude))
    return fault


class Flights:
    """A fleet and as many flights, flown together."""

    def __init__(self, fleet: Fleet, task: Quadrotor, policy: LoadedPolicy) -> None:
        self.fleet, self.task, self.spec = fleet, task, policy.spec
        self.policy_hash = bytes.fromhex(policy.policy_hash)
        self._names = [c.name for c in self.spec.observations]
        self._columns = Layout(task.channels).indices(tuple(n for n in self._names if n != BATTERY.name))
        self._low, self._high = (np.array(self.spec.action_limit(f), np.float32) for f in ("low", "high"))
        self._ages = [round(c.max_age_s / self.spec.control_dt_s) for c in self.spec.observations]
        self.all_fresh = [True] * len(self._ages), [0.0] * len(self._ages)
        self._starts = np.cumsum([0, *(c.size for c in self.spec.observations)])

    def fly(self, faults: Sequence[Fault], periods: int, seed: int) -> None:
        """Flies each fault's flight to its end and writes down there what became of it."""
        self.task.reset(seed)
        self.fleet.start()
        misses = np.zeros(len(faults), np.int64)
        action = torch.tensor([self.spec.action_limit("neutral")] * len(faults))
        for period in range(periods):
            self._plant(faults, period)
            values = self.measured()
            for fault, v in zip(faults, values, strict=True):
                if fault.kind == "low_battery" and fault.due is None and v[-1] < BATTERY.low[0]:
                    fault.at, fault.due = period, period + self._ages[-1]
                    fault.wanted = (Reason.INVALID, len(self._ages) - 1)
            wires = [self._wire(fault, period, v) for fault, v in zip(faults, values, strict=True)]
            overrun = [int(f.rng.integers(1, 61)) if f.kind == "overrun" and f.at == period else 0 for f in faults]
            seen = self.fleet.period(wires, np.array(overrun, np.uint32))
            self.fleet.sequence += 2
            missed = seen.deadline_misses - misses
            self._judge(faults, period, seen, missed)
            for i in np.flatnonzero(missed):
                self._coast(int(i), int(missed[i]), action)
            misses, action = seen.deadline_misses.astype(np.int64), torch.from_numpy(seen.action)
            self.task.step(action)

    def _coast(self, i: int, periods: int, action: torch.Tensor) -> None:
        """The machine of a board that is held up goes on under its last action."""
        others = self.task.state.clone()
        for _ in range(periods):
            self.task.step(action)
        others[i] = self.task.state[i]
        self.task.state.copy_(others)

    def measured(self) -> np.ndarray:
        """(n, observation_size)"""
        sensed = self.task.observe().flat[:, self._columns].numpy()
        return np.concatenate([sensed, CELL_V * self.task.state[:, S.BATTERY, None].numpy()], 1)

    def _plant(self, faults: Sequence[Fault], period: int) -> None:
        """What happens to the machine itself."""
        state, params = self.task.state, self.task.params
        for i, fault in enumerate(faults):
            if fault.kind == "tumble" and period >= fault.at:
                for start in (0, S.BEFORE):
                    state[i, start + S.ATTITUDE : start + S.ATTITUDE + 4] = torch.tensor(ON_ITS_BACK)
                    state[i, start + S.VELOCITY : start + S.RATE + 3] = 0.0
            if fault.kind == "low_battery" and period == fault.at and fault.due is None:
                params[i, P.DISCHARGE] = float(fault.rng.uniform(0.6, 3.0))

    def _wire(self, fault: Fault, period: int, values: np.ndarray) -> bytes:
        """The bytes of this period: an observation, damaged or not, and what comes with it."""
        n, on = len(self._ages), period >= fault.at
        fresh, ages = [True] * n, [0.0] * n
        if on and fault.kind == "nan":
            first, after = self._starts[fault.channel : fault.channel + 2]
            values = values.copy()
            values[fault.rng.integers(first, after)] = fault.bad_value
        if on and fault.kind == "stale":
            if fault.repeats:
                ages[fault.channel] = (period - fault.at + 1) * self.spec.control_dt_s
            else:
                fresh[fault.channel] = False
        sequence = self.fleet.sequence
        wire = encode(bytes(Message(Type.OBSERVE, sequence, observe_payload(values, fresh, ages))))
        if on and fault.kind == "crc":
            wire = damaged(wire, fault.rng)
        if on and (fault.kind == "link_loss" or (fault.kind == "overrun" and period == fault.at)):
            wire = b""
        if on and fault.kind == "flood":
            questions = encode(bytes(Message(Type.HELLO, 0))) * int(fault.rng.integers(0, 10))
            wire = fault.rng.bytes(int(fault.rng.integers(0, 900))) + questions + wire + fault.rng.bytes(20)
        wrong = fault.kind == "wrong_digest" and (period == 0 or fault.at <= period < fault.at + 20)
        if wrong:
            wire += encode(bytes(Message(Type.ARM, sequence + 1, fault.rng.bytes(32))))
        elif period == (1 if fault.kind == "wrong_digest" else 0):
            wire += encode(bytes(Message(Type.ARM, sequence + 1, self.policy_hash)))
        return wire

    def _judge(self, faults: Sequence[Fault], period: int, seen: Seen, missed: np.ndarray) -> None:
        inside = np.all(np.isfinite(seen.action) & (seen.action >= self._low) & (seen.action <= self._high), axis=1)
        for i, fault in enumerate(faults):
            fault.unclamped += not inside[i]
            fault.hung |= int(seen.tick[i]) != period + 1
            if fault.kind == "overrun" and fault.at == period:
                if missed[i] + 1 > min(self._ages):  # the board's own clock says how long it was away
                    fault.due, fault.wanted = period, (Reason.STALE, -1)
            elif missed[i] and fault.kind != "overrun":
                fault.hung = True
            if fault.kind == "wrong_digest" and (period == 0 or fault.at <= period < fault.at + 20):
                armed = period > 0
                neutral = (seen.action[i] == np.array(self.spec.action_limit("neutral"), np.float32)).all()
                fault.refused &= seen.verdict[i] == Verdict.WRONG_POLICY and bool(seen.armed[i]) == armed
                fault.refused &= armed or bool(neutral)
            if seen.tripped[i] and fault.tripped_at is None:
                fault.tripped_at, fault.cause = period, (int(seen.reason[i]), int(seen.channel[i]))
            fault.unlatched += fault.tripped_at is not None and not (seen.tripped[i] and seen.rung[i] >= 0)


def bad_line(flights: Flights, seconds: float, loss: float, late: float, seed: int) -> tuple[int, np.ndarray]:
    """Flies over a line that loses this share of frames and delivers that share a period late, in any order with the
    next. Returns how many frames were lost, and the period in which each flight tripped, -1 for none."""
    fleet, rng, n = flights.fleet, np.random.default_rng(seed), flights.fleet.size
    flights.task.reset(seed)
    flights.task.params[:, P.DISCHARGE] = 0.0  # ten minutes are more than a battery has, and the board would say so
    fleet.start()
    lost, tripped_at, waiting = 0, np.full(n, -1), [b""] * n
    for period in range(round(seconds / flights.spec.control_dt_s)):
        arm = encode(bytes(Message(Type.ARM, fleet.sequence + 1, flights.policy_hash))) if period == 0 else b""
        wires = []
        for i, values in enumerate(flights.measured()):
            frame = encode(bytes(Message(Type.OBSERVE, fleet.sequence, observe_payload(values, *flights.all_fresh))))
            draw_line = rng.random() if period else 1.0
            lost += draw_line < loss
            now = b"" if draw_line < loss + late else frame
            wires.append((now + waiting[i] if rng.random() < 0.5 else waiting[i] + now) + arm)
            waiting[i] = frame if loss <= draw_line < loss + late else b""
        seen = fleet.period(wires, np.zeros(n, np.uint32))
        fleet.sequence += 2
        tripped_at = np.where((tripped_at < 0) & (seen.tripped != 0), period, tripped_at)
        flights.task.step(torch.from_numpy(seen.action))
    return lost, tripped_at


def damaged(wire: bytes, rng: np.random.Generator) -> bytes:
    """A frame with flipped bits, lost or gained bytes, or its end cut off; its outer delimiters are left alone, since a
    frame is whole without them when its neighbours have theirs."""
    bad = bytearray(wire)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(1, len(bad) - 1))
        match rng.integers(4):
            case 0:
                bad[at] ^= 1 << int(rng.integers(8))
            case 1 if len(bad) > 8:
                del bad[at]
            case 2:
                bad.insert(at, int(rng.integers(1, 256)))
            case _ if len(bad) > 16:
                del bad[at + 1 : -1]
    return bytes(bad) if bytes(bad) != wire else damaged(wire, rng)
