"""The deployed half of an actor-critic: channels and state in, SI action and next state out.

    features -> normalise [-> trend convolutions] -> tanh MLP [-> GRU cell] -> tanh -> scale to [low, high]

Everything is inside the graph that is exported, the normaliser and the action's scale among it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from robostack.features import Feature, FeatureStack, Pick, Scale
from robostack.nets.normaliser import Normaliser
from robostack.nets.tanh import tanh
from robostack.nets.trend import ROWS, TrendConfig, TrendConvolution
from robostack.spec import Channel, ContractError
from robostack.task import Layout, Task

if TYPE_CHECKING:
    from robostack.export.graph import Graph


@dataclass(frozen=True)
class ActorConfig:
    """Shape of the policy network."""

    hidden: tuple[int, ...] = (64, 64)
    """widths of the tanh layers"""
    recurrent: int = 0
    """units of a GRU cell after them; 0: feed-forward"""
    normalise: bool = True
    channels: tuple[str, ...] = ()
    """what the policy may see, by name; () is all that the machine measures. `applied_action` is always an input"""
    privileged: bool = False
    """an expert of simulation: it may see privileged channels, () is what the critic sees, and it cannot be exported;
    `robostack distill` makes a student of it that can"""
    trend: TrendConfig = field(default_factory=TrendConfig)
    """convolutions in front of the tanh layers, over how a channel moved"""

    def __post_init__(self) -> None:
        if self.trend.channel and self.channels:
            raise ContractError(f"channels = {self.channels}: an actor with a trend network sees trend.channel alone")


class Actor(nn.Module):
    """`forward` takes the packed observation (N, layout.size) and state (N, state_size); `step` takes
    channels by name. Learners that explore call its three parts: `perceive`, `latent` and `head`, `scale`.

    Raises ContractError at construction when it would see an unknown channel, or a privileged one and is no expert.
    """

    low: Tensor
    half_range: Tensor

    def __init__(
        self, task: Task, config: ActorConfig, features: tuple[Feature, ...] = (), fused_slots: int = 0
    ) -> None:
        super().__init__()
        if not config.hidden:
            raise ContractError("ActorConfig.hidden is empty: an actor needs one hidden layer at least")
        self.config = config
        self.layout = Layout(task.channels)
        known = tuple(self.layout.channel)
        names = config.trend.channels or config.channels
        names = names or ((task.critic_channels or known) if config.privileged else ())
        self.channels = self._selected(task, names)
        trend = (config.trend.feature,) if config.trend.channel else ()
        chosen = features or trend or self._features(task, names)
        self._refuse(chosen)
        self.features = FeatureStack(chosen, self.layout, task.step_dt, fused_slots)
        self.normaliser = Normaliser(self.features.output_size, enabled=config.normalise)
        first = [TrendConvolution(self.features.output_size // ROWS, config.trend)] if trend else []
        widths = (first[0].out_features if first else self.features.output_size, *config.hidden)
        self.hidden = nn.ModuleList([*first, *(nn.Linear(a, b) for a, b in pairwise(widths))])
        self._first: tuple[Tensor, Tensor] | None = None
        self.gru = nn.GRUCell(widths[-1], config.recurrent) if config.recurrent else None
        self.head = nn.Linear(config.recurrent or widths[-1], task.action_size)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()
        low = torch.tensor([v for a in task.actions for v in a.low])
        high = torch.tensor([v for a in task.actions for v in a.high])
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("half_range", 0.5 * (high - low), persistent=False)

    def _selected(self, task: Task, names: tuple[str, ...]) -> tuple[Channel, ...]:
        where = "ActorConfig." + ("trend" if self.config.trend.channel else "channels")
        for name in names:
            if name not in self.layout.channel:
                known = ", ".join(self.layout.channel)
                raise ContractError(f"{where}: there is no channel {name!r}; there are {known}")
            if self.layout.channel[name].privileged and not self.config.privileged:
                raise ContractError(f"{where}: {name} is privileged: an actor may not see it")
        seen = set(names or (c.name for c in task.actor_channels)) - {"applied_action"}
        return tuple(c for c in task.channels if c.name in seen)

    def _features(self, task: Task, names: tuple[str, ...]) -> tuple[Feature, ...]:
        """The task's own features of the channels seen, and what none of them reads as it is."""
        if not task.features or not names:
            return task.features or tuple(Scale(Pick(c.name)) for c in self.channels)
        seen = {*names, "applied_action"}
        kept = tuple(f for f in task.features if {p.channel for p in _picks(vars(f).values())} <= seen)
        read = {p.channel for f in kept for p in _picks(vars(f).values())}
        return (*kept, *(Scale(Pick(c.name)) for c in self.channels if c.name not in read))

    def _refuse(self, features: tuple[Feature, ...]) -> None:
        for feature in features:
            for pick in _picks(vars(feature).values()):
                channel = self.layout.channel.get(pick.channel)
                if channel is None:
                    known = ", ".join(c.name for c in self.channels)
                    raise ContractError(f"{feature}: there is no channel {pick.channel!r}; there are {known}")
                if channel.privileged and not self.config.privileged:
                    raise ContractError(f"{feature}: {channel.name} is privileged: an actor may not see it")

    @property
    def state_size(self) -> int:
        return self.features.state_size + self.config.recurrent

    @property
    def reset_values(self) -> tuple[float, ...]:
        """The state at activation."""
        return (*self.features.reset[0].tolist(), *([0.0] * self.config.recurrent))

    def initial_state(self, num_envs: int) -> Tensor:
        """(num_envs, state_size)."""
        reset = torch.tensor(self.reset_values, device=self.low.device, dtype=torch.float32)
        return reset.expand(num_envs, -1).contiguous()

    @contextmanager
    def window(self) -> Iterator[None]:
        """Within it the normaliser is folded into the first layer once, not once a step."""
        self._first = self.normaliser.fold(self.hidden[0].weight, self.hidden[0].bias)
        try:
            yield
        finally:
            self._first = None

    @torch.no_grad()
    def learn_normaliser(self, x: Tensor, state: Tensor) -> None:
        """Takes (steps, N, layout.size) packed observations in, all with the same state (N, state_size)."""
        memory = state[:, : self.features.state_size]
        for row in x:
            self.normaliser.update(self.features(row, memory)[0])

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(N, layout.size), (N, state_size) -> (N, action_size) SI, (N, state_size)."""
        y, memory, hidden = self.perceive(x, state)
        y = self.latent(y, hidden)
        return self.scale(self.head(y)), torch.cat([memory, y], -1) if self.gru is not None else memory

    def perceive(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, layout.size), (N, state_size) -> features (N, F) without normalisation, their next memory
        (N, features.state_size), and the GRU's units (N, recurrent) of `state`. No weight takes part in it."""
        memory, hidden = state.split([self.features.state_size, self.config.recurrent], -1)
        return *self.features(x, memory), hidden

    def latent(self, y: Tensor, hidden: Tensor) -> Tensor:
        """Features (..., F) and the GRU's units -> what `head` reads; with a GRU that is its next units."""
        y = self._trunk(y)
        return y if self.gru is None else self.gru(y, hidden)

    def unroll(self, y: Tensor, hidden: Tensor, begins: Tensor) -> Tensor:
        """`latent` of many steps: features (T, N, F), the GRU's units (N, recurrent) before the first of them, and
        (T, N) bool where an episode begins and the units with it -> (T, N, ...). Without a GRU any (..., F)."""
        y = self._trunk(y)
        if self.gru is None:
            return y
        steps = []
        for row, anew in zip(y, begins[..., None], strict=True):
            hidden = self.gru(row, hidden.masked_fill(anew, 0.0))
            steps.append(hidden)
        return torch.stack(steps)

    def _trunk(self, y: Tensor) -> Tensor:
        first, *others = self.hidden
        y = tanh(linear(y, *(self._first or self.normaliser.fold(first.weight, first.bias))))
        for layer in others:
            y = tanh(layer(y))
        return y

    def normalised_latent(self, y: Tensor) -> Tensor:
        """`latent` of features (batch, F) that have been through the normaliser already, without a GRU: for learners
        that take whole batches from a replay. The doubling in tanh(x) = 1 - 2 sigmoid(-2 x) is part of the product."""
        for layer in self.hidden:
            y = torch.sigmoid(torch.addmm(layer.bias, y, layer.weight.T, beta=-2.0, alpha=-2.0))
            y = torch.rsub(y, 1.0, alpha=2.0)
        return y

    def scale(self, y: Tensor) -> Tensor:
        """The head's (..., action_size), any real number -> SI within [low, high]."""
        return self.unshare(tanh(y))

    def share(self, action: Tensor) -> Tensor:
        """SI (..., action_size) -> [-1, 1] of its range: what a critic of actions sees."""
        return (action - self.low - self.half_range) / self.half_range

    def unshare(self, share: Tensor) -> Tensor:
        """The way back: [-1, 1] -> SI."""
        return torch.addcmul(self.low + self.half_range, share, self.half_range)

    def step(self, obs: Mapping[str, Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, from channels by name, `applied_action` among them; what the actor does not see counts as zero.

        Raises ContractError naming a channel that is missing.
        """
        parts, rows, seen = [], state.shape[0], {"applied_action", *(c.name for c in self.channels)}
        for name, channel in self.layout.channel.items():
            if name not in seen:
                parts.append(state.new_zeros(rows, channel.size))
            elif name in obs:
                parts.append(obs[name].reshape(rows, channel.size))
            else:
                raise ContractError(f"channel {name} is missing; given are {', '.join(obs)}")
        return self(torch.cat(parts, -1), state)

    def onnx(
        self, graph: Graph, inputs: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]:
        """The whole policy as ONNX nodes: names of action and next state."""
        inputs = {**inputs, "applied_action": applied_action}
        for name, value in inputs.items():
            if len(graph.shape(value)) > 1:  # features see images and fields as rows
                inputs[name] = graph.op("Flatten", value, axis=1)
        memory, hidden, n = state or "", "", self.features.state_size
        if self.gru is not None:
            columns = np.arange(n + self.config.recurrent)
            hidden = graph.op("Gather", memory, graph.constant(columns[n:]), axis=1)
            memory = graph.op("Gather", memory, graph.constant(columns[:n]), axis=1) if n else ""
        y, next_state = self.features.onnx(graph, inputs, memory)
        y = self.normaliser.onnx(graph, y)
        for layer in self.hidden:
            y = graph.op("Tanh", _gemm(graph, y, layer.weight, layer.bias))
        if self.gru is not None:
            y = self._gru_onnx(graph, y, hidden)
            next_state = graph.op("Concat", next_state, y, axis=1) if n else y
        y = graph.op("Tanh", _gemm(graph, y, self.head.weight, self.head.bias))
        y = graph.op("Mul", y, graph.constant(self.half_range.cpu().numpy()))
        action = graph.op("Add", y, graph.constant((self.low + self.half_range).cpu().numpy()))
        return action, next_state or None

    def _gru_onnx(self, graph: Graph, y: str, hidden: str) -> str:
        """torch.nn.GRUCell written out: r, z, n gates; h' = n + z (h - n)."""
        assert self.gru is not None
        k = self.config.recurrent
        split = lambda t: (t[:k], t[k : 2 * k], t[2 * k :])  # noqa: E731
        wx, wh = split(self.gru.weight_ih), split(self.gru.weight_hh)
        bx, bh = split(self.gru.bias_ih), split(self.gru.bias_hh)
        from_x = [_gemm(graph, y, w, b) for w, b in zip(wx, bx, strict=True)]
        from_h = [_gemm(graph, hidden, w, b) for w, b in zip(wh, bh, strict=True)]
        r = graph.op("Sigmoid", graph.op("Add", from_x[0], from_h[0]))
        z = graph.op("Sigmoid", graph.op("Add", from_x[1], from_h[1]))
        n = graph.op("Tanh", graph.op("Add", from_x[2], graph.op("Mul", r, from_h[2])))
        return graph.op("Add", n, graph.op("Mul", z, graph.op("Sub", hidden, n)))


def _picks(values: Iterable[Any]) -> Iterator[Pick]:
    """Every Pick among a feature's fields, inside tuples too."""
    for value in values:
        if isinstance(value, Pick):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _picks(value)


def _gemm(graph: Graph, x: str, weight: Tensor, bias: Tensor) -> str:
    w, b = (graph.constant(t.detach().cpu().numpy()) for t in (weight, bias))
    return graph.op("Gemm", x, w, b, transB=1)
