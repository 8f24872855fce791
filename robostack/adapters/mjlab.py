"""An ONNX policy that mjlab exported, in our contract: the vector it takes is put together inside the graph.

mjlab's file says in its metadata what the vector is made of (`observation_names` with scale, clip and history of each)
and what its output means (target = default_joint_pos + action_scale * output). What it does not say, units, limits and
the envelope, is in a contract that the user writes: observations named as mjlab's, one action a joint in rad. There
`joint_pos` is the measured angle (mjlab's is relative to default_joint_pos), and mjlab's `actions`, the output before,
comes from `applied_action`. The metadata's numbers have three decimals, and so has what is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

from robostack.adapters.elementwise import CONSTANTS, Activation, activation, clip
from robostack.export.graph import Graph
from robostack.export.onnx import MAX_BYTES, LoadedPolicy, export_onnx
from robostack.spec import ContractError, PolicySpec

NEEDED = ("joint_names", "default_joint_pos", "action_scale", "observation_names")
LAST_ACTION = "actions"
"""mjlab's name of the term that is the network's last output"""
_OPERATORS: dict[str, Activation] = {"Elu": "elu", "Selu": "selu", "Relu": "relu", "LeakyRelu": "leaky_relu"}
_AS_THEY_ARE = ("Tanh", "Sigmoid", "Identity")


def import_mjlab(source: Path, contract: PolicySpec, path: Path) -> LoadedPolicy:
    """Writes `path`, held against the given file in ONNX Runtime.

    Raises ContractError naming what the file lacks, does otherwise, or has otherwise than the contract.
    """
    actor = MjlabActor(source, contract)
    kept = {k: v for k, v in actor.metadata.items() if k in (*NEEDED, "joint_stiffness", "joint_damping", "run_path")}
    spec = contract.model_copy(update={"provenance": {**contract.provenance, "mjlab": kept}, "self_test": None})
    return export_onnx(actor, spec, path, reference=actor.reference)


class MjlabActor:
    """The file's network between the contract's channels and joint targets in rad."""

    def __init__(self, source: Path, contract: PolicySpec) -> None:
        self.source, self.contract = source, contract
        if not source.is_file() or source.stat().st_size > MAX_BYTES:
            raise ContractError(f"{source}: no ONNX file, or larger than {MAX_BYTES >> 20} MiB")
        try:
            self.model = onnx.load(source)  # with the weights that lie beside it, in its own folder
        except Exception as error:  # protobuf and onnx raise many kinds
            raise ContractError(f"{source}: damaged, or not ONNX ({type(error).__name__})") from error
        self.metadata = {p.key: p.value for p in self.model.metadata_props}
        missing = [key for key in NEEDED if key not in self.metadata]
        if missing:
            raise ContractError(f"{source}: its metadata has no {', '.join(missing)}: not exported by mjlab")
        self.terms = self._list("observation_names")
        self.default = self._numbers("default_joint_pos", contract.action_size)
        self.scale = self._numbers("action_scale", contract.action_size)
        self._check_joints()
        self._check_terms()
        inputs, outputs = self.model.graph.input, self.model.graph.output
        if len(inputs) != 1 or len(outputs) != 1:
            names = [v.name for v in (*inputs, *outputs)]
            raise ContractError(f"{source}: has {names}; a network of one input and one output is imported")

    def _list(self, key: str) -> list[str]:
        return [v.strip() for v in self.metadata[key].split(",")]

    def _numbers(self, key: str, count: int, default: float | None = None) -> np.ndarray:
        """`count` numbers; one stands for all."""
        if key not in self.metadata and default is not None:
            return np.full(count, default, np.float32)
        try:
            values = np.array([float(v) for v in self._list(key)], np.float32)
        except ValueError as error:
            raise ContractError(f"{self.source}: {key}: {error}") from error
        if len(values) not in (1, count):
            raise ContractError(f"{self.source}: {key} has {len(values)} values; needed are {count}")
        return np.broadcast_to(values, (count,))

    def _check_joints(self) -> None:
        theirs = [name.lower() for name in self._list("joint_names")]
        if theirs != list(self.contract.action_names):
            raise ContractError(
                f"{self.source}: joint_names are {theirs}, the contract's actions {list(self.contract.action_names)}: "
                "name and order them alike"
            )

    def _check_terms(self) -> None:
        ours = [c.name for c in self.contract.observations]
        theirs = [term for term in self.terms if term != LAST_ACTION]
        if sorted(ours) != sorted(theirs):
            raise ContractError(f"{self.source}: observation_names are {theirs}, the contract's observations {ours}")
        if self._numbers("observation_terms_history_length", len(self.terms), 0.0).max() > 1:
            raise ContractError(f"{self.source}: has a history of observations, which is not imported")
        joints = {c.name: c.size for c in self.contract.observations}.get("joint_pos", len(self.default))
        if joints != len(self.default):
            raise ContractError(f"joint_pos has {joints} elements in the contract, {len(self.default)} joints act")
        shape = self.model.graph.input[0].type.tensor_type.shape.dim if self.model.graph.input else []
        width = shape[-1].dim_value if shape else 0
        wanted = self.contract.observation_size + (self.contract.action_size if LAST_ACTION in self.terms else 0)
        if width != wanted:
            raise ContractError(f"{self.source}: takes {width} numbers; the contract's channels make up {wanted}")

    def _limits(self) -> list[tuple[float, float]]:
        key = "observation_terms_clip"
        if key not in self.metadata:
            return [(-np.inf, np.inf)] * len(self.terms)
        pairs = [tuple(float(v) for v in item.split(";")) for item in self._list(key)]
        if len(pairs) != len(self.terms) or any(len(p) != 2 for p in pairs):
            raise ContractError(f"{self.source}: {key} is {self.metadata[key]!r}; needed is low;high for each term")
        return [(p[0], p[1]) for p in pairs]

    def onnx(
        self, graph: Graph, channel_names: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]:
        parts = []
        scales = self._numbers("observation_terms_scale", len(self.terms), 1.0)
        for term, scale, (low, high) in zip(self.terms, scales, self._limits(), strict=True):
            value = applied_action if term == LAST_ACTION else channel_names[term]
            if len(graph.shape(value)) > 1:
                value = graph.op("Flatten", value, axis=1)
            if term in (LAST_ACTION, "joint_pos"):
                value = graph.op("Sub", value, graph.constant(self.default))
            if term == LAST_ACTION:
                value = graph.op("Div", value, graph.constant(self.scale))
            if np.isfinite([low, high]).any():
                value = clip(graph, value, *(v if np.isfinite(v) else None for v in (low, high)))
            parts.append(graph.op("Mul", value, graph.constant(np.array([scale]))) if scale != 1.0 else value)
        x = graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
        y = _translated(self.model.graph, graph, x, self.source)
        y = graph.op("Mul", y, graph.constant(self.scale))
        return graph.op("Add", y, graph.constant(self.default)), None

    def reference(self, observation: Mapping[str, np.ndarray], applied_action: np.ndarray, state: Any, /) -> Any:
        """The file itself in ONNX Runtime, its vector put together in numpy; row by row, as its batch is one."""
        import onnxruntime

        session = onnxruntime.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        parts = []
        scales = self._numbers("observation_terms_scale", len(self.terms), 1.0)
        for term, scale, (low, high) in zip(self.terms, scales, self._limits(), strict=True):
            value = applied_action if term == LAST_ACTION else observation[term].reshape(len(applied_action), -1)
            if term in (LAST_ACTION, "joint_pos"):
                value = value - self.default
            parts.append((value / self.scale if term == LAST_ACTION else value).clip(low, high) * scale)
        x, name = np.concatenate(parts, 1).astype(np.float32), self.model.graph.input[0].name
        y = np.concatenate([session.run(None, {name: row[None]})[0] for row in x])
        return y * self.scale + self.default, None


def _translated(theirs: onnx.GraphProto, graph: Graph, x: str, source: Path) -> str:
    """Their nodes in our profile. Raises ContractError naming a node that has no counterpart."""
    constants = {t.name: numpy_helper.to_array(t) for t in theirs.initializer}
    values = {theirs.input[0].name: x}
    for node in theirs.node:
        try:
            if node.op_type == "Constant":
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            else:
                values[node.output[0]] = _node(node, graph, values, constants)
        except (ContractError, KeyError) as error:
            raise ContractError(f"{source}: node {node.name} ({node.op_type}) cannot be imported: {error}") from error
    return values[theirs.output[0].name]


def _node(node: NodeProto, graph: Graph, values: Mapping[str, str], constants: Mapping[str, np.ndarray]) -> str:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    first = values.get(node.input[0], "")
    if node.op_type in ("Gemm", "MatMul"):
        if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
            raise ContractError("alpha, beta or transA is not the default")
        weight = constants[node.input[1]]
        bias = constants[node.input[2]] if len(node.input) > 2 else np.zeros(1)
        weight = weight if attributes.get("transB", 0) else weight.T
        bias = np.broadcast_to(bias.squeeze(), (len(weight),))
        return graph.op("Gemm", first, graph.constant(weight), graph.constant(bias), transB=1)
    if node.op_type in _OPERATORS:
        default = CONSTANTS[_OPERATORS[node.op_type]]
        if any(abs(attributes.get(k, v) - v) > 1e-6 for k, v in default.items()):
            raise ContractError(f"its {attributes} differ from torch's {default}")
        return activation(graph, _OPERATORS[node.op_type], first)
    if node.op_type in _AS_THEY_ARE:
        return graph.op(node.op_type, first)
    if node.op_type in ("Add", "Sub", "Mul", "Div"):
        a, b = (np.atleast_1d(constants[n].squeeze()) if n in constants else n for n in node.input)
        return graph.op(node.op_type, *(values[v] if isinstance(v, str) else graph.constant(v) for v in (a, b)))
    if node.op_type == "Clip":
        bounds = [float(constants[n]) if n else None for n in (*node.input[1:], "", "")[:2]]
        return clip(graph, first, *bounds)
    raise ContractError("not among the operators of a multilayer perceptron")
