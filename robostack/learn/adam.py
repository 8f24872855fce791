"""Adam without the Python around it: for networks this small torch.optim.Adam spends most of its time there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Adam:
    """Kingma & Ba 2015, one fused operation a step, of gradients that are handed in.

    `tensors` is everything a step changes, the parameters first.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.parameters, self.learning_rate = list(parameters), learning_rate
        self.mean = [torch.zeros_like(p) for p in self.parameters]
        self.square = [torch.zeros_like(p) for p in self.parameters]
        self.steps = torch.zeros((), device=self.parameters[0].device)
        self._each = [self.steps] * len(self.parameters)

    @property
    def tensors(self) -> list[Tensor]:
        return [*self.parameters, *self.mean, *self.square, self.steps]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step against `gradients`, in the order of the parameters."""
        self.steps += 1
        torch._fused_adam_(
            self.parameters,
            gradients,
            self.mean,
            self.square,
            [],
            self._each,
            lr=self.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "square": self.square, "steps": self.steps}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        for ours, theirs in zip((*self.mean, *self.square), (*kept["mean"], *kept["square"]), strict=True):
            ours.copy_(theirs)
        self.steps.copy_(kept["steps"])


def written_out(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    mean: Sequence[Tensor],
    square: Sequence[Tensor],
    _: Sequence[Tensor],
    steps: Sequence[Tensor],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    **others: Any,
) -> None:
    """The fused operation in plain ones, which a compiler fuses with what is around them."""
    # by exp, which TorchInductor computes once; a power it computes again for every weight
    rate = lr / (1.0 - torch.exp(steps[0] * math.log(beta1)))
    size = torch.sqrt(1.0 - torch.exp(steps[0] * math.log(beta2)))
    for p, g, m, v in zip(parameters, gradients, mean, square, strict=True):
        m.lerp_(g, 1.0 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1.0 - beta2)
        p.sub_(rate * m / (v.sqrt() / size + eps))
