"""A policy that was trained elsewhere, in our contract: its layers behind our features and our action's range.

What is read is numbers only, or TorchScript: `torch.load(weights_only=True)` runs no code of the file. The network is
normaliser, linear layers with one activation between them, and a last clip (or tanh) to [-1, 1]; each is written with
the operators that the C generator knows.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from robostack.adapters.elementwise import IN_TORCH, Activation, activation, clip
from robostack.adapters.groups import Quaternion, policy_columns, raw_features
from robostack.features import Feature
from robostack.nets.actor import Actor, ActorConfig
from robostack.spec import ContractError
from robostack.task import Task

if TYPE_CHECKING:
    from robostack.export.graph import Graph

Squash = Literal["clip", "tanh"]
_MODULES: dict[str, Activation] = {
    "Tanh": "tanh", "ReLU": "relu", "ELU": "elu", "SELU": "selu", "LeakyReLU": "leaky_relu", "SiLU": "silu",
    "Sigmoid": "sigmoid",
}  # fmt: skip
"""torch's modules"""
RSL_RL_EPS = 1e-2
"""what rsl_rl 5.5.1 adds to the deviation (EmpiricalNormalization); its checkpoints do not hold it"""


@dataclass(frozen=True)
class Network:
    """y = squash(W_n ... act(W_1 (x - mean) / deviation + b_1) ... + b_n), in [-1, 1]."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    """weight (out, in) and bias (out,) of each linear layer"""
    activation: Activation
    normaliser: tuple[Tensor, Tensor] | None = None
    """mean (in,) and what x - mean is divided by (in,)"""
    squash: Squash = "clip"

    def __post_init__(self) -> None:
        if not self.layers:
            raise ContractError("the network has no linear layer")
        widths = [w.shape for w, _ in self.layers]
        for (above, _), (_, below) in pairwise(widths):
            if above != below:
                raise ContractError(
                    f"linear layers of {[tuple(w) for w in widths]} do not follow each other: "
                    "name the policy's own, in their order (--layers)"
                )

    @property
    def input_size(self) -> int:
        return self.layers[0][0].shape[1]

    @property
    def output_size(self) -> int:
        return self.layers[-1][0].shape[0]

    def raw(self, x: Tensor) -> Tensor:
        """(N, input_size) -> (N, output_size), before the squash."""
        if self.normaliser is not None:
            x = (x - self.normaliser[0]) / self.normaliser[1]
        for i, (weight, bias) in enumerate(self.layers):
            x = linear(x, weight, bias)
            if i + 1 < len(self.layers):
                x = IN_TORCH[self.activation](x)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        y = self.raw(x)
        return torch.tanh(y) if self.squash == "tanh" else y.clamp(-1.0, 1.0)

    def onnx(self, graph: Graph, x: str) -> str:
        if self.normaliser is not None:
            mean, deviation = (graph.constant(t.numpy()) for t in self.normaliser)
            x = graph.op("Div", graph.op("Sub", x, mean), deviation)
        for i, (weight, bias) in enumerate(self.layers):
            x = graph.op("Gemm", x, graph.constant(weight.numpy()), graph.constant(bias.numpy()), transB=1)
            if i + 1 < len(self.layers):
                x = activation(graph, self.activation, x)
        return graph.op("Tanh", x) if self.squash == "tanh" else clip(graph, x, -1.0, 1.0)


class ImportedActor(Actor):
    """A foreign network where our own would be: same features, same range of the action.

    Raises ContractError when the network's sizes are not the task's.
    """

    def __init__(
        self,
        task: Task,
        network: Network,
        features: tuple[Feature, ...] = (),
        *,
        raw: bool = False,
        quaternion: Quaternion = "wxyz",
    ) -> None:
        super().__init__(task, ActorConfig(normalise=False), raw_features(task) if raw else features)
        self.network, self._columns = network, policy_columns(self, quaternion)
        sees = self.features.output_size
        if (network.input_size, network.output_size) != (sees, task.action_size):
            raise ContractError(
                f"the network takes {network.input_size} and gives {network.output_size} numbers; {task.name} "
                f"{'in raw channels' if raw else 'by its features'} has {sees} and {task.action_size}: "
                "use the task's settings it was trained with, and --raw where it saw channels"
            )

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, memory, _ = self.perceive(x, state)
        share = self.network(y if self._columns is None else y[:, self._columns])
        return torch.addcmul(self.low + self.half_range, share, self.half_range), memory

    def onnx(
        self, graph: Graph, inputs: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]:
        rows = {
            name: graph.op("Flatten", value, axis=1) if len(graph.shape(value)) > 1 else value
            for name, value in {**inputs, "applied_action": applied_action}.items()
        }
        y, next_state = self.features.onnx(graph, rows, state or "")
        if self._columns is not None:
            y = graph.op("Gather", y, graph.constant(np.array(self._columns)), axis=1)
        share = graph.op("Mul", self.network.onnx(graph, y), graph.constant(self.half_range.numpy()))
        return graph.op("Add", share, graph.constant((self.low + self.half_range).numpy())), next_state or None


def read_network(
    path: Path, activation: Activation | None = None, squash: Squash = "clip", layers: tuple[str, ...] = ()
) -> Network:
    """The policy in an rsl_rl checkpoint, a state_dict or a TorchScript file.

    `layers` are the prefixes of its linear layers in a state_dict, in their order (default: all there are). Raises
    ContractError for what is none of these, would run code, or holds more than such a network.
    """
    if not path.is_file():
        raise ContractError(f"{path}: no such file; give a checkpoint (.pt) or an ONNX file")
    if _is_torchscript(path):
        return _from_torchscript(path, squash)
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        raise ContractError(
            f"{path}: not plain weights ({type(error).__name__}); a pickled module would run code when it is read: "
            "save its state_dict() (torch.save(module.state_dict(), path)) or TorchScript (torch.jit.script)"
        ) from error
    if activation is None:
        known = ", ".join(get_args(Activation))
        raise ContractError(f"{path}: weights do not say what is between them; add --activation, one of {known}")
    state, normaliser = kept, None
    if isinstance(kept, Mapping) and "actor_state_dict" in kept:
        state, normaliser, layers = kept["actor_state_dict"], "obs_normalizer.", layers or ("mlp.",)
    elif isinstance(kept, Mapping) and "model_state_dict" in kept:  # rsl_rl before 4.0
        state, normaliser, layers = kept["model_state_dict"], "actor_obs_normalizer.", layers or ("actor.",)
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ContractError(f"{path}: neither an rsl_rl checkpoint nor a state_dict of tensors")
    recurrent = [k for k in state if "weight_ih" in k or "weight_hh" in k]
    if recurrent:
        raise ContractError(f"{path}: {recurrent[0]} is of a recurrent network, which cannot be imported")
    return Network(_linear(state, layers, path), activation, _normaliser(state, normaliser), squash)


def _linear(state: Mapping[str, Tensor], prefixes: tuple[str, ...], path: Path) -> tuple[tuple[Tensor, Tensor], ...]:
    found = []
    for prefix in prefixes or ("",):
        names = [k for k in state if k.startswith(prefix) and k.endswith("weight")]
        if not names:
            raise ContractError(f"{path}: no weights under {prefix!r}; there are {', '.join(list(state)[:20])}")
        for name in names:
            weight, bias = state[name].float(), state.get(name.removesuffix("weight") + "bias")
            if weight.ndim != 2:
                raise ContractError(f"{path}: {name} has shape {tuple(weight.shape)}: only linear layers are imported")
            found.append((weight, weight.new_zeros(len(weight)) if bias is None else bias.float()))
    return tuple(found)


def _normaliser(state: Mapping[str, Tensor], prefix: str | None, eps: float = RSL_RL_EPS) -> Any:
    if prefix is None or f"{prefix}_mean" not in state:
        return None
    return state[f"{prefix}_mean"].float().flatten(), state[f"{prefix}_std"].float().flatten() + eps


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _from_torchscript(path: Path, squash: Squash) -> Network:
    """The layers of a scripted or traced module, held against what the module itself computes."""
    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()
    except RuntimeError as error:
        raise ContractError(f"{path}: damaged TorchScript; save it again") from error
    kinds = [m.original_name for m in module.modules()]
    used = dict.fromkeys(_MODULES[k] for k in kinds if k in _MODULES)
    if len(used) != 1:
        raise ContractError(f"{path}: activations {list(used) or 'none'}; one kind between linear layers is imported")
    state = module.state_dict()
    layers = tuple(name for name in dict.fromkeys(k.partition(".")[0] for k in state) if name != "obs_normalizer")
    normaliser = _normaliser(state, "obs_normalizer.")
    network = Network(_linear(state, layers, path), next(iter(used)), normaliser, squash)
    x = torch.randn(64, network.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = module(x), network.raw(x)
    for final, y in (("clip", ours), ("tanh", torch.tanh(ours))):
        if isinstance(theirs, Tensor) and theirs.shape == y.shape and torch.allclose(theirs, y, atol=1e-5):
            return network if final == "clip" else replace(network, squash="tanh")
    raise ContractError(f"{path}: computes something else than its linear layers with {next(iter(used))} between them")
