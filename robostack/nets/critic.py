"""The training half of an asymmetric actor-critic: a value of privileged channels. Never exported."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from robostack.nets.normaliser import Normaliser
from robostack.task import Layout, Task


class Critic(nn.Module):
    """V(s) from `task.critic_channels` (all channels when it names none), normalised, by a tanh MLP."""

    index: Tensor

    def __init__(self, task: Task, hidden: tuple[int, ...] = (64, 64)) -> None:
        super().__init__()
        layout = Layout(task.channels)
        names = task.critic_channels or tuple(c.name for c in task.channels)
        self.register_buffer("index", torch.tensor(layout.indices(names)), persistent=False)
        self.normaliser = Normaliser(len(self.index), eps=1e-8)
        widths = (len(self.index), *hidden)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.Tanh()]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """(..., layout.size) packed observation -> (...) value."""
        value: Tensor = self.net(self.normaliser(x[..., self.index]).clamp(-10.0, 10.0))
        return value.squeeze(-1)
