"""The safety envelope between a policy and its actuators: this docstring is the specification of both ports.

`firmware/envelope/envelope.c` does the same operations in the same order in 32-bit floats (only + - * / and
comparisons; compiled without contraction of a*b+c), so the two agree bit for bit; a property test holds
them to it. One tick is `observe`, then the policy if `observe` returned true, then `act`.

**Channels.** A sample is *good* when every element is finite and within [low, high] and its reported age is
a finite number >= 0. Each tick, a channel's fresh good sample is taken: its age becomes the age it was sent
with, and its run of bad samples ends. A fresh bad sample is dropped and counted; no sample, or a good one
older than the one held (a late or reordered frame), changes nothing. What is held ages by control_dt_s a
tick. A channel is *valid* while it has had a good sample, its age is at most max_age_s, and its run of bad
samples is at most hold_periods. Bad frames age, they do not trip.

**Arming.** Disarmed, the action is neutral and the policy is not called; channels are followed all the
same, so that their ages can be read before arming and a slow channel's last sample still counts after it.
Arming clears a trip and its timers. Arming what is armed and not tripped changes nothing: a repeated frame
must not restart a flight.

**Trips.** Armed, the envelope trips on the first channel that is not valid (never_seen, stale or invalid),
on a tumble, and on a policy output that is not finite. A trip is latched, with its first reason, until
armed again.

**Tumble.** cos(tilt) = 1 - 2 (qx^2 + qy^2) / |q|^2 of the held quat_wxyz. While the attitude is valid, each
tick below cos(max_tilt_rad) counts control_dt_s; more than for_s on end trips. A quaternion that cannot be
normalised counts as upside down. A tumble goes straight to the last rung, also when something else had
tripped before.

**Action.** The policy's output is clamped to [low, high], then to slew_per_s * control_dt_s around the last
applied action, then to [low, high] again. `applied_action` is what the actuators got, whoever chose it.

**Fallback.** Tripped, each tick the first rung of the ladder that can act does: `level_descend` while
attitude and body rate are valid, for max_s in all since arming; `ramp_to` from the last applied action;
`hold_last`; `cut`. A result that is not finite is passed over; what is applied is clamped to [low, high].
So the output is finite and within its limits whatever comes in.

**level_descend.** With u = (2 (qx qz - qw qy), 2 (qy qz + qw qx), cos(tilt)), the world's up in the body
frame, tilt = u x (0, 0, 1) = (u_y, -u_x): tilt_x > 0 is a positive rotation about body x (the left side
up), tilt_y > 0 one about body y (the nose down, in a forward-left-up body). Tilt and body rate have the
same sign, so negative feedback is a gain row whose torque about an axis is -kp tilt - kd rate, and whose
thrust is -kv v_z. v_z counts as zero while the velocity is not valid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

import numpy as np
import numpy.typing as npt

from robostack.spec import ContractError, Cut, HoldLast, LevelDescend, PolicySpec, RampTo, Rung

Array = npt.NDArray[np.float32]

F32_MAX = np.finfo(np.float32).max
COUNT_MAX = 2**32 - 1
MIN_NORM2, MAX_NORM2 = np.float32(1e-12), np.float32(1e12)
"""|q|^2 within which a quaternion is normalised; outside, its squares lose their digits."""
ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)


class Reason(IntEnum):
    """Why the envelope tripped; the numbers are rs_reason_t's."""

    NONE = 0
    NEVER_SEEN = 1
    STALE = 2
    INVALID = 3
    TUMBLE = 4
    NON_FINITE_ACTION = 5
    NON_FINITE_STATE = 6


@dataclass(frozen=True)
class Status:
    """What the envelope does and why. `channel` is the one that tripped it; `rung` is the index in the
    fallback ladder that acted last tick, -1 for the policy or neutral; the age of a channel never seen is the
    time for which it has been watched."""

    armed: bool
    tripped: bool
    reason: Reason
    channel: str | None
    rung: int
    age_s: dict[str, float]


def float32(values: Iterable[float], where: str) -> Array:
    """`values` as 32-bit floats. Raises ContractError where one does not fit."""
    exact = np.array(list(values), dtype=np.float64)
    if not (np.abs(exact) <= F32_MAX).all():
        raise ContractError(f"{where}: {exact.tolist()} does not fit 32-bit floats; stay below {F32_MAX:.4g}")
    return exact.astype(np.float32)


def control_dt(spec: PolicySpec) -> np.float32:
    """The control period in 32 bits. Raises ContractError where it vanishes: nothing would ever age."""
    dt_s = float32([spec.control_dt_s], "control_dt_s")[0]
    if dt_s < np.finfo(np.float32).tiny:
        raise ContractError(f"control_dt_s: {spec.control_dt_s} is 0 in 32 bits; use seconds, such as 0.01")
    return np.float32(dt_s)


def slew_per_s(spec: PolicySpec) -> Array | None:
    """(actions,) slew limits, 0 where an element has none; None when none has."""
    if all(a.slew_per_s is None for a in spec.actions):
        return None
    return float32((v for a in spec.actions for v in a.slew_per_s or (0.0,) * a.size), "actions.slew_per_s")


