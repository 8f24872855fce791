"""A policy as a C program whose network is int16: the layout of `Program`, with other calls for the network's nodes.

The values of the network are integers (firmware/policy/kernels_int16.h); where another node or an output wants one of
them, it becomes a float again. Everything else is the float32 program's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from robostack.export.network import ACTIVATIONS, network
from robostack.export.program import Place, Program
from robostack.export.quantise import GROUP, ONE, Layer, input_scale, quantise
from robostack.spec import ContractError

_INTEGER = {"Tanh": "rs_tanh_int16", "Sigmoid": "rs_sigmoid_int16"}


@dataclass
class Int16Program(Program):
    """Raises ContractError where `policy.spec.calibration` lacks a range for what enters the network."""

    port: ClassVar[str] = "c_int16"
    headers: ClassVar[tuple[str, ...]] = ("kernels.h", "kernels_int16.h")
    dense_kernel: ClassVar[str] = "rs_dense_by_row"
    locals: ClassVar[tuple[str, ...]] = ("  float not_finite = 0.0f;",)
    words: int = 0
    sums: int = 0
    pairs: dict[tuple[str, int, int], Place] = field(default_factory=dict)
    """where root, offset and size of a value are as pairs"""
    nodes: dict[str, Any] = field(default_factory=dict)
    """the node of each result that is computed in integers"""
    layers: dict[str, Layer] = field(default_factory=dict)
    readers: dict[str, list[Any]] = field(default_factory=dict)
    """by root: the nodes that read it; None for an output"""

    def _lay_out(self, node: Any) -> None:
        if not self.nodes:
            self._find_network()
        result = node.output[0]
        if result not in self.nodes or self._wanted_as_float(result):
            super()._lay_out(node)

    def _find_network(self) -> None:
        graph = self.policy.model.graph
        inside = network(graph)
        self.nodes = {node.output[0]: node for node in graph.node if node.output[0] in inside}
        if not self.nodes:
            raise ContractError(f"{self.policy.origin}: no dense layer before a tanh or sigmoid; use float32")
        for node in graph.node:
            for name in self._read(node):
                self.readers.setdefault(self.roots[name][0], []).append(node)
        for output in graph.output:
            self.readers.setdefault(self.roots[output.name][0], []).append(None)
        for name, node in self.nodes.items():
            if node.op_type == "Gemm":
                x, weights, bias = self.dense(node)
                self.layers[name] = quantise(weights, bias, self.scale(x))

    def _alive(self, node: Any) -> list[str]:
        """A layer whose sums go to a tanh or sigmoid is called by that one."""
        source = self.roots[node.input[0]][0] if node.op_type in ACTIVATIONS else ""
        layer = [self.dense(self.nodes[source])[0]] if self.feeds_activation(source) else []
        return super()._alive(node) + layer

    @property
    def entrances(self) -> Mapping[str, tuple[float, ...]]:
        """Ranges of what enters the network."""
        return self.policy.spec.calibration.ranges if self.policy.spec.calibration else {}

    def scale(self, name: str) -> np.ndarray:
        """Of a value that a dense layer takes in."""
        if self.is_activation(name):
            return np.full(self._size(name), ONE, np.float32)
        ranges = self.entrances.get(name)
        if ranges is None or len(ranges) != self._size(name):
            raise ContractError(
                f"{self.policy.origin}: carries no range for {name}, which enters its network: "
                "robostack.export.calibration.calibrated(policy), or robostack export RUN --precision int16"
            )
        return input_scale(np.array(ranges))

    def is_activation(self, name: str) -> bool:
        """Does a value hold all of what a tanh or sigmoid of the network gave?"""
        root, offset = self.roots[name]
        whole = offset == 0 and self._size(root) == self._size(name)
        return whole and root in self.nodes and self.nodes[root].op_type in ACTIVATIONS

    def feeds_activation(self, name: str) -> bool:
        """Are a dense layer's results taken as they are by one tanh or sigmoid of the network, and by nobody else?"""
        if name not in self.layers or not self.layers[name].for_activation:
            return False
        (reader, *others) = self.readers.get(name, [None])
        return not others and reader is not None and reader.op_type in ACTIVATIONS and self._whole(reader, name)

    def _whole(self, reader: Any, root: str) -> bool:
        return self.roots[reader.input[0]] == (root, 0) and self._size(reader.input[0]) == self._size(root)

    def _wanted_as_float(self, root: str) -> bool:
        if root in self.layers:
            return not self.feeds_activation(root)
        return any(
            node is None or node.output[0] not in self.layers or not self.is_activation(self.dense(node)[0])
            for node in self.readers.get(root, [])
        )

    def _emit(self, node: Any) -> None:
        result = node.output[0]
        if result not in self.nodes:
            super()._emit(node)
        elif node.op_type in ACTIVATIONS:
            self._activation(node)
        elif not self.feeds_activation(result):
            self._emit_dense(node)
            place, size = self.places[result], self._size(result)
            unit = np.exp2(-self.layers[result].sum_bits.astype(np.float32)).repeat(GROUP)[:size]
            table = self._table("unit", unit)
            self._call("rs_sums_to_float", node.name, "sums", table, "not_finite", place, size)

    def _activation(self, node: Any) -> None:
        """One of `sums`, which a dense layer has left there, or of floats."""
        result, source = node.output[0], self.roots[node.input[0]][0]
        size = self._size(result)
        if self.feeds_activation(source):
            self._emit_dense(self.nodes[source])
        else:
            self.sums = max(self.sums, size + size % 2)
            self._take_in("rs_preactivation", node.name, self._place(node.input[0]), "sums", size)
        target = self._new_pairs((result, 0, size))
        self._call(_INTEGER[node.op_type], node.name, "sums", target, size)
        if self._wanted_as_float(result):
            self._call("rs_pairs_to_float", node.name, target, "not_finite", self.places[result], size)

    def _pack(self, weights: np.ndarray) -> np.ndarray:
        return weights.reshape(-1)

    def _emit_dense(self, node: Any) -> None:
        layer, name = self.layers[node.output[0]], self.dense(node)[0]
        key = (*self.roots[name], self._size(name))
        if key not in self.pairs:
            scale = self._table("scale", self.scale(name))
            x = self._place(name)
            self._take_in("rs_quantise", node.name, x, scale, self._new_pairs(key), self._size(name))
        rows, columns = layer.weights.shape
        tables = (
            self._table("weights", layer.words),
            self._table("bias", layer.bias.astype(np.int32)),
            self._table("shift", layer.shift.astype(np.uint8)),
        )
        self._call("rs_dense_int16", node.name, *tables, self.pairs[key], columns // 2, "sums", rows)
        self.sums = max(self.sums, rows)
        self.multiply_adds += self._size(node.output[0]) * self._size(name)

    def _take_in(self, kernel: str, why: str, *arguments: Place | str | int) -> None:
        self._call(kernel, why, *arguments)
        self.calls[-1] = self.calls[-1].replace("  ", "  not_finite += ", 1)

    def _new_pairs(self, key: tuple[str, int, int]) -> Place:
        self.pairs[key] = Place("words", self.words)
        self.words += -(-key[2] // 2)
        return self.pairs[key]

    def buffers(self) -> dict[tuple[str, str], int]:
        return {**super().buffers(), ("int32_t", "sums"): self.sums, ("uint32_t", "words"): self.words}
