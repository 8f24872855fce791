"""A small policy with memory and every kind of feature, in numpy and as nodes; and random graphs of the
profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import helper

from robostack.export.graph import Graph
from robostack.export.onnx import LoadedPolicy, export_onnx, wrap_onnx
from robostack.export.profile import IR_VERSION, OPSET
from robostack.spec import ActionChannel, Channel, Cut, Envelope, PolicySpec, State

SPEC = PolicySpec(
    task="small",
    control_dt_s=0.01,
    observations=(
        Channel(name="position", shape=(3,), unit="m", low=(-5.0,), high=(5.0,)),
        Channel(name="field", shape=(2, 2), low=(-2.0,), high=(2.0,)),
        Channel(name="setpoint", shape=(3,), unit="m", low=(-5.0,), high=(5.0,), source="command"),
    ),
    actions=(
        ActionChannel(
            name="speed",
            elements=("left", "right"),
            unit="rad/s",
            low=(-10.0, 0.0),
            high=(10.0, 200.0),
            neutral=(0.0, 0.0),
        ),
    ),
    state=State(reset=(0.5, -0.5, 0.0)),
    envelope=Envelope(fallback=(Cut(value=(0.0, 0.0)),)),
)
ARITHMETIC = ["Gemm", "Add", "Sub", "Mul", "Div", "Clip", "Tanh", "Sigmoid", "Sqrt"]
OPERATORS = ["Gather", "Concat", "Identity", *ARITHMETIC]


class SmallActor:
    """error, field, state -> two tanh layers -> action; the state is a clipped integral of the error."""

    def __init__(self, seed: int = 0, hidden: int = 13) -> None:
        random = np.random.default_rng(seed)
        layer = lambda o, i: (  # noqa: E731
            random.normal(0, i**-0.5, (o, i)).astype(np.float32),
            random.normal(0, 0.1, o).astype(np.float32),
        )
        self.layers = [layer(hidden, 12), layer(2, hidden)]
        self.middle, self.half = np.float32([0.0, 100.0]), np.float32([10.0, 100.0])

    def onnx(
        self, graph: Graph, channel_names: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]:
        assert state is not None
        error = graph.op("Sub", channel_names["position"], channel_names["setpoint"])
        step = graph.op("Mul", error, graph.constant(np.float32(0.01)))
        bounds = (graph.constant(np.float32(-1.0)), graph.constant(np.float32(1.0)))
        next_state = graph.op("Clip", graph.op("Add", state, step), *bounds)
        field = graph.op("Flatten", channel_names["field"])
        applied = graph.op("Div", applied_action, graph.constant(self.half))
        y = graph.op("Concat", error, field, applied, next_state, axis=1)
        for weights, bias in self.layers:
            y = graph.op("Gemm", y, graph.constant(weights), graph.constant(bias), transB=1)
            y = graph.op("Tanh", y)
        y = graph.op("Mul", y, graph.constant(self.half))
        return graph.op("Add", y, graph.constant(self.middle)), next_state

    def __call__(
        self, observation: Mapping[str, np.ndarray], applied_action: np.ndarray, state: np.ndarray | None, /
    ) -> tuple[np.ndarray, np.ndarray | None]:
        assert state is not None
        error = observation["position"] - observation["setpoint"]
        next_state = np.clip(state + error * np.float32(0.01), -1, 1)
        field = observation["field"].reshape(len(error), -1)
        y = np.concatenate([error, field, applied_action / self.half, next_state], 1)
        for weights, bias in self.layers:
            y = np.tanh(y @ weights.T + bias)
        return y * self.half + self.middle, next_state


def small_policy(path: Path, seed: int = 0) -> LoadedPolicy:
    actor = SmallActor(seed)
    return export_onnx(actor, SPEC, path, reference=actor)


def random_policy(operators: Sequence[str], seed: int, folder: Path) -> LoadedPolicy:
    """A policy of SPEC's interface whose graph applies `operators` in order to operands drawn from `seed`."""
    random = np.random.default_rng(seed)
    graph = Graph()
    channels = [graph.input(c.name, c.shape) for c in SPEC.observations]
    values = [graph.op("Flatten", c) for c in channels]
    values += [graph.input("applied_action", (2,)), graph.input("state", (3,))]
    for operator in operators:
        values.append(_random_node(graph, operator, values, random))
    for name, size in (("action", 2), ("next_state", 3)):
        graph.output(name, _columns(graph, str(random.choice(values)), size, random))
    model = helper.make_model(graph.proto(), opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    source = folder / "random.onnx"
    source.write_bytes(model.SerializeToString())
    return wrap_onnx(source, SPEC, folder / "policy.onnx", self_test_rows=4)


def _random_node(  # noqa: PLR0911
    graph: Graph, operator: str, values: list[str], random: np.random.Generator
) -> str:
    x = str(random.choice(values))
    k = graph.size(x)
    vector = lambda n: graph.constant(random.normal(0, 1, n).astype(np.float32))  # noqa: E731
    scalar = lambda v: graph.constant(np.float32(v))  # noqa: E731
    positive = lambda v: graph.op("Add", graph.op("Mul", v, v), scalar(0.5))  # noqa: E731
    other = _columns(graph, str(random.choice(values)), k, random) if random.random() < 0.5 else vector(k)
    match operator:
        case "Gather":
            return _columns(graph, x, int(random.integers(1, 6)), random)
        case "Concat":
            return graph.op("Concat", *(str(v) for v in random.choice(values, random.integers(1, 4))), axis=1)
        case "Gemm":
            rows = int(random.integers(1, 22))
            weights = random.normal(0, k**-0.5, (rows, k)).astype(np.float32)
            transposed = int(random.integers(0, 2))
            bias = [vector(rows)] if random.random() < 0.7 else []
            held = graph.constant(weights if transposed else weights.T)
            return graph.op("Gemm", x, held, *bias, transB=transposed)
        case "Add" | "Sub":
            pair = [x, other] if random.random() < 0.5 else [other, x]
            return graph.op(operator, *pair)
        case "Mul":  # held, so that chains of products stay comparable
            return graph.op("Clip", graph.op("Mul", x, other), scalar(-4.0), scalar(4.0))
        case "Div":
            return graph.op("Div", other, positive(x))
        case "Clip":
            bounds = [scalar(-0.7), scalar(0.9)]
            low, high = (b if random.random() < 0.7 else "" for b in bounds)
            return graph.op("Clip", x, low, high)
        case "Sqrt":
            return graph.op("Sqrt", positive(x))
        case _:
            return graph.op(operator, x)


def _columns(graph: Graph, value: str, size: int, random: np.random.Generator) -> str:
    """`size` columns of a value: neighbours where there are enough, else any, some counted from the end."""
    k = graph.size(value)
    if size <= k and random.random() < 0.5:
        start = int(random.integers(0, k - size + 1))
        columns = np.arange(start, start + size)
    else:
        columns = random.integers(-k, k, size)
    return graph.op("Gather", value, graph.constant(columns), axis=1)
