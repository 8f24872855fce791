"""The trend network of TBSAC (Wang et al., trend-based soft actor-critic): convolutions over what a channel shows and
how it moved lately, a matrix of three rows (robostack.features.Trend), in front of an actor's hidden layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from robostack.features import Pick, Trend
from robostack.spec import ContractError

ROWS = 3


@dataclass(frozen=True)
class TrendConfig:
    """What an actor convolves; by default nothing. One with a trend network sees nothing else."""

    channel: str = ""
    """whose trend; none: no trend network"""
    first: str = ""
    """channel that says how it moved last when a policy starts, as after a probe; none: it did not"""
    gain: float = 1.0
    """of the trend, in front of the normaliser: 1000 makes millimetres of metres"""
    filters: int = 4
    """of each width"""
    widths: tuple[int, ...] = (1, 2, 3)
    """elements of the channel that a filter spans, in all three rows"""

    def __post_init__(self) -> None:
        if self.first and not self.channel:
            raise ContractError(f"trend.first = {self.first!r} says how trend.channel moved, and that is not named")
        if self.filters < 1 or min(self.widths, default=0) < 1:
            raise ContractError(f"trend: {self.filters} filters of widths {self.widths}: each must be 1 at least")

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(name for name in (self.channel, self.first) if name)

    @property
    def feature(self) -> Trend:
        return Trend(Pick(self.channel), Pick(self.first) if self.first else None, self.gain)


class TrendConvolution(nn.Module):
    """Filters of several widths side by side, each at every place where it fits, over (3, elements) row by row.

    It is a linear layer whose `weight` (outputs, 3 elements) and `bias` (outputs,) are made of the few numbers that are
    learned. So a normaliser folds into it, and exported it is a Gemm, which every port of a policy knows.

    Raises ContractError where a filter is wider than the channel.
    """

    _of_weight: Tensor
    _of_bias: Tensor

    def __init__(self, elements: int, config: TrendConfig) -> None:
        super().__init__()
        if max(config.widths) > elements:
            raise ContractError(f"trend.widths = {config.widths}: {config.channel} has {elements} elements only")
        taps = [torch.empty(config.filters, ROWS, w).uniform_(-1.0, 1.0) / (ROWS * w) ** 0.5 for w in config.widths]
        self.taps = nn.Parameter(torch.cat([t.flatten() for t in taps]))
        self.offset = nn.Parameter(torch.zeros(config.filters * len(config.widths)))
        nothing = self.taps.numel()  # stands for the 0 that `weight` puts behind the taps
        which = torch.arange(nothing).split([t.numel() for t in taps])
        filters = torch.arange(len(self.offset)).split(config.filters)
        rows, offsets = list[Tensor](), list[Tensor]()
        for tap, numbers, some in zip(taps, which, filters, strict=True):
            room = elements - tap.shape[-1]
            for at in range(room + 1):
                rows.append(pad(numbers.view_as(tap), (at, room - at), value=nothing).flatten(1))
                offsets.append(some)
        self.register_buffer("_of_weight", torch.cat(rows), persistent=False)
        self.register_buffer("_of_bias", torch.cat(offsets), persistent=False)
        self.out_features = len(self._of_weight)

    @property
    def weight(self) -> Tensor:
        return pad(self.taps, (0, 1)).index_select(0, self._of_weight.flatten()).view_as(self._of_weight)

    @property
    def bias(self) -> Tensor:
        return self.offset.index_select(0, self._of_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., 3 elements) -> (..., outputs): by width, by place, by filter."""
        return linear(x, self.weight, self.bias)