def clamp(x: Array, low: Array, high: Array) -> Array:
    """Comparisons instead of np.clip, which may choose the other sign of zero than C does."""
    return np.where(x < low, low, np.where(x > high, high, x))


class Envelope:
    """The envelope of one policy; the module's docstring says what it does.

    Raises ContractError for a spec whose numbers do not fit 32 bits.
    """

    def __init__(self, spec: PolicySpec) -> None:
        self.spec = spec
        channels = spec.observations
        self._dt_s = control_dt(spec)
        self._low = float32((v for c in channels for v in c.per_element("low")), "observations.low")
        self._high = float32((v for c in channels for v in c.per_element("high")), "observations.high")
        self._max_age_s = list(float32((c.max_age_s for c in channels), "observations.max_age_s"))
        self._hold_periods = [c.hold_periods for c in channels]
        ends = np.cumsum([c.size for c in channels]).tolist()
        self._slices = [slice(end - c.size, end) for c, end in zip(channels, ends, strict=True)]
        self._channel = np.repeat(np.arange(len(channels)), [c.size for c in channels])
        self._index = {c.name: i for i, c in enumerate(channels)}

        self._action_low = float32(spec.action_limit("low"), "actions.low")
        self._action_high = float32(spec.action_limit("high"), "actions.high")
        self._neutral = float32(spec.action_limit("neutral"), "actions.neutral")
        self._slew_per_s = slew_per_s(spec)
        rungs = enumerate(spec.envelope.fallback)
        self._ladder = [self._rung(f"envelope.fallback[{i}]", rung) for i, rung in rungs]
        self._tumble = spec.envelope.tumble
        if self._tumble:
            self._tumble_cos = np.float32(math.cos(self._tumble.max_tilt_rad))
            self._tumble_for_s = float32([self._tumble.for_s], "envelope.tumble.for_s")[0]

        self._seen = [False] * len(channels)
        self._valid = [False] * len(channels)
        self._bad = [0] * len(channels)
        self._periods = [0] * len(channels)
        self._sent_age_s = [ZERO] * len(channels)
        self._age_s = [ZERO] * len(channels)
        self.observation = np.zeros(spec.observation_size, dtype=np.float32)
        """(observations,) the samples held, packed in contract order."""
        self.applied_action = self._neutral.copy()
        """(actions,) what the actuators got last."""

        self.armed = False
        self._clear()

    def _clear(self) -> None:
        self.tripped, self._tumbled = False, False
        self.reason, self.channel, self.rung = Reason.NONE, -1, -1
        self._tilted_ticks = self._descend_ticks = 0

    @property
    def status(self) -> Status:
        names = [c.name for c in self.spec.observations]
        channel = names[self.channel] if self.channel >= 0 else None
        ages = dict(zip(names, map(float, self._age_s), strict=True))
        return Status(self.armed, self.tripped, self.reason, channel, self.rung, ages)

    def arm(self, armed: bool = True) -> bool:
        """Arms or disarms; true when it (re)starts the policy, whose state must then be reset."""
        restarts = armed and (not self.armed or self.tripped)
        self.armed = armed
        if restarts:
            self._clear()
        return restarts

    def trip(self, reason: Reason, channel: int = -1) -> None:
        """Latches the fallback; the first reason stays."""
        if not self.tripped:
            self.tripped, self.reason, self.channel = True, reason, channel

    def missed(self, periods: int) -> None:
        """Ages every channel by `periods` control periods in which no tick ran."""
        self._periods = [min(p + periods, COUNT_MAX) for p in self._periods]

    def observe(self, observation: Array, fresh: Sequence[bool], age_s: Sequence[np.float32]) -> bool:
        """Takes this tick's samples: (observations,) packed values, (channels,) which are fresh and how old
        they were when sent. Returns true when the policy may act."""
        held = self.observation.copy()  # what a policy was given stays as it was
        with np.errstate(all="ignore"):
            outside = self._channel[~((observation >= self._low) & (observation <= self._high))].tolist()
            self.missed(1)
            for i, (is_fresh, sent_age_s) in enumerate(zip(fresh, age_s, strict=True)):
                if is_fresh and (i in outside or not ZERO <= sent_age_s <= F32_MAX):
                    self._bad[i] = min(self._bad[i] + 1, COUNT_MAX)
                elif is_fresh and (not self._seen[i] or sent_age_s <= self._age(i)):
                    held[self._slices[i]] = observation[self._slices[i]]
                    self._seen[i], self._sent_age_s[i], self._periods[i], self._bad[i] = True, sent_age_s, 0, 0
                self._age_s[i] = self._age(i)
                fit = self._age_s[i] <= self._max_age_s[i] and self._bad[i] <= self._hold_periods[i]
                self._valid[i] = self._seen[i] and bool(fit)
        self.observation = held
        if self.armed:
            self._check_channels()
            self._check_tumble()
        return self.armed and not self.tripped

    def _age(self, channel: int) -> np.float32:
        """Counted periods instead of a running sum, which would drift and then stand still."""
        return self._sent_age_s[channel] + np.float32(self._periods[channel]) * self._dt_s

    def _check_channels(self) -> None:
        if all(self._valid):
            return
        i = self._valid.index(False)
        if not self._seen[i]:
            self.trip(Reason.NEVER_SEEN, i)
        elif not self._age_s[i] <= self._max_age_s[i]:
            self.trip(Reason.STALE, i)
        else:
            self.trip(Reason.INVALID, i)

    def _check_tumble(self) -> None:
        if not self._tumble:
            return
        i = self._index[self._tumble.attitude]
        tilt = self._tilt(i)
        upright = tilt is not None and tilt[2] >= self._tumble_cos
        self._tilted_ticks = 0 if upright or not self._valid[i] else min(self._tilted_ticks + 1, COUNT_MAX)
        if np.float32(self._tilted_ticks) * self._dt_s > self._tumble_for_s:
            self._tumbled = True
            self.trip(Reason.TUMBLE, i)

    def _tilt(self, channel: int) -> tuple[np.float32, np.float32, np.float32] | None:
        """tilt_x, tilt_y and cos(tilt) of the quat_wxyz in `channel`; None when it cannot be normalised."""
        w, x, y, z = self.observation[self._slices[channel]]
        with np.errstate(all="ignore"):
            norm2 = w * w + x * x + y * y + z * z
            if not (MIN_NORM2 <= norm2 <= MAX_NORM2):
                return None
            s = TWO / norm2
            return s * (w * x + y * z), s * (w * y - x * z), ONE - s * (x * x + y * y)

    def act(self, policy_action: Array | None) -> Array:
        """(actions,) what the actuators must get; `policy_action` is None when the policy was not called."""
        if not self.armed:
            self.applied_action, self.rung = self._neutral.copy(), -1
            return self.applied_action.copy()
        if policy_action is None or not np.isfinite(policy_action).all():
            self.trip(Reason.NON_FINITE_ACTION)
        with np.errstate(all="ignore"):
            if self.tripped or policy_action is None:
                self._fall_back()
            else:
                self._limit(policy_action)
        return self.applied_action.copy()

    def _limit(self, action: Array) -> None:
        action = clamp(action, self._action_low, self._action_high)
        if self._slew_per_s is not None:
            last, step = self.applied_action, self._slew_per_s * self._dt_s
            action = np.where(self._slew_per_s > ZERO, clamp(action, last - step, last + step), action)
            action = clamp(action, self._action_low, self._action_high)
        self.applied_action = action

    def _fall_back(self) -> None:
        for i in range(len(self._ladder) - 1 if self._tumbled else 0, len(self._ladder)):
            action = self._ladder[i]()
            if action is not None and np.isfinite(action).all():
                self.applied_action = clamp(action, self._action_low, self._action_high)
                self.rung = i
                if isinstance(self.spec.envelope.fallback[i], LevelDescend):
                    self._descend_ticks = min(self._descend_ticks + 1, COUNT_MAX)
                return
        # Not reached: PolicySpec wants a last rung that always acts. Even so, what was applied last stays.

    def _rung(self, where: str, rung: Rung) -> Callable[[], Array | None]:
        """The rung as a function of the envelope's present; it returns None while it cannot act."""
        match rung:
            case LevelDescend():
                channels = [self._index[n] for n in (rung.attitude, rung.body_rate, rung.velocity)]
                gain = float32((g for row in rung.gain for g in row), f"{where}.gain").reshape(-1, 6)
                max_s = float32([rung.max_s], f"{where}.max_s")[0]
                base = float32(rung.base, f"{where}.base")
                return partial(self._level_descend, channels, base, gain, max_s)
            case RampTo():
                target = float32(rung.target, f"{where}.target")
                return partial(self._ramp_to, target, float32(rung.rate_per_s, f"{where}.rate_per_s"))
            case HoldLast():
                return lambda: self.applied_action
            case Cut():
                value = float32(rung.value, f"{where}.value")
                return lambda: value

    def _level_descend(self, channels: list[int], base: Array, gain: Array, max_s: np.float32) -> Array | None:
        attitude, body_rate, velocity = channels
        if not (self._valid[attitude] and self._valid[body_rate]):
            return None
        if np.float32(min(self._descend_ticks + 1, COUNT_MAX)) * self._dt_s > max_s:
            return None
        tilt = self._tilt(attitude)
        if tilt is None:
            return None
        rate = self.observation[self._slices[body_rate]]
        v_z = self.observation[self._slices[velocity]][2] if self._valid[velocity] else ZERO
        action = base
        for column, signal in zip(gain.T, (tilt[0], tilt[1], *rate, v_z), strict=True):
            action = action + column * signal
        return action

    def _ramp_to(self, target: Array, rate_per_s: Array) -> Array:
        step = rate_per_s * self._dt_s
        return clamp(target, self.applied_action - step, self.applied_action + step)
