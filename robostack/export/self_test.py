"""Self-test vectors: inputs on which every port of a policy must give the outputs recorded at export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from robostack.spec import Channel, ContractError, PolicySpec, SelfTest

UNDECLARED = 1e6
"""Bound of a channel that declares none (the default of `Channel`); its rows are drawn from +-10 instead."""
STATE_STEPS = 8
"""States are those reached after 0 to 8 steps."""


class Reference(Protocol):
    """The actor as a function of numpy float32 arrays, batched: channels by name [N, *shape], [N, A], [N, S]
    or None.

    Returns the action [N, A] in SI and the next state [N, S], or None where the policy has no state.
    """

    def __call__(
        self, observation: Mapping[str, np.ndarray], applied_action: np.ndarray, state: np.ndarray | None, /
    ) -> tuple[np.ndarray, np.ndarray | None]: ...


def record(spec: PolicySpec, reference: Reference, rows: int = 16, seed: int = 0) -> SelfTest:
    """Draws inputs and records what `reference` makes of them.

    Raises ContractError when it gives NaN, infinity, or arrays of the wrong shape.
    """
    if rows < 1:
        raise ContractError(f"self_test_rows={rows}: a policy without self-test vectors cannot be verified")
    inputs = draw(spec, reference, rows, seed)
    outputs = run(spec, reference, inputs)
    return SelfTest(inputs=_tuples(inputs), outputs=_tuples(outputs))


def draw(spec: PolicySpec, reference: Reference, rows: int, seed: int) -> np.ndarray:
    """(rows, observation + action + state) float32, packed in the order of the graph's inputs.

    A channel's bounds say what is valid, not what is usual, and a network saturates far from home, where a
    wrong weight no longer shows. So row r draws from a share of the bounds that grows from 1/1000 to all of
    them over the rows. Quaternions are unit; applied actions span their whole range; states are reached by
    running.
    """
    random = np.random.default_rng(seed)
    share = np.logspace(-3.0, 0.0, rows)[:, None]
    state = np.tile(np.array(spec.state.reset, np.float32), (rows, 1))
    low, high = (np.array(spec.action_limit(f), np.float32) for f in ("low", "high"))
    for step in range(STATE_STEPS + 1):
        observation = np.concatenate([_draw_channel(c, share, random) for c in spec.observations], 1)
        applied = random.uniform(low, high, (rows, spec.action_size)).astype(np.float32)
        inputs = np.concatenate([observation.astype(np.float32), applied, state], 1)
        if spec.state.size == 0 or step == STATE_STEPS:
            break
        moved = run(spec, reference, inputs)[:, spec.action_size :]
        state = np.where(np.arange(rows)[:, None] % (STATE_STEPS + 1) > step, moved, state)
    return inputs


def _draw_channel(channel: Channel, share: np.ndarray, random: np.random.Generator) -> np.ndarray:
    letters = [name[-1] for name in channel.element_names]
    if channel.shape == (4,) and (channel.unit == "quat_wxyz" or letters == ["w", "x", "y", "z"]):
        q = np.array([1.0, 0.0, 0.0, 0.0]) + 3.0 * share * random.standard_normal((len(share), 4))
        return q / np.linalg.norm(q, axis=1, keepdims=True)
    low, high = (np.array(channel.per_element(f)) for f in ("low", "high"))
    low, high = np.where(low <= -UNDECLARED, -10.0, low), np.where(high >= UNDECLARED, 10.0, high)
    low, high = np.minimum(low, high), np.maximum(low, high)
    home = np.clip(0.0, low, high)
    return home + share * (random.uniform(low, high, (len(share), channel.size)) - home)


def unpack(spec: PolicySpec, rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """Packed input rows -> channels by name [N, *shape], applied action [N, A], state [N, S] or None."""
    observation, start = {}, 0
    for c in spec.observations:
        observation[c.name] = rows[:, start : start + c.size].reshape(-1, *c.shape)
        start += c.size
    applied = rows[:, start : start + spec.action_size]
    return observation, applied, rows[:, start + spec.action_size :] if spec.state.size else None


def run(spec: PolicySpec, reference: Reference, inputs: np.ndarray) -> np.ndarray:
    """(N, inputs) float32 -> (N, action + state) float32, checked to be finite and of the right shape."""
    action, next_state = reference(*unpack(spec, inputs))
    parts = [("action", action, spec.action_size)]
    if spec.state.size:
        if next_state is None:
            raise ContractError(f"the actor gives no next_state; the spec has a state of {spec.state.size}")
        parts.append(("next_state", next_state, spec.state.size))
    for name, value, size in parts:
        if np.shape(value) != (len(inputs), size):
            raise ContractError(f"{name} has shape {np.shape(value)}, the spec wants {(len(inputs), size)}")
        if not np.isfinite(value).all():
            raise ContractError(
                f"{name} is not finite on finite inputs: the training diverged, export another checkpoint"
            )
    return np.concatenate([np.asarray(v, np.float32) for _, v, _ in parts], 1)


def error(spec: PolicySpec, got: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference between two sets of (N, action + state) outputs.

    Actions count as a share of their range, states as a share of max(1, |wanted|). NaN counts as infinite.
    """
    span = np.array(spec.action_limit("high")) - np.array(spec.action_limit("low"))
    wanted = np.asarray(wanted, np.float64)
    scale = np.concatenate(
        [np.broadcast_to(span, (len(wanted), len(span))), np.maximum(1.0, np.abs(wanted[:, len(span) :]))], 1
    )
    share = np.abs(np.asarray(got, np.float64) - wanted) / scale
    return float(np.where(np.isfinite(share), share, np.inf).max(initial=0.0))


def _tuples(rows: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(v) for v in row) for row in rows)
