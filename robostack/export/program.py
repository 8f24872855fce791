"""A policy.onnx as a program in C: every value gets its place, every node becomes a kernel call."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from onnx import helper, numpy_helper

from robostack.export import hot_swap
from robostack.export.c_text import c_float, c_list, plain
from robostack.export.contract_c import contract_table
from robostack.export.network import scalings
from robostack.export.onnx import LoadedPolicy
from robostack.export.profile import Operand, row_shape
from robostack.spec import ContractError

_BINARY = {"Add": "rs_add", "Sub": "rs_sub", "Mul": "rs_mul", "Div": "rs_div"}
_UNARY = {"Tanh": "rs_tanh", "Sigmoid": "rs_sigmoid", "Sqrt": "rs_sqrt"}
MAX_ELEMENTS = 65535
"""Elements of one value: indices in the C tables are 16 bits wide."""


@dataclass(frozen=True)
class Place:
    """Where a value lies: `base` is a pointer in the generated C, `offset` counts elements from it."""

    base: str
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.base} + {self.offset}" if self.offset else self.base

    def after(self, elements: int) -> Place:
        return Place(self.base, self.offset + elements)


@dataclass
class Program:
    """The graph, laid out: first every value gets its place, then every node becomes a call.

    A value that is only another name for a run of an earlier one (Flatten, Identity, a Gather of neighbours)
    is a pointer into it, its root. A root that ends in a Concat or an output is computed in place there; the
    others get a block of `scratch`, which they leave to later ones when nobody reads them any more.
    """

    port: ClassVar[str] = "c"
    """its entry in the self-test's tolerances"""
    headers: ClassVar[tuple[str, ...]] = ("kernels.h",)
    dense_kernel: ClassVar[str] = "rs_dense"
    locals: ClassVar[tuple[str, ...]] = ()
    """declarations that start the C function"""
    policy: LoadedPolicy
    hot_swap: bool = False
    """Are its numbers a structure that another policy's can take the place of (robostack.export.hot_swap)?"""
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    """what a hot swap exchanges: arrays by their names in C"""
    scalings: dict[str, tuple[Any, str, str]] = field(default_factory=dict)
    """by dense layer: the product that its weights have taken in (robostack.export.network.scalings)"""
    roots: dict[str, tuple[str, int]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    operands: dict[str, Operand] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    scratch: int = 0
    blocks: dict[int, int] = field(default_factory=dict)
    """of scratch: first element and size"""
    multiply_adds: int = 0
    constant_bytes: int = 0

    def __post_init__(self) -> None:
        graph, spec = self.policy.model.graph, self.policy.spec
        start = 0
        for channel in spec.observations:
            self._input(channel.name, channel.shape, Place("observation", start))
            start += channel.size
        self._input("applied_action", (spec.action_size,), Place("applied_action"))
        if spec.state.size:
            self._input("state", (spec.state.size,), Place("state"))
        for tensor in graph.initializer:
            try:
                value = numpy_helper.to_array(tensor)
            except (TypeError, ValueError) as error:
                name = plain(tensor.name)
                raise ContractError(f"{self.policy.origin}: constant {name} is damaged: {error}") from error
            self.operands[tensor.name] = Operand(value.shape, value)
        for node in graph.node:
            self._check(node)
            self._root(node)
        outputs = [output.name for output in graph.output]
        if lost := [name for name in outputs if name not in self.roots]:
            raise ContractError(f"{self.policy.origin}: no node computes the output {lost[0]}; export it again")
        for name in outputs:
            self._aim(name, Place(name))
        self.scalings = scalings(graph)
        taken_in = [node.output[0] for node, *_ in self.scalings.values()]
        kept = [node for node in graph.node if node.output[0] not in taken_in]
        for node in reversed(kept):
            self._lay_out(node)
        self._share(kept, outputs)
        for node in kept:
            if self.roots[node.output[0]] == (node.output[0], 0):
                self._emit(node)
        for name in outputs:
            self._copy(self._place(name), Place(name), self._size(name), "output " + name)

    def _input(self, name: str, shape: tuple[int, ...], place: Place) -> None:
        self.operands[name], self.places[name], self.roots[name] = Operand(shape), place, (name, 0)

    def _size(self, name: str) -> int:
        return int(np.prod(self.operands[name].shape))

    def _place(self, name: str) -> Place:
        root, offset = self.roots[name]
        return self.places[root].after(offset)

    def _check(self, node: Any) -> None:
        """Adds the shape of the node's result; raises ContractError where the profile ends."""
        try:
            if len(node.output) != 1:
                raise ContractError(f"has {len(node.output)} outputs")
            if node.output[0] in self.operands:
                raise ContractError(f"computes {plain(node.output[0])!r}, which exists already")
            unknown = [i for i in node.input if i and i not in self.operands]
            if unknown:
                raise ContractError(f"reads {plain(unknown[0])!r}, which no earlier node computes")
            given = [self.operands[i] if i else None for i in node.input]
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            shape = row_shape(node.op_type, given, attributes)
            if int(np.prod(shape)) > MAX_ELEMENTS:
                raise ContractError(f"its result has {int(np.prod(shape))} elements; C handles {MAX_ELEMENTS}")
        except ContractError as error:
            raise ContractError(
                f"{self.policy.origin}: node {plain(node.name) or '(unnamed)'} ({plain(node.op_type)}) "
                f"cannot be compiled to C: {error}. Rebuild it from the operators of "
                "robostack.export.profile, or run the policy in ONNX Runtime"
            ) from error
        self.operands[node.output[0]] = Operand(shape)

    def _root(self, node: Any) -> None:
        result = node.output[0]
        if node.op_type in ("Flatten", "Identity"):
            self.roots[result] = self.roots[node.input[0]]
        elif node.op_type == "Gather" and (np.diff(columns := self.columns(node)) == 1).all():
            root, offset = self.roots[node.input[0]]
            self.roots[result] = (root, offset + int(columns[0]))
        else:
            self.roots[result] = (result, 0)

    def columns(self, node: Any) -> np.ndarray:
        indices = self.operands[node.input[1]].constant
        assert indices is not None
        return np.where(indices < 0, indices + self._size(node.input[0]), indices)

    def _aim(self, name: str, place: Place) -> None:
        """Has the root of `name` computed at `place`, unless it has another place already or is larger."""
        root, _ = self.roots[name]
        if root not in self.places and self._size(root) == self._size(name):
            self.places[root] = place

    def _lay_out(self, node: Any) -> None:
        """Walking backwards, so that everybody who wants this result at some place has already said so."""
        result = node.output[0]
        if self.roots[result] != (result, 0):
            return
        if result not in self.places:
            self.places[result] = Place("scratch", self.scratch)
            self.blocks[self.scratch] = self._size(result)
            self.scratch += self._size(result)
        if node.op_type == "Concat":
            place = self.places[result]
            for name in node.input:
                self._aim(name, place)
                place = place.after(self._size(name))

    def _share(self, kept: list[Any], outputs: list[str]) -> None:
        """Moves every block to the first room that is free while its values are written and read, in order of birth."""
        starts, lives = list(self.blocks), dict[int, tuple[int, int]]()
        touched = [[node.output[0], *self._alive(node)] for node in kept] + [outputs]
        for when, names in enumerate(touched):
            for root in {self.roots[name][0] for name in names} & self.places.keys():
                if (place := self.places[root]).base == "scratch":
                    block = starts[bisect_right(starts, place.offset) - 1]
                    lives[block] = lives.get(block, (when, when))[0], when
        moved: dict[int, int] = {}
        for block in sorted(lives, key=lambda b: lives[b][0]):
            at = 0
            for other, start in sorted(moved.items(), key=lambda pair: pair[1]):
                if lives[other][1] >= lives[block][0] and at + self.blocks[block] > start:
                    at = max(at, start + self.blocks[other])
            moved[block] = at
        for root, place in self.places.items():
            if place.base == "scratch":
                block = starts[bisect_right(starts, place.offset) - 1]
                self.places[root] = Place("scratch", moved.get(block, 0) + place.offset - block)
        self.scratch = max((at + self.blocks[block] for block, at in moved.items()), default=0)

    def _alive(self, node: Any) -> list[str]:
        """Values that must still be there when a node's result is written."""
        return self._read(node)

    def _read(self, node: Any) -> list[str]:
        """Values that the call of a node reads; none where there is no call."""
        result = node.output[0]
        if self.roots[result] != (result, 0) or any(node is product for product, *_ in self.scalings.values()):
            return []
        return [self.dense(node)[0]] if node.op_type == "Gemm" else [n for n in node.input if n in self.roots]

    def _emit(self, node: Any) -> None:
        op, place, size = node.op_type, self.places[node.output[0]], self._size(node.output[0])
        if op == "Concat":
            self._concat(node, place)
        elif op == "Gather":
            table = self._table("index", self.columns(node).astype(np.uint16))
            self._call("rs_gather", node.name, self._place(node.input[0]), table, place, size)
        elif op == "Gemm":
            self._gemm(node, place, size)
        elif op == "Clip":
            bounds = [self.operands[i].constant if i else None for i in node.input[1:]] + [None, None]
            low, high = (c_float(b) if b is not None else None for b in bounds[:2])
            x = self._place(node.input[0])
            self._call("rs_clip", node.name, x, low or "-INFINITY", high or "INFINITY", place, size)
        elif op in _BINARY:
            a, b = (self._side(name, size) for name in node.input)
            self._call(_BINARY[op], node.name, a, b, place, size)
        else:
            self._call(_UNARY[op], node.name, self._place(node.input[0]), place, size)

    def _side(self, name: str, size: int) -> Place | str:
        value = self.operands[name].constant
        if value is None:
            return self._place(name)
        return self._table("constant", np.broadcast_to(value.reshape(-1), (size,)))

    def _concat(self, node: Any, place: Place) -> None:
        """Copies the parts that were not computed in place, neighbours together."""
        runs: list[tuple[Place, Place, int]] = []
        for name in node.input:
            source, size = self._place(name), self._size(name)
            last = runs[-1] if runs else None
            if last and last[0].after(last[2]) == source and last[1].after(last[2]) == place:
                runs[-1] = (last[0], last[1], last[2] + size)
            else:
                runs.append((source, place, size))
            place = place.after(size)
        for source, target, size in runs:
            self._copy(source, target, size, node.name)

    def _copy(self, source: Place, target: Place, size: int, why: str) -> None:
        if source != target:
            self._call("rs_copy", why, source, target, size)

    def _gemm(self, node: Any, place: Place, rows: int) -> None:
        x, weights, bias = self.dense(node)
        packed, inputs = self._table("weights", self._pack(weights)), weights.shape[1]
        self._call(self.dense_kernel, node.name, packed, self._table("bias", bias), self._place(x), inputs, place, rows)
        self.multiply_adds += weights.size

    def _pack(self, weights: np.ndarray) -> np.ndarray:
        return pack(weights)

    def dense(self, node: Any) -> tuple[str, np.ndarray, np.ndarray]:
        """A Gemm: the value that comes in, (rows, inputs) weights and (rows,) bias."""
        constants = {name: o.constant for name, o in self.operands.items() if o.constant is not None}
        x, weights = node.input[0], constants[node.input[1]]
        if not any(a.name == "transB" and a.i for a in node.attribute):
            weights = weights.T
        if node.output[0] in self.scalings:
            _, x, factor = self.scalings[node.output[0]]
            weights = (weights * constants[factor].reshape(-1).astype(np.float64)).astype(np.float32)
        has_bias = len(node.input) > 2 and node.input[2]
        return x, weights, constants[node.input[2]].reshape(-1) if has_bias else np.zeros(len(weights), np.float32)

    def _call(self, kernel: str, why: str, *arguments: Place | str | int) -> None:
        words = [f"{a}u" if isinstance(a, int) else str(a) for a in arguments]
        self.calls.append(f"  {kernel}({', '.join(words)}); /* {plain(why)} */")

    def _table(self, kind: str, values: np.ndarray) -> str:
        """The name of a constant C array; equal ones share it, unless the next policy's may differ."""
        if self.hot_swap and kind != "index":
            name = f"{kind}_{len(self.numbers)}"
            self.numbers[name] = values
            self.constant_bytes += values.nbytes
            return f"numbers->{name}"
        text = f"{hot_swap.c_type(values)} @[{len(values)}] = {c_list(values)};"
        if text not in self.tables:
            self.tables[text] = f"{kind}_{len(self.tables)}"
            self.constant_bytes += values.nbytes
        return self.tables[text]

    def source(self) -> str:
        body = "\n".join(self.calls)
        code = re.sub(r"/\*.*?\*/", "", body)
        names = ("observation", "applied_action", "state", "action", "next_state")
        parameters = "const float *observation, const float *applied_action, const float *state,"
        unused = [name for name in names if not re.search(rf"\b{name}\b", code)]
        digest, task = self.policy.policy_hash[:16], self.policy.spec.task
        lines = [
            f"/* Generated by robostack from policy {digest} of task {task}; do not edit. */",
            *(["#include <math.h>", ""] if "INFINITY" in code else []),
            *(f'#include "{name}"' for name in ((*self.headers, "bank.h") if self.hot_swap else self.headers)),
            "",
            contract_table(self.policy.spec, self.policy.policy_hash, self.port).rstrip(),
            "",
            *(f"static const {text.replace('@', name, 1)}" for text, name in self.tables.items()),
            *self._buffers(),
            *self._numbers(),
            "",
            f"static void infer_with(const numbers_t *numbers, {parameters}"
            if self.hot_swap
            else f"void policy_infer({parameters}",
            "                  float *action, float *next_state) {",
            *(f"  (void){name};" for name in unused),
            *self.locals,
            body,
            "}",
            "",
            *([hot_swap.definitions(self.topology)] if self.hot_swap else []),
        ]
        return "\n".join(lines)

    def _buffers(self) -> list[str]:
        return [f"static {kind} {name}[{size}];" for (kind, name), size in self.buffers().items() if size]

    def _numbers(self) -> list[str]:
        """Their types, and where they lie, in a build for hot swap."""
        if not self.hot_swap:
            return []
        types = hot_swap.types(self.numbers, self.policy.spec, self.policy.origin)
        values = [f"  .{name} = {c_list(array)}," for name, array in self.numbers.items()]
        return ["", types, "", "static const numbers_t built_in = {", *values, "};", "static image_t images[2];"]

    @property
    def topology(self) -> str:
        """Digest of all that a hot swap leaves as it is."""
        types = hot_swap.types(self.numbers, self.policy.spec, self.policy.origin)
        calls = [re.sub(r" /\*.*?\*/", "", call) for call in self.calls]
        parts = [types, *self.tables, *self._buffers(), *calls]
        return hot_swap.topology(self.policy.spec.interface_hash, self.port, parts)

    def image(self) -> bytes:
        """What a hot swap exchanges."""
        return hot_swap.image(self.numbers, self.policy.spec, self.port, self.policy.origin)

    def buffers(self) -> dict[tuple[str, str], int]:
        """Static memory: type and name in C, and elements."""
        return {("float", "scratch"): self.scratch}

    def sizes(self) -> str:
        """Sizes of the static buffers of envelope and link, in elements; C has no empty arrays."""
        spec = self.policy.spec
        values = {
            "CHANNELS": len(spec.observations),
            "OBSERVATION": spec.observation_size,
            "ACTION": spec.action_size,
            "STATE": max(1, spec.state.size),
        }
        bank = f"{len(self.image())}u /* bytes of a bank" if self.hot_swap else "0u /* no hot swap"
        return "\n".join(
            [
                "/* Generated by robostack from policy.onnx, in elements; do not edit. */",
                "#ifndef RS_POLICY_SIZES_H",
                "#define RS_POLICY_SIZES_H",
                "",
                *(f"#define RS_MAX_{name} {value}u" for name, value in values.items()),
                f"#define RS_SWAP_SIZE {bank} */",
                "",
                "#endif",
                "",
            ]
        )


def pack(weights: np.ndarray) -> np.ndarray:
    """(rows, inputs) -> flat, in blocks of 8, 4 and 1 rows, column by column in a block: see rs_dense."""
    blocks, row = [], 0
    while row < len(weights):
        left = len(weights) - row
        height = 8 if left >= 8 else 4 if left >= 4 else 1
        blocks.append(weights[row : row + height].T.reshape(-1))
        row += height
    return np.concatenate(blocks).astype(np.float32)
