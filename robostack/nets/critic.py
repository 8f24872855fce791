"""The training half of an asymmetric actor-critic: a value of privileged channels. Never exported."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from robostack.nets.normaliser import Normaliser
from robostack.nets.tanh import Tanh
from robostack.spec import ContractError
from robostack.task import Layout, Task


@dataclass(frozen=True)
class CriticConfig:
    """Shape of the value network, and what it sees."""

    hidden: tuple[int, ...] = (64, 64)
    """widths of the hidden layers"""
    channels: tuple[str, ...] = ()
    """by name, privileged ones too; () is what the task says, and all of them where it says nothing"""


def critic_index(task: Task, channels: tuple[str, ...]) -> Tensor:
    """Elements of the packed observation that a critic reads. Raises ContractError naming an unknown channel."""
    layout = Layout(task.channels)
    for name in channels:
        if name not in layout.channel:
            raise ContractError(f"critic.channels: there is no channel {name!r}; there are {', '.join(layout.channel)}")
    return torch.tensor(layout.indices(channels or task.critic_channels or tuple(layout.channel)))


class Critic(nn.Module):
    """V(s) of normalised channels by a tanh MLP; `outputs` values at once where there are several rewards."""

    index: Tensor

    def __init__(self, task: Task, config: CriticConfig | None = None, outputs: int = 1) -> None:
        super().__init__()
        config = config or CriticConfig()
        self.register_buffer("index", critic_index(task, config.channels), persistent=False)
        self.normaliser = Normaliser(len(self.index), eps=1e-8)
        widths = (len(self.index), *config.hidden)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), Tanh()]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(..., layout.size) packed observation -> (..., outputs) values; (...) where there is one output."""
        value: Tensor = self.net(self.normaliser(x[..., self.index]).clamp(-10.0, 10.0))
        return value.squeeze(-1)
