"""Twin critics of state and action, for learners that take the smaller of two values. Never exported."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class TwinCritic(nn.Module):
    """Q1 and Q2 as ReLU MLPs side by side: a hidden layer of both is one batched product.

    The input is normalised channels and the action's share of its range. The output layer is a weighted sum instead:
    a batched product with one column takes four times as long on a CPU.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        sizes = [*pairwise((inputs, *hidden)), (hidden[-1], 1)]
        bounds = [a**-0.5 for a, _ in sizes]  # as nn.Linear starts
        draw = lambda bound, *shape: nn.Parameter(torch.empty(shape).uniform_(-bound, bound))  # noqa: E731
        self.weight = nn.ParameterList(draw(d, 2, a, b) for (a, b), d in zip(sizes[:-1], bounds, strict=False))
        self.bias = nn.ParameterList(draw(d, 2, 1, b) for (_, b), d in zip(sizes[:-1], bounds, strict=False))
        self.out_weight = draw(bounds[-1], 2, 1, hidden[-1])
        self.out_bias = draw(bounds[-1], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) -> (2, batch): both values."""
        y = x.expand(2, -1, -1)
        for weight, bias in zip(self.weight, self.bias, strict=True):
            y = torch.relu_(torch.baddbmm(bias, y, weight))
        return (y * self.out_weight).sum(-1) + self.out_bias

    def first(self, x: Tensor) -> Tensor:
        """(batch, inputs) -> (batch,): Q1 alone."""
        for weight, bias in zip(self.weight, self.bias, strict=True):
            x = torch.relu_(torch.addmm(bias[0], x, weight[0]))
        return (x * self.out_weight[0]).sum(-1) + self.out_bias[0]
