"""Adam without the Python around it: for networks this small torch.optim.Adam spends most of its time there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Adam:
    """Kingma & Ba 2015, one fused operation a step, of gradients that are handed in.

    `tensors` is everything a step changes, the parameters first.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.parameters, self.learning_rate = [p.detach() for p in parameters], learning_rate
        self.mean = [torch.zeros_like(p) for p in self.parameters]
        self.square = [torch.zeros_like(p) for p in self.parameters]
        self.steps = torch.zeros((), device=self.parameters[0].device)
        self._each = [self.steps] * len(self.parameters)

    @property
    def tensors(self) -> list[Tensor]:
        return [*self.parameters, *self.mean, *self.square, self.steps]

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
