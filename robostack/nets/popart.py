"""A critic whose outputs stay of order one, whatever the unit of the reward.

    V = mean + std * net(x)

`mean` and `std` follow the targets, and the last layer is corrected so that V stays what it was (van Hasselt et al.
2016, Learning values across many orders of magnitude: Pop-Art). Before the first targets V is zero. There is no
constant with a unit in it: rewards a thousand times larger give the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robostack import team
from robostack.nets.critic import Critic, CriticConfig
from robostack.task import Task

RATE = 0.05
"""weight of the newest targets in the moments, once there were 1 / RATE of them"""
ROUNDING = 1e-5
"""share of a value that single precision cannot be trusted with"""


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (K,) of (..., K), over all processes of a team, which hold equally many."""
    x = x.flatten(0, -2)
    means, variances = team.stacked(torch.stack([x.mean(0), x.var(0, False)])).unbind(1)
    return means.mean(0), variances.mean(0) + means.var(0, False)


class PopArtCritic(Critic):
    """`outputs` values at once, each with moments of its own. All shapes are (..., outputs), for one output too; only
    `forward` gives (...) then, as every critic does."""

    mean: Tensor
    std: Tensor
    updates: Tensor

    def __init__(self, task: Task, config: CriticConfig | None = None, outputs: int = 1) -> None:
        super().__init__(task, config, outputs)
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("std", torch.zeros(outputs))
        self.register_buffer("updates", torch.zeros(()))
        self.frozen = False

    def see(self, picked: Tensor) -> Tensor:
        """The critic's channels (..., len(index)) -> the network's input."""
        return self.normaliser(picked).clamp(-10.0, 10.0)

    def value(self, inputs: Tensor) -> Tensor:
        """V, in the reward's unit, of what `see` gave; `net` of it is the same without a unit."""
        return torch.addcmul(self.mean, self.std, self.net(inputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.value(self.see(x[..., self.index])).squeeze(-1)

    def without_unit(self, value: Tensor) -> Tensor:
        """What `net` should say where V should be `value`."""
        return (value - self.mean) / self.std

    @property
    def rounding(self) -> Tensor:
        """(outputs,) differences of V that say nothing."""
        return ROUNDING * (self.mean.abs() + self.std)

    def freeze(self) -> None:
        """Nothing of it learns any more: weights, the normaliser of its inputs, the moments of its outputs."""
        self.requires_grad_(False)
        self.normaliser.freeze()
        self.frozen = True

    @torch.no_grad()
    def learn_scale(self, targets: Tensor) -> None:
        """Takes in (..., outputs) values; V of everything stays as it is."""
        if self.frozen:
            return
        new_mean, new_var = moments(targets)
        share = (1.0 / (self.updates + 1.0)).clamp_min(RATE)
        mean, std = self.mean.clone(), self.std.clone()
        away = new_mean - mean
        self.mean.add_(share * away)
        var = torch.lerp(std.square(), new_var, share) + share * (1.0 - share) * away.square()
        self.std.copy_(var.sqrt().maximum(ROUNDING * self.mean.abs()).clamp_min(1e-30))
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        if self.updates > 0:
            last.weight.mul_((std / self.std)[:, None])
            last.bias.copy_((std * last.bias + mean - self.mean) / self.std)
        self.updates.add_(1.0)
