"""What lies between a plant's sensors and a policy: noise, bias, silence, loss, lateness, a liar; a row an episode."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robostack.qualify.condition import Condition, Message
from robostack.spec import Channel, LevelDescend, PolicySpec

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Link:
    """Of N episodes under `conditions` (N,), each of `steps` periods. Rows that are nominal pass to the bit."""

    def __init__(self, spec: PolicySpec, conditions: Sequence[Condition], steps: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        n, channels = len(conditions), spec.observations
        ends = np.cumsum([c.size for c in channels]).tolist()
        self.slices = {c.name: slice(end - c.size, end) for c, end in zip(channels, ends, strict=True)}
        std = [v * (c.source == "sensor") for c in channels for v in c.per_element("noise_std")]
        noise, bias = np.array([[c.noise, c.bias] for c in conditions]).T
        # the plant's own noise is there already
        self._extra_std = (np.sqrt(np.maximum(noise**2 - 1.0, 0.0))[:, None] * std).astype(np.float32)
        sign = self._random.choice([-1.0, 1.0], (n, len(std)))
        self._bias = (bias[:, None] * sign * std).astype(np.float32)
        self._low = np.array([v for c in channels for v in c.per_element("low")], np.float32)
        self._high = np.array([v for c in channels for v in c.per_element("high")], np.float32)
        self._late = np.array([c.late_periods for c in conditions])
        self.age_s = np.tile((spec.control_dt_s * self._late[:, None]).astype(np.float32), len(channels))
        """(N, channels) how old each sample says it is"""
        self._past: deque[Array] = deque(maxlen=1 + int(self._late.max()))
        self._loss = np.array([c.loss for c in conditions])
        self._silence(channels, np.array([c.outage_periods for c in conditions]), steps)
        self._lies = [
            _Lie.of(messages, self.slices[name])
            for name in self.slices
            if (messages := {i: c.message for i, c in enumerate(conditions) if c.message and c.message.channel == name})
        ]
        unit = {spec.envelope.tumble.attitude} if spec.envelope.tumble else set()
        unit |= {r.attitude for r in spec.envelope.fallback if isinstance(r, LevelDescend)}
        touched = self._extra_std.any(1) | (self._bias != 0.0).any(1)
        lied = {lie.where.start: lie.rows.tolist() for lie in self._lies}
        self._unit = [
            (where, rows)
            for where in (self.slices[name] for name in sorted(unit))
            if len(rows := np.union1d(np.flatnonzero(touched), lied.get(where.start, [])).astype(int))
        ]
        """quaternions that are no longer of length 1 by themselves: a driver makes them so"""

    def _silence(self, channels: Sequence[Channel], periods: npt.NDArray[np.int64], steps: int) -> None:
        """Which sensor is silent from when to when; the first sample is always heard."""
        sensors, n = [i for i, c in enumerate(channels) if c.source == "sensor"], len(periods)
        self._silent = self._random.choice(sensors or [0], n)
        self._from = 1 + (self._random.random(n) * np.maximum(steps - periods, 1)).astype(int)
        self._until = self._from + periods * bool(sensors)
        self._channels = len(channels)

    def through(self, sensed: Array, period: int) -> tuple[Array, Mask]:
        """(N, observations) as the plant's sensors say it -> as it arrives, and (N, channels) whether it does. The
        first samples arrive whatever the condition: nobody arms before."""
        said = sensed
        if self._lies:
            said = self._lied(said)
        if self._extra_std.any():
            said = said + self._extra_std * self._random.standard_normal(said.shape, np.float32)
        if self._bias.any():
            said = said + self._bias
        for where, rows in self._unit:
            said = said.copy() if said is sensed else said
            turned = said[rows, where]
            said[rows, where] = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-6)
        self._past.append(said)
        if self._late.any():
            held = np.stack(self._past)
            said = held[np.maximum(len(held) - 1 - self._late, 0), np.arange(len(said))]
        fresh = np.ones((len(said), self._channels), bool)
        if period > 0:
            fresh &= self._random.random((len(said), 1)) >= self._loss[:, None]
            out = np.flatnonzero((self._from <= period) & (period < self._until))
            fresh[out, self._silent[out]] = False
        return said, fresh

    def _lied(self, sensed: Array) -> Array:
        said = sensed.copy()
        for lie in self._lies:
            heard = (sensed[lie.rows] * lie.read).sum(1) + lie.bias
            move = lie.reach * np.tanh(lie.spread * heard[:, None] + lie.offset)
            base = np.where(np.isnan(lie.middle), said[lie.rows, lie.where], lie.middle)
            said[lie.rows, lie.where] = np.clip(base + move, self._low[lie.where], self._high[lie.where])
        return said


@dataclass(frozen=True)
class _Lie:
    """The messages on one channel: a row each; `middle` is NaN where there is none."""

    where: slice
    rows: npt.NDArray[np.intp]
    read: Array
    bias: Array
    spread: Array
    offset: Array
    reach: Array
    middle: Array

    @classmethod
    def of(cls, messages: Mapping[int, Message], where: slice) -> _Lie:
        def stack(values: Iterable[object]) -> Array:
            return np.array(list(values), np.float32)

        told = list(messages.values())
        nothing = (np.nan,) * (where.stop - where.start)
        return cls(
            where, np.array(list(messages)), stack(m.read for m in told), stack(m.bias for m in told),
            stack(m.spread for m in told), stack(m.offset for m in told), stack(m.reach for m in told),
            stack(m.middle or nothing for m in told),
        )  # fmt: skip
