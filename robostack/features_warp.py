"""The feature vocabulary as one Warp kernel, forward and adjoint, for CPU and CUDA.

A table of rows (see `features.Row`) drives a small interpreter, so one compiled kernel serves every task. Eager
torch spends some forty small operators a step on the same work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import warp as wp
from torch import Tensor

from robostack.recorded import RecordedOp

if TYPE_CHECKING:
    from robostack.features import FeatureStack

F2 = wp.array2d(dtype=wp.float32)


@wp.kernel
def features_kernel(
    ints: wp.array2d(dtype=wp.int32),
    floats: F2,
    x: F2,
    state: F2,
    out: F2,
    next_state: F2,
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
        bias = floats[r, 1]
        limit = floats[r, 2]
        rate = floats[r, 3]
        if op == 0:
            for k in range(n):
                out[i, o + k] = (x[i, a + k] - bias) * gain
        if op == 1:
            for k in range(n):
                out[i, o + k] = wp.clamp(x[i, a + k] - x[i, b + k], -limit, limit) * gain
        if op == 2:
            qw = x[i, a]
            qx = x[i, a + 1]
            qy = x[i, a + 2]
            qz = x[i, a + 3]
            out[i, o] = qw * qw + qx * qx - qy * qy - qz * qz
            out[i, o + 1] = 2.0 * (qx * qy - qw * qz)
            out[i, o + 2] = 2.0 * (qw * qy + qx * qz)
            out[i, o + 3] = 2.0 * (qw * qz + qx * qy)
            out[i, o + 4] = qw * qw - qx * qx + qy * qy - qz * qz
            out[i, o + 5] = 2.0 * (qy * qz - qw * qx)
            out[i, o + 6] = 2.0 * (qx * qz - qw * qy)
            out[i, o + 7] = 2.0 * (qw * qx + qy * qz)
            out[i, o + 8] = qw * qw - qx * qx - qy * qy + qz * qz
        if op == 3:
            for k in range(n):
                lagged = state[i, s + k] + (x[i, a + k] - state[i, s + k]) * rate
                next_state[i, s + k] = lagged
                out[i, o + k] = (lagged - bias) * gain
        if op == 4:
            for k in range(n):
                error = wp.clamp(x[i, a + k] - x[i, b + k], -bias, bias)
                total = wp.clamp(state[i, s + k] + error * rate, -limit, limit)
                next_state[i, s + k] = total
                out[i, o + k] = total * gain
        if op == 5:
            for k in range(n):
                out[i, o + k] = (state[i, s + k] - bias) * gain
                if k < b:
                    next_state[i, s + k] = x[i, a + k]
                else:
                    next_state[i, s + k] = state[i, s + k - b]


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
