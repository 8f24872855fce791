"""The feature vocabulary as one Warp kernel, forward and adjoint, for CPU and CUDA.

A table of rows (see `features.Row`) drives a small interpreter, so one compiled kernel serves every task. Eager
torch spends some forty small operators a step on the same work.
"""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import warp as wp
from torch import Tensor

from robostack.lanes import add, get, lower, mul, put, reaches, sub, upper
from robostack.recorded import RecordedOp

if TYPE_CHECKING:
    from robostack.features import FeatureStack


@wp.kernel
def features_kernel(
    ints: wp.array2d(dtype=wp.int32),
    floats: wp.array2d(dtype=wp.float32),
    x: wp.array2d(dtype=Any),
    state: wp.array2d(dtype=Any),
    out: wp.array2d(dtype=Any),
    next_state: wp.array2d(dtype=Any),
):
    i = wp.tid()
    for r in range(ints.shape[0]):
        op = ints[r, 0]
        n = ints[r, 1]
        a = ints[r, 2]
        b = ints[r, 3]
        o = ints[r, 4]
        s = ints[r, 5]
        gain = floats[r, 0]
        one = type(get(x, 0, i))(1.0)
        bias = floats[r, 1] * one
        limit = floats[r, 2] * one
        rate = floats[r, 3]
        if op == 0:
            for k in range(n):
                put(out, o + k, i, gain * (get(x, a + k, i) - bias))
        if op == 1:
            for k in range(n):
                put(out, o + k, i, gain * within(get(x, a + k, i) - get(x, b + k, i), limit))
        if op == 2:
            qw = get(x, a, i)
            qx = get(x, a + 1, i)
            qy = get(x, a + 2, i)
            qz = get(x, a + 3, i)
            put(out, o, i, qw * qw + qx * qx - qy * qy - qz * qz)
            put(out, o + 1, i, 2.0 * (qx * qy - qw * qz))
            put(out, o + 2, i, 2.0 * (qw * qy + qx * qz))
            put(out, o + 3, i, 2.0 * (qw * qz + qx * qy))
            put(out, o + 4, i, qw * qw - qx * qx + qy * qy - qz * qz)
            put(out, o + 5, i, 2.0 * (qy * qz - qw * qx))
            put(out, o + 6, i, 2.0 * (qx * qz - qw * qy))
            put(out, o + 7, i, 2.0 * (qw * qx + qy * qz))
            put(out, o + 8, i, qw * qw - qx * qx - qy * qy + qz * qz)
        if op == 3:
            for k in range(n):
                lagged = get(state, s + k, i) + rate * (get(x, a + k, i) - get(state, s + k, i))
                put(next_state, s + k, i, lagged)
                put(out, o + k, i, gain * (lagged - bias))
        if op == 4:
            for k in range(n):
                error = within(get(x, a + k, i) - get(x, b + k, i), bias)
                total = within(get(state, s + k, i) + rate * error, limit)
                put(next_state, s + k, i, total)
                put(out, o + k, i, gain * total)
        if op == 5:
            for k in range(n):
                put(out, o + k, i, gain * (get(state, s + k, i) - bias))
                if k < b:
                    put(next_state, s + k, i, get(x, a + k, i))
                else:
                    put(next_state, s + k, i, get(state, s + k - b, i))
        if op == 6:
            fresh = get(state, s + 2 * n, i)
            put(next_state, s + 2 * n, i, 0.0 * fresh)
            for k in range(n):
                now = get(x, a + k, i)
                moved = now - get(state, s + k, i) - fresh * now
                put(out, o + k, i, gain * get(state, s + n + k, i))
                put(out, o + 2 * n + k, i, gain * now)
                put(next_state, s + k, i, now)
                if b < 0:
                    put(out, o + n + k, i, gain * moved)
                    put(next_state, s + n + k, i, moved)
                else:
                    put(out, o + n + k, i, gain * (moved + fresh * get(x, b + k, i)))
                    put(next_state, s + n + k, i, moved + fresh * get(x, b + k, i))
        if op == 7:
            reading = get(x, a, i)
            best = upper(reading, get(state, s, i))
            kept = reaches(get(state, s, i), reading)
            put(out, o, i, gain * (reading - best))
            put(next_state, s, i, best)
            for k in range(n):
                back = kept * (get(state, s + 1 + k, i) - get(x, b + k, i))
                put(out, o + 1 + k, i, rate * back)
                put(next_state, s + 1 + k, i, back)


@wp.func
def within(a: Any, limit: Any):
    """a, or the nearer of +-limit."""
    return upper(lower(a, limit), -1.0 * limit)


class FusedFeatures:
    """Callable twin of `FeatureStack.forward`; `slots` calls stay open for backward."""

    def __init__(self, stack: FeatureStack, slots: int) -> None:
        self._stack, self._slots = stack, slots
        self._ops: dict[tuple[int, torch.device], RecordedOp] = {}

    def __call__(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        key = (x.shape[0], x.device)
        if key not in self._ops:
            self._ops[key] = self._record(*key)
        out, next_state = self._ops[key](x, state)
        return out, next_state

    def _record(self, num_rows: int, device: torch.device) -> RecordedOp:
        stack = self._stack
        ints, floats = stack.rows()
        on = wp.device_from_torch(device)
        tables = [wp.array(ints, dtype=wp.int32, device=on), wp.array(floats, dtype=wp.float32, device=on)]
        widths = (stack.layout.size, stack.state_size), (stack.output_size, stack.state_size)
        return RecordedOp(features_kernel, num_rows, *widths, lambda slot: tables, self._slots, device)
