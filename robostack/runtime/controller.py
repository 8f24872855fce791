"""One control period on a Python host: envelope checks, inference, envelope limits. The chain has no bypass.

The twin of `firmware/envelope/controller.c`, by names instead of packed arrays.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from robostack.runtime.envelope import Array, Envelope, Reason, Status, float32
from robostack.spec import ContractError, PolicySpec

log = logging.getLogger(__name__)

Sample = tuple[npt.ArrayLike, float]
"""A channel's value in the contract's unit, and how old it already was when it was sent (s)."""


class Policy(Protocol):
    """What a Controller needs of a policy; robostack.runtime.runner.Runner is one."""

    def infer(
        self, observation: Mapping[str, Array], applied_action: Array, state: Array | None, /
    ) -> tuple[Array, Array | None]:
        """Channels by name, (actions,) what the actuators got last, (state,) -> (actions,), next (state,).

        The state is None for a policy without memory.
        """


class Controller:
    """A policy behind its envelope. Disarmed at first: neutral is applied and the policy is not called."""

    def __init__(self, policy: Policy, spec: PolicySpec) -> None:
        self.spec = spec
        self._policy = policy
        self._envelope = Envelope(spec)
        self._state_reset = float32(spec.state.reset, "state.reset") if spec.state.size else None
        self._state = self._state_reset
        self._nothing = np.full(spec.observation_size, np.nan, dtype=np.float32)
        self._index = {c.name: i for i, c in enumerate(spec.observations)}
        ends = np.cumsum([c.size for c in spec.observations])
        channels = zip(spec.observations, ends.tolist(), strict=True)
        self._slices = {c.name: slice(end - c.size, end) for c, end in channels}

    @property
    def status(self) -> Status:
        return self._envelope.status

    @property
    def applied_action(self) -> Array:
        """(actions,) what the actuators got last."""
        return self._envelope.applied_action.copy()

    def applied(self, action: npt.ArrayLike) -> None:
        """(actions,) what the actuators got last, where that was not the last tick's action: in a replay, the logged.

        Raises ValueError for another size.
        """
        self._envelope.applied_action = _vector(action, self.spec.action_size, "applied action")

    def arm(self, armed: bool = True) -> None:
        """Arming clears a trip and resets the state; disarming applies neutral from the next tick on."""
        if self._envelope.arm(armed):
            self._state = self._state_reset

    def fall_back(self, stale: str | None = None) -> None:
        """Trips it until it is armed again: for the channel `stale`, which the caller knows to be older than it may be
        though no period has ended since; else for a reason of the caller's, which is Reason.NONE here."""
        if stale is None:
            self._envelope.trip(Reason.NONE)
        else:
            self._envelope.trip(Reason.STALE, self._index[stale])

    def tick(self, samples: Mapping[str, Sample | None], missed: int = 0) -> Array:
        """Advances one control_dt_s and returns the (actions,) action that the actuators must get.

        `samples` has a channel's fresh sample; None or no entry means that none has come. `missed` counts
        control periods that passed without a tick since the last one. A sample of a wrong size, or one that
        is no number, is a bad sample. Raises ContractError for a name that is no channel, before anything
        changes.
        """
        observation, fresh, age_s = self._pack(samples)
        self._envelope.missed(missed)
        if not self._envelope.observe(observation, fresh, age_s):
            return self._envelope.act(None)
        action, next_state = self._infer()
        if next_state is not None and not np.isfinite(next_state).all():
            self._envelope.trip(Reason.NON_FINITE_STATE)
        applied = self._envelope.act(action)
        if not self._envelope.tripped:
            self._state = next_state
        return applied

    def _pack(self, samples: Mapping[str, Sample | None]) -> tuple[Array, list[bool], list[np.float32]]:
        if unknown := samples.keys() - self._index.keys():
            known = list(self._index)
            raise ContractError(f"samples: {sorted(unknown)} are no channels of this policy; it reads {known}")
        observation = self._nothing.copy()
        fresh, age_s = [False] * len(self._index), [np.float32(0)] * len(self._index)
        with np.errstate(over="ignore"):
            for name, sample in samples.items():
                if sample is None:
                    continue
                i, where = self._index[name], self._slices[name]
                fresh[i] = True
                try:
                    value = np.asarray(sample[0], dtype=np.float32).ravel()
                    age_s[i] = np.float32(sample[1])
                    if value.size == where.stop - where.start:
                        observation[where] = value
                except (TypeError, ValueError, OverflowError):
                    pass  # the channel's elements stay NaN
        return observation, fresh, age_s

    def _infer(self) -> tuple[Array, Array | None]:
        """A policy that raises or answers in a wrong shape counts as one whose action is not finite."""
        held = self._envelope.observation
        named = {c.name: held[self._slices[c.name]].reshape(c.shape) for c in self.spec.observations}
        try:
            action, next_state = self._policy.infer(named, self.applied_action, self._state)
            action = _vector(action, self.spec.action_size, "action")
            if self.spec.state.size:
                next_state = _vector(next_state, self.spec.state.size, "next_state")
        except Exception:
            log.exception("the policy failed; the fallback acts")
            return np.full(self.spec.action_size, np.nan, dtype=np.float32), self._state
        return action, next_state if self.spec.state.size else None


def _vector(x: npt.ArrayLike | None, size: int, what: str) -> Array:
    """A flat copy: the policy may reuse its buffers. Raises ValueError for another size."""
    vector = np.array(x, dtype=np.float32).ravel()
    if vector.size != size:
        raise ValueError(f"{what} has {vector.size} values, the contract says {size}")
    return vector
