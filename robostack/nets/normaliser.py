"""Running mean and variance of a network's input, learned in training and carried into the export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robostack import team

if TYPE_CHECKING:
    from robostack.export.graph import Graph


class Normaliser(nn.Module):
    """y = (x - mean) / sqrt(var + eps), by Chan's parallel update over the samples of every process of a team;
    `freeze()` stops learning.

    Disabled it is the identity and adds no node to an export.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, enabled: bool = True, eps: float = 1e-2) -> None:
        super().__init__()
        self.enabled, self.eps = enabled, eps
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.zeros(()))
        self._frozen = False

    def freeze(self) -> None:
        self._frozen = True

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Takes in (..., size) samples."""
        if self._frozen or not self.enabled:
            return
        x = x.reshape(-1, x.shape[-1])
        batch = torch.cat([x.new_tensor([x.shape[0]]), x.mean(0), x.var(0, False)])
        for row in team.stacked(batch):
            n, mean, var = row.split([1, *[x.shape[-1]] * 2])
            total = self.count + n
            delta = mean - self.mean
            self.var.copy_((self.var * self.count + var * n + delta**2 * self.count * n / total) / total)
            self.mean.add_(delta * n / total)
            self.count.copy_(total[0])

    def forward(self, x: Tensor) -> Tensor:
        if not self.enabled:
            return x
        return (x - self.mean) * (self.var + self.eps).rsqrt()

    def affine(self) -> tuple[Tensor, Tensor]:
        """scale and shift (size,) such that y = x * scale + shift."""
        if not self.enabled:
            return torch.ones_like(self.mean), torch.zeros_like(self.mean)
        scale = (self.var + self.eps).rsqrt()
        return scale, -self.mean * scale

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias of a linear layer that takes x where the given one takes the normalised x."""
        if not self.enabled:
            return weight, bias
        weight = weight * (self.var + self.eps).rsqrt()
        return weight, bias - weight @ self.mean

    def onnx(self, graph: Graph, x: str) -> str:
        if not self.enabled:
            return x
        mean, scale = self.mean, (self.var + self.eps).rsqrt()
        centred = graph.op("Sub", x, graph.constant(mean.cpu().numpy()))
        return graph.op("Mul", centred, graph.constant(scale.cpu().numpy()))
