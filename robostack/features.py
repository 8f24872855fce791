"""The closed vocabulary of preprocessing between a machine's channels and a network.

Each feature is one frozen dataclass with three faces: torch, ONNX nodes, and a row of numbers for the fused Warp
kernel in `features_warp.py`, which a conformance test holds equal to the torch face. Some features remember
(`state_size` > 0); their state is part of the policy's `state` and advances once a control period.

Channels are read from one packed row, (N, layout.size) float32, in SI. Noise is added before features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from robostack.task import Layout

if TYPE_CHECKING:
    from robostack.export.graph import Graph

OPCODES = ("scale", "difference", "rotation_matrix", "lag", "integral", "history", "trend", "best")
ROW_INTS = 6
"""opcode, size, source offset, second source offset (-1: none), output offset, state offset"""
ROW_FLOATS = 4
"""gain, bias, limit, rate: their meaning is each feature's own"""


@dataclass(frozen=True)
class Row:
    """One feature as the fused kernel reads it; offsets of output and state are filled in by `FeatureStack`."""

    opcode: str
    size: int
    source: int
    second: int = -1
    gain: float = 1.0
    bias: float = 0.0
    limit: float = 0.0
    rate: float = 0.0


class Feature(Protocol):
    """What a member of the vocabulary offers; sizes follow from the layout it is bound to."""

    def sizes(self, layout: Layout) -> tuple[int, int]:
        """Output size and state size."""

    def reset_state(self, layout: Layout) -> list[float]:
        """The state at activation, `state_size` values."""

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        """(N, layout.size), (N, state_size) -> (N, output_size), next state."""

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        """The same as ONNX nodes: names of [N, k] tensors in, names of output and next state out."""

    def row(self, layout: Layout, dt: float) -> Row:
        """The same as numbers for the fused kernel."""


@dataclass(frozen=True)
class Pick:
    """`size` elements of a channel from `start`; the whole channel by default."""

    channel: str
    start: int = 0
    count: int = 0

    def size(self, layout: Layout) -> int:
        size = layout.channel[self.channel].size
        count = self.count or size - self.start
        if not 0 < self.start + count <= size:
            raise ValueError(f"channel {self.channel} has {size} elements; {self.start}..{self.start + count} asked")
        return count

    def offset(self, layout: Layout) -> int:
        return layout.offset[self.channel] + self.start

    def of(self, x: Tensor, layout: Layout) -> Tensor:
        return x.narrow(-1, self.offset(layout), self.size(layout))

    def onnx(self, graph: Graph, inputs: dict[str, str], layout: Layout) -> str:
        if self.start == 0 and self.size(layout) == layout.channel[self.channel].size:
            return inputs[self.channel]
        return gather(graph, inputs[self.channel], range(self.start, self.start + self.size(layout)))


def gather(graph: Graph, value: str, columns: Sequence[int]) -> str:
    """Constant columns of a [N, k] tensor."""
    return graph.op("Gather", value, graph.constant(np.asarray(columns, np.int64)), axis=1)


def scaled(graph: Graph, value: str, gain: float, bias: float) -> str:
    """(value - bias) * gain."""
    if bias:
        value = graph.op("Sub", value, graph.constant(np.array([bias], np.float32)))
    return graph.op("Mul", value, graph.constant(np.array([gain], np.float32))) if gain != 1.0 else value


def _clip(graph: Graph, value: str, limit: float) -> str:
    return graph.op("Clip", value, graph.constant(np.float32(-limit)), graph.constant(np.float32(limit)))


class _Stateless:
    def reset_state(self, layout: Layout) -> list[float]:
        return []


@dataclass(frozen=True)
class Scale(_Stateless):
    """(x - bias) * gain."""

    source: Pick
    gain: float = 1.0
    bias: float = 0.0

    def sizes(self, layout: Layout) -> tuple[int, int]:
        return self.source.size(layout), 0

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        return (self.source.of(x, layout) - self.bias) * self.gain, state

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        return scaled(graph, self.source.onnx(graph, inputs, layout), self.gain, self.bias), state

    def row(self, layout: Layout, dt: float) -> Row:
        return Row("scale", self.source.size(layout), self.source.offset(layout), -1, self.gain, self.bias)


