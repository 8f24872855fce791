"""Features that remember more than the last samples: members of the vocabulary of `features.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from robostack.features import Pick, Row, gather, scaled
from robostack.task import Layout

if TYPE_CHECKING:
    from robostack.export.graph import Graph

STEEP = 1e30
"""any difference of two float32 times this is beyond 1"""


@dataclass(frozen=True)
class Best:
    """How far a reading is below the highest there was, times gain, and the way back there, times `moved_gain`: less
    all that `moved` says has been moved since. What every search keeps, and a network finds hard to learn.

    The first reading is the highest so far; `worst` is one below all that there can be.
    """

    reading: Pick
    moved: Pick
    worst: float
    gain: float = 1.0
    moved_gain: float = 1.0

    def sizes(self, layout: Layout) -> tuple[int, int]:
        if self.reading.size(layout) != 1:
            raise ValueError(f"best of {self.reading}: it has {self.reading.size(layout)} elements, and must have one")
        n = 1 + self.moved.size(layout)
        return n, n

    def reset_state(self, layout: Layout) -> list[float]:
        """The highest reading, and the way back to it."""
        return [self.worst] + [0.0] * self.moved.size(layout)

    def forward(self, x: Tensor, state: Tensor, layout: Layout, dt: float) -> tuple[Tensor, Tensor]:
        now, before = self.reading.of(x, layout), state[..., :1]
        best, kept = torch.maximum(now, before), (before >= now).to(x.dtype)
        back = kept * (state[..., 1:] - self.moved.of(x, layout))
        return torch.cat([(now - best) * self.gain, back * self.moved_gain], -1), torch.cat([best, back], -1)

    def onnx(self, graph: Graph, inputs: dict[str, str], state: str, layout: Layout, dt: float) -> tuple[str, str]:
        n, now = self.moved.size(layout), self.reading.onnx(graph, inputs, layout)
        before, zero, one = gather(graph, state, [0]), np.float32(0.0), np.float32(1.0)
        better = scaled(graph, graph.op("Sub", now, before), STEEP, 0.0)
        better = graph.op("Clip", better, graph.constant(zero), graph.constant(one))
        kept = graph.op("Sub", graph.constant(np.ones(1, np.float32)), better)
        best = graph.op("Add", graph.op("Mul", better, now), graph.op("Mul", kept, before))
        back = graph.op("Sub", gather(graph, state, range(1, n + 1)), self.moved.onnx(graph, inputs, layout))
        back = graph.op("Mul", gather(graph, kept, [0] * n), back)
        below = scaled(graph, graph.op("Sub", now, best), self.gain, 0.0)
        out = graph.op("Concat", below, scaled(graph, back, self.moved_gain, 0.0), axis=1)
        return out, graph.op("Concat", best, back, axis=1)

    def row(self, layout: Layout, dt: float) -> Row:
        reading, moved = self.reading.offset(layout), self.moved.offset(layout)
        return Row("best", self.moved.size(layout), reading, moved, self.gain, rate=self.moved_gain)
