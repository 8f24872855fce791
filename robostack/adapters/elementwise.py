"""Activations between linear layers, in torch and with the operators that the C generator knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from robostack.export.graph import Graph

Activation = Literal["tanh", "relu", "elu", "selu", "leaky_relu", "silu", "sigmoid"]
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848
"""Klambauer et al. 2017, Self-Normalizing Neural Networks"""
LEAK = 0.01
CONSTANTS: Mapping[str, Mapping[str, float]] = {
    "relu": {},
    "elu": {"alpha": 1.0},
    "selu": {"alpha": SELU_ALPHA, "gamma": SELU_SCALE},
    "leaky_relu": {"alpha": LEAK},
}
"""what torch has for each, by the names of ONNX's attributes"""
IN_TORCH: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "elu": F.elu,
    "selu": torch.selu,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
}


def activation(graph: Graph, name: Activation, x: str) -> str:
    """One of them as nodes of the profile."""
    if name in ("tanh", "sigmoid"):
        return graph.op(name.capitalize(), x)
    if name == "silu":
        return graph.op("Mul", x, graph.op("Sigmoid", x))
    positive = clip(graph, x, 0.0, None)
    if name == "relu":
        return positive
    negative = clip(graph, x, None, 0.0)
    if name == "leaky_relu":
        return graph.op("Add", positive, graph.op("Mul", negative, _one(graph, LEAK)))
    # exp(x) - 1 = 2 t / (1 - t) with t = tanh(x / 2): no exponential in the profile, and nothing cancels for x <= 0
    t = graph.op("Tanh", graph.op("Mul", negative, _one(graph, 0.5)))
    below = graph.op("Div", graph.op("Add", t, t), graph.op("Sub", _one(graph, 1.0), t))
    if name == "elu":
        return graph.op("Add", positive, below)
    scaled = graph.op("Mul", below, _one(graph, SELU_ALPHA))
    return graph.op("Mul", graph.op("Add", positive, scaled), _one(graph, SELU_SCALE))


def clip(graph: Graph, x: str, low: float | None, high: float | None) -> str:
    """x within [low, high]; None leaves a side open."""
    return graph.op("Clip", x, *("" if v is None else graph.constant(np.float32(v)) for v in (low, high)))


def _one(graph: Graph, value: float) -> str:
    return graph.constant(np.array([value], np.float32))