@dataclass(frozen=True)
class Difference(_Stateless):
    """clip(measured - target, +-limit) * gain: an error to a setpoint that stays bounded far away."""

    measured: Pick
    target: Pick
    limit: float
    gain: float = 1.0

    def sizes(self, layout: Layout) -> tuple[int, int]:
        if self.measured.size(layout) != self.target.size(layout):
            raise ValueError(f"difference of {self.measured} and {self.target}: sizes differ")
        return self.measured.size(layout), 0

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        error = self.measured.of(x, layout) - self.target.of(x, layout)
        return error.clamp(-self.limit, self.limit) * self.gain, state

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        a, b = (p.onnx(graph, inputs, layout) for p in (self.measured, self.target))
        return scaled(graph, _clip(graph, graph.op("Sub", a, b), self.limit), self.gain, 0.0), state

    def row(self, layout: Layout, dt: float) -> Row:
        a, b = self.measured.offset(layout), self.target.offset(layout)
        return Row("difference", self.measured.size(layout), a, b, self.gain, 0.0, self.limit)


ROTATION_FACTORS = ((0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""Pairs of quaternion elements (w, x, y, z) whose products make up a rotation matrix."""
# rows: R row-major; columns: ww xx yy zz wx wy wz xy xz yz (homogeneous form, |q| = 1 not assumed beyond scale)
ROTATION_WEIGHTS = (
    (1, 1, -1, -1, 0, 0, 0, 0, 0, 0),
    (0, 0, 0, 0, 0, 0, -2, 2, 0, 0),
    (0, 0, 0, 0, 0, 2, 0, 0, 2, 0),
    (0, 0, 0, 0, 0, 0, 2, 2, 0, 0),
    (1, -1, 1, -1, 0, 0, 0, 0, 0, 0),
    (0, 0, 0, 0, -2, 0, 0, 0, 0, 2),
    (0, 0, 0, 0, 0, -2, 0, 0, 2, 0),
    (0, 0, 0, 0, 2, 0, 0, 0, 0, 2),
    (1, -1, -1, 1, 0, 0, 0, 0, 0, 0),
)


@dataclass(frozen=True)
class RotationMatrix(_Stateless):
    """Body-to-world rotation, nine numbers row by row, of a unit quaternion (w, x, y, z).

    No branch, no ambiguity of sign: q and -q give the same matrix.
    """

    attitude: Pick

    def sizes(self, layout: Layout) -> tuple[int, int]:
        if self.attitude.size(layout) != 4:
            raise ValueError(f"rotation_matrix needs four elements (w, x, y, z), {self.attitude} has others")
        return 9, 0

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        q = self.attitude.of(x, layout)
        a, b = ([pair[k] for pair in ROTATION_FACTORS] for k in (0, 1))
        weights = torch.tensor(ROTATION_WEIGHTS, dtype=q.dtype, device=q.device)
        return (q[..., a] * q[..., b]) @ weights.T, state

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        q = self.attitude.onnx(graph, inputs, layout)
        a, b = (gather(graph, q, [pair[k] for pair in ROTATION_FACTORS]) for k in (0, 1))
        weights = graph.constant(np.array(ROTATION_WEIGHTS, np.float32))
        bias = graph.constant(np.zeros(9, np.float32))
        return graph.op("Gemm", graph.op("Mul", a, b), weights, bias, transB=1), state

    def row(self, layout: Layout, dt: float) -> Row:
        return Row("rotation_matrix", 9, self.attitude.offset(layout))


@dataclass(frozen=True)
class FirstOrderLag:
    """What a first-order actuator does with its command: s += (1 - exp(-dt / time_constant)) (x - s).

    With `applied_action` as its source it observes rotor speeds that no sensor gives, in one number a rotor where
    L2F keeps a history of 32. Output (s - bias) * gain.
    """

    source: Pick
    time_constant_s: float
    reset: float = 0.0
    gain: float = 1.0
    bias: float = 0.0

    def _share(self, dt: float) -> float:
        return 1.0 - math.exp(-dt / self.time_constant_s)

    def sizes(self, layout: Layout) -> tuple[int, int]:
        n = self.source.size(layout)
        return n, n

    def reset_state(self, layout: Layout) -> list[float]:
        return [self.reset] * self.source.size(layout)

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        state = state + (self.source.of(x, layout) - state) * self._share(dt)
        return (state - self.bias) * self.gain, state

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        move = graph.op("Sub", self.source.onnx(graph, inputs, layout), state)
        state = graph.op("Add", state, graph.op("Mul", move, graph.constant(np.array([self._share(dt)], np.float32))))
        return scaled(graph, state, self.gain, self.bias), state

    def row(self, layout: Layout, dt: float) -> Row:
        n, offset = self.source.size(layout), self.source.offset(layout)
        return Row("lag", n, offset, -1, self.gain, self.bias, 0.0, self._share(dt))


@dataclass(frozen=True)
class Integral:
    """Integral of an error, in seconds times its unit, anti-windup by clipping twice.

    s = clip(s + dt * clip(measured - target, +-error_limit), +-limit); output s * gain. It is what removes the
    offset that a constant force leaves.
    """

    measured: Pick
    target: Pick
    error_limit: float
    limit: float
    gain: float = 1.0

    def sizes(self, layout: Layout) -> tuple[int, int]:
        n = self.measured.size(layout)
        return n, n

    def reset_state(self, layout: Layout) -> list[float]:
        return [0.0] * self.measured.size(layout)

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        error = self.measured.of(x, layout) - self.target.of(x, layout)
        state = state + error.clamp(-self.error_limit, self.error_limit) * dt
        state = state.clamp(-self.limit, self.limit)
        return state * self.gain, state

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        a, b = (p.onnx(graph, inputs, layout) for p in (self.measured, self.target))
        error = _clip(graph, graph.op("Sub", a, b), self.error_limit)
        state = graph.op("Add", state, graph.op("Mul", error, graph.constant(np.array([dt], np.float32))))
        state = _clip(graph, state, self.limit)
        return scaled(graph, state, self.gain, 0.0), state

    def row(self, layout: Layout, dt: float) -> Row:
        n, a, b = self.measured.size(layout), self.measured.offset(layout), self.target.offset(layout)
        return Row("integral", n, a, b, self.gain, self.error_limit, self.limit, dt)


@dataclass(frozen=True)
class History:
    """The `length` samples before the present one, newest first, each (x - bias) * gain.

    With `applied_action` this is the pending command: what was sent and has not yet acted.
    """

    source: Pick
    length: int
    reset: float = 0.0
    gain: float = 1.0
    bias: float = 0.0

    def sizes(self, layout: Layout) -> tuple[int, int]:
        n = self.source.size(layout) * self.length
        return n, n

    def reset_state(self, layout: Layout) -> list[float]:
        return [self.reset] * self.sizes(layout)[1]

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        n = self.source.size(layout)
        kept = torch.cat([self.source.of(x, layout), state[..., : state.shape[-1] - n]], -1)
        return (state - self.bias) * self.gain, kept

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        n = self.source.size(layout)
        new = self.source.onnx(graph, inputs, layout)
        if self.length > 1:
            new = graph.op("Concat", new, gather(graph, state, range(n * (self.length - 1))), axis=1)
        return scaled(graph, state, self.gain, self.bias), new

    def row(self, layout: Layout, dt: float) -> Row:
        # second carries the width of one sample: the kernel shifts by it
        n, width = self.sizes(layout)[0], self.source.size(layout)
        return Row("history", n, self.source.offset(layout), width, self.gain, self.bias)


@dataclass(frozen=True)
class Trend:
    """How a sample moved at the period before, how it moved at this one, and the sample itself, each times gain.

    Of the first sample nothing came before: it moved by `first`, a channel that says so, or by nothing. TBSAC's
    observation (Wang et al., trend-based soft actor-critic), with what its probe did as `first`.
    """

    source: Pick
    first: Pick | None = None
    gain: float = 1.0

    def sizes(self, layout: Layout) -> tuple[int, int]:
        n = self.source.size(layout)
        if self.first and self.first.size(layout) != n:
            raise ValueError(f"trend of {self.source} that starts with {self.first}: sizes differ")
        return 3 * n, 2 * n + 1

    def reset_state(self, layout: Layout) -> list[float]:
        """The sample before, how it had moved, and 1: there was none."""
        return [0.0] * (2 * self.source.size(layout)) + [1.0]

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        n, now = self.source.size(layout), self.source.of(x, layout)
        before, moved_before, fresh = state.split([n, n, 1], -1)
        from_nothing = now - self.first.of(x, layout) if self.first else now
        moved = now - before - fresh * from_nothing
        return torch.cat([moved_before, moved, now], -1) * self.gain, torch.cat([now, moved, 0.0 * fresh], -1)

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        n, now = self.source.size(layout), self.source.onnx(graph, inputs, layout)
        before, moved_before = gather(graph, state, range(n)), gather(graph, state, range(n, 2 * n))
        fresh = gather(graph, state, [2 * n])
        from_nothing = graph.op("Sub", now, self.first.onnx(graph, inputs, layout)) if self.first else now
        jump = graph.op("Mul", gather(graph, state, [2 * n] * n), from_nothing)
        moved = graph.op("Sub", graph.op("Sub", now, before), jump)
        following = graph.op("Mul", fresh, graph.constant(np.zeros(1, np.float32)))
        out = graph.op("Concat", moved_before, moved, now, axis=1)
        return scaled(graph, out, self.gain, 0.0), graph.op("Concat", now, moved, following, axis=1)

    def row(self, layout: Layout, dt: float) -> Row:
        first = self.first.offset(layout) if self.first else -1
        return Row("trend", self.source.size(layout), self.source.offset(layout), first, self.gain)


class FeatureStack(nn.Module):
    """Features side by side: packed channels and state in, one feature vector and the next state out.

    `output_size`, `state_size` and `reset` (1, state_size) are known at construction. With `fused_slots` > 0
    one Warp kernel computes all of it (robostack.features_warp), forward and adjoint, and that many calls stay open
    for backward.
    """

    reset: Tensor

    def __init__(self, features: tuple[Feature, ...], layout: Layout, dt: float, fused_slots: int = 0) -> None:
        super().__init__()
        self.features, self.layout, self.dt = features, layout, dt
        sizes = [f.sizes(layout) for f in features]
        self.output_sizes = [s[0] for s in sizes]
        self.state_sizes = [s[1] for s in sizes]
        self.output_size, self.state_size = sum(self.output_sizes), sum(self.state_sizes)
        reset = [v for f in features for v in f.reset_state(layout)]
        self.register_buffer("reset", torch.tensor([reset], dtype=torch.float32), persistent=False)
        self._fused = None
        if fused_slots:
            from robostack.features_warp import FusedFeatures

            self._fused = FusedFeatures(self, fused_slots)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(N, layout.size), (N, state_size) -> (N, output_size), (N, state_size)."""
        if self._fused is not None:
            return self._fused(x, state)
        outputs, states = [], []
        for feature, part in zip(self.features, state.split(self.state_sizes, -1), strict=True):
            y, next_part = feature.forward(x, part, self.layout, self.dt)
            outputs.append(y)
            states.append(next_part)
        return torch.cat(outputs, -1), torch.cat(states, -1)

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(features, ROW_INTS) int32 and (features, ROW_FLOATS) float32 for the fused kernel."""
        ints, floats = [], []
        out = memory = 0
        for f, n_out, n_state in zip(self.features, self.output_sizes, self.state_sizes, strict=True):
            r = f.row(self.layout, self.dt)
            ints.append([OPCODES.index(r.opcode), r.size, r.source, r.second, out, memory])
            floats.append([r.gain, r.bias, r.limit, r.rate])
            out, memory = out + n_out, memory + n_state
        return np.array(ints, np.int32), np.array(floats, np.float32)

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str) -> tuple[str, str]:
        """ONNX nodes of the whole stack; `inputs` maps channel names to [N, size] tensors."""
        outputs, states, start = [], [], 0
        for feature, n in zip(self.features, self.state_sizes, strict=True):
            part = gather(graph, state, range(start, start + n)) if n else ""
            y, next_part = feature.onnx(graph, inputs, part, self.layout, self.dt)
            outputs.append(y)
            states += [next_part] if n else []
            start += n
        join = lambda values: graph.op("Concat", *values, axis=1) if len(values) > 1 else values[0]  # noqa: E731
        return join(outputs), join(states) if states else ""
