"""The safety envelopes of many machines at once, a row a machine: `runtime/envelope.py` in arrays.

The same operations in the same order in 32-bit floats; a test drives both with the same hostile inputs and demands the
same bits. All are armed. One envelope in Python takes 0.1 ms a period, which a qualification of a hundred thousand
episodes cannot wait for.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from robostack.runtime.envelope import (
    COUNT_MAX,
    F32_MAX,
    MAX_NORM2,
    MIN_NORM2,
    ONE,
    TWO,
    ZERO,
    Reason,
    clamp,
    control_dt,
    float32,
    slew_per_s,
)
from robostack.spec import Cut, HoldLast, LevelDescend, PolicySpec, RampTo

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]


class Envelopes:
    """`count` of them; where `guarded` (count,) is false there is none: samples are held, nothing trips or limits."""

    def __init__(self, spec: PolicySpec, count: int, guarded: Mask | None = None) -> None:
        self.spec, channels = spec, spec.observations
        self.guarded = np.ones(count, bool) if guarded is None else guarded
        self._dt_s = control_dt(spec)
        self._low = float32((v for c in channels for v in c.per_element("low")), "observations.low")
        self._high = float32((v for c in channels for v in c.per_element("high")), "observations.high")
        self._max_age_s = float32((c.max_age_s for c in channels), "observations.max_age_s")
        self._hold_periods = np.array([c.hold_periods for c in channels])
        self._size = np.array([c.size for c in channels])
        self._offset = np.cumsum(self._size) - self._size
        self._index = {c.name: i for i, c in enumerate(channels)}
        self._action_low = float32(spec.action_limit("low"), "actions.low")
        self._action_high = float32(spec.action_limit("high"), "actions.high")
        self._slew_per_s = slew_per_s(spec)
        tumble = spec.envelope.tumble
        self._tumble_cos = np.float32(math.cos(tumble.max_tilt_rad)) if tumble else ZERO
        self._tumble_for_s = np.float32(tumble.for_s) if tumble else ZERO
        n, c = count, len(channels)
        self._seen, self._valid = np.zeros((n, c), bool), np.zeros((n, c), bool)
        self._bad, self._periods = np.zeros((n, c), np.int64), np.zeros((n, c), np.int64)
        self._sent_age_s = np.zeros((n, c), np.float32)
        self.observation = np.zeros((n, spec.observation_size), np.float32)
        """(count, observations) the samples held"""
        self.applied_action = np.tile(float32(spec.action_limit("neutral"), "actions.neutral"), (n, 1))
        """(count, actions) what the actuators got last"""
        self.reason = np.zeros(n, np.int64)
        """(count,) a Reason"""
        self.tripped = np.zeros(n, bool)
        self._tumbled = np.zeros(n, bool)
        self._tilted_ticks, self._descend_ticks = np.zeros(n, np.int64), np.zeros(n, np.int64)

    def observe(self, rows: Rows, observation: Array, fresh: Mask, age_s: Array, missed: npt.ArrayLike = 0) -> Mask:
        """A tick of the envelopes `rows` (n,): (n, observations), (n, channels) fresh and age, (n,) periods without a
        tick before this one -> (n,) bool, where the policy may act."""
        with np.errstate(all="ignore"):
            guarded = self.guarded[rows, None]
            inside = (observation >= self._low) & (observation <= self._high)
            good = np.logical_and.reduceat(inside, self._offset, axis=1) & (age_s >= ZERO) & (age_s <= F32_MAX)
            good |= ~guarded
            periods = np.minimum(self._periods[rows] + 1 + np.reshape(missed, (-1, 1)), COUNT_MAX)
            sent, seen = self._sent_age_s[rows], self._seen[rows]
            take = fresh & good & (~seen | (age_s <= self._age(sent, periods)))
            sent = np.where(take, age_s, sent)
            periods = np.where(take, 0, periods)
            bad = np.where(take, 0, np.minimum(self._bad[rows] + (fresh & ~good), COUNT_MAX))
            seen |= take
            wide = np.repeat(take, self._size, axis=1)
            self.observation[rows] = np.where(wide, observation, self.observation[rows])
            age = self._age(sent, periods)
            valid = seen & (age <= self._max_age_s) & (bad <= self._hold_periods)
        self._sent_age_s[rows], self._periods[rows], self._bad[rows] = sent, periods, bad
        self._seen[rows], self._valid[rows] = seen, valid
        lost = ~valid.all(1)
        if lost.any():
            which = np.argmin(valid, axis=1)[:, None]
            first_seen = np.take_along_axis(seen, which, 1)[:, 0]
            fits = np.take_along_axis(age, which, 1)[:, 0] <= self._max_age_s[which[:, 0]]
            reason = np.where(~first_seen, Reason.NEVER_SEEN, np.where(fits, Reason.INVALID, Reason.STALE))
            self._trip(rows[lost], reason[lost])
        self._check_tumble(rows)
        return ~self.tripped[rows]

    def _age(self, sent: Array, periods: npt.NDArray[np.int64]) -> Array:
        return sent + periods.astype(np.float32) * self._dt_s

    def _trip(self, rows: Rows, reason: npt.ArrayLike) -> None:
        new = self.guarded[rows] & ~self.tripped[rows]
        self.reason[rows] = np.where(new, reason, self.reason[rows])
        self.tripped[rows] |= new

    def _check_tumble(self, rows: Rows) -> None:
        tumble = self.spec.envelope.tumble
        if tumble is None:
            return
        i = self._index[tumble.attitude]
        *_, cos_tilt, normal = self._tilt(rows, i)
        upright = normal & (cos_tilt >= self._tumble_cos)
        still = upright | ~self._valid[rows, i]
        ticks = np.where(still, 0, np.minimum(self._tilted_ticks[rows] + 1, COUNT_MAX))
        self._tilted_ticks[rows] = ticks
        over = ticks.astype(np.float32) * self._dt_s > self._tumble_for_s
        self._tumbled[rows[over]] = self.guarded[rows[over]]
        self._trip(rows[over], Reason.TUMBLE)

    def _tilt(self, rows: Rows, channel: int) -> tuple[Array, Array, Array, Mask]:
        """(n,) tilt_x, tilt_y, cos(tilt) of the quat_wxyz in `channel`, and where it can be normalised."""
        offset = self._offset[channel]
        w, x, y, z = self.observation[rows, offset : offset + 4].T
        with np.errstate(all="ignore"):
            norm2 = w * w + x * x + y * y + z * z
            normal = (norm2 >= MIN_NORM2) & (norm2 <= MAX_NORM2)
            s = TWO / norm2
            return s * (w * x + y * z), s * (w * y - x * z), ONE - s * (x * x + y * y), normal

    def trip_state(self, rows: Rows) -> None:
        """The policy's next state is not finite in these."""
        self._trip(rows, Reason.NON_FINITE_STATE)

    def act(self, rows: Rows, action: Array) -> Array:
        """(n, actions) of the policy, NaN where it was not called -> (n, actions) what the actuators must get."""
        guarded = self.guarded[rows]
        self._trip(rows[~np.isfinite(action).all(1)], Reason.NON_FINITE_ACTION)
        tripped, last = self.tripped[rows], self.applied_action[rows]
        with np.errstate(all="ignore"):
            limited = np.where(guarded[:, None], self._limited(action, last), action)
            applied = np.where(tripped[:, None], last, limited)
            if tripped.any():
                applied[tripped] = self._fallen_back(rows[tripped])
        self.applied_action[rows] = applied
        return applied.copy()

    def _limited(self, action: Array, last: Array) -> Array:
        action = clamp(action, self._action_low, self._action_high)
        if self._slew_per_s is not None:
            step = self._slew_per_s * self._dt_s
            action = np.where(self._slew_per_s > ZERO, clamp(action, last - step, last + step), action)
        return clamp(action, self._action_low, self._action_high)

    def _fallen_back(self, rows: Rows) -> Array:
        """Of the tripped: the first rung that can act, of the tumbled the last."""
        ladder = self.spec.envelope.fallback
        applied = self.applied_action[rows]
        left = np.ones(len(rows), bool)
        for i, rung in enumerate(ladder):
            asked = left & (~self._tumbled[rows] | (i == len(ladder) - 1))
            if not asked.any():
                continue
            action = np.full_like(applied, np.nan)
            match rung:
                case LevelDescend():
                    action[asked] = self._level_descend(rung, rows[asked])
                case RampTo():
                    step = np.array(rung.rate_per_s, np.float32) * self._dt_s
                    action[asked] = clamp(
                        np.array(rung.target, np.float32), applied[asked] - step, applied[asked] + step
                    )
                case HoldLast():
                    action[asked] = applied[asked]
                case Cut():
                    action[asked] = np.array(rung.value, np.float32)
            acts = asked & np.isfinite(action).all(1)
            applied[acts] = clamp(action[acts], self._action_low, self._action_high)
            if isinstance(rung, LevelDescend):
                self._descend_ticks[rows[acts]] = np.minimum(self._descend_ticks[rows[acts]] + 1, COUNT_MAX)
            left &= ~acts
        return applied

    def _level_descend(self, rung: LevelDescend, rows: Rows) -> Array:
        """NaN where it cannot act."""
        attitude, body_rate, velocity = (self._index[n] for n in (rung.attitude, rung.body_rate, rung.velocity))
        tilt_x, tilt_y, _, normal = self._tilt(rows, attitude)
        ticks = np.minimum(self._descend_ticks[rows] + 1, COUNT_MAX).astype(np.float32)
        able = self._valid[rows, attitude] & self._valid[rows, body_rate] & normal
        able &= ~(ticks * self._dt_s > np.float32(rung.max_s))
        rate = self.observation[rows][:, self._offset[body_rate] :][:, :3].T
        v_z = np.where(self._valid[rows, velocity], self.observation[rows, self._offset[velocity] + 2], ZERO)
        action = np.tile(np.array(rung.base, np.float32), (len(rows), 1))
        gain = np.array(rung.gain, np.float32)
        for column, signal in zip(gain.T, (tilt_x, tilt_y, *rate, v_z), strict=True):
            action = action + column * signal[:, None]
        action[~able] = np.nan
        return action
