"""Graph: builds an ONNX graph node by node, within the profile, knowing every shape as it goes.

    graph = Graph()
    x = graph.input("position", (3,))
    y = graph.op("Tanh", graph.op("Gemm", x, graph.constant(weights), graph.constant(bias), transB=1))
    graph.output("action", y)

A mistake is raised where it is made, with the node's name, instead of when somebody loads the file. The same
calls always give the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper

from robostack.export.profile import Operand, Shape, row_shape
from robostack.spec import ContractError


class Graph:
    """See the module's docstring. Values are named by strings; every value has a batch dimension N, constants
    none.

    Node names start with a capital, channel names with a lower-case letter, so they never meet.
    """

    def __init__(self) -> None:
        self._operands: dict[str, Operand] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, Shape, bytes], str] = {}
        self._initializers: list[Any] = []

    def input(self, name: str, shape: Shape) -> str:
        """A float32 input [N, *shape]; returns its name."""
        self._declare(name, Operand(tuple(shape)))
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]))
        return name

    def constant(self, value: np.ndarray | np.generic | float) -> str:
        """A float32 (or int64, for indices) initializer; equal constants share one. Raises ContractError on
        NaN.
        """
        array = np.asarray(value)
        array = array.astype(np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32)
        if not np.isfinite(array).all():
            raise ContractError(f"a constant of shape {list(array.shape)} holds NaN or infinity: the training diverged")
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = f"Constant_{len(self._constants)}"
            self._declare(name, Operand(array.shape, array))
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def op(self, op_type: str, *operands: str, **attributes: Any) -> str:
        """A node of the profile; returns the name of its result. An optional operand left out is "".

        Raises ContractError naming the node when it is outside the profile.
        """
        name = f"{op_type}_{len(self._nodes)}"
        known = [self._operands[self._find(o, name)] if o else None for o in operands]
        try:
            shape = row_shape(op_type, known, attributes)
        except ContractError as error:
            raise ContractError(f"node {name}({', '.join(operands)}): {error}") from error
        return self._add(op_type, name, operands, shape, attributes)

    def op_outside_profile(self, op_type: str, *operands: str, shape: Shape, **attributes: Any) -> str:
        """A node that runs in ONNX Runtime only (a convolution, say); the caller states the shape of a result
        row.
        """
        name = f"{op_type}_{len(self._nodes)}"
        for operand in operands:
            if operand:
                self._find(operand, name)
        return self._add(op_type, name, operands, shape, attributes)

    def output(self, name: str, value: str) -> str:
        """Declares `value` as the graph's output `name`."""
        shape = self._operands[self._find(value, name)].shape
        self._declare(name, Operand(shape))
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"Identity_{len(self._nodes)}"))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]))
        return name

    def shape(self, value: str) -> Shape:
        """Shape of one row of a value, without the batch; the whole shape of a constant."""
        return self._operands[self._find(value, "shape()")].shape

    def size(self, value: str) -> int:
        """Elements in one row of a value."""
        return int(np.prod(self.shape(value)))

    def proto(self, name: str = "policy") -> GraphProto:
        """The finished graph."""
        if not self._outputs:
            raise ContractError("the graph has no output: call output(name, value)")
        return helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._initializers)

    def _add(self, op_type: str, name: str, operands: tuple[str, ...], shape: Shape, attributes: dict[str, Any]) -> str:
        self._declare(name, Operand(tuple(shape)))
        # helper.make_node sorts attributes by name, so their order in the call does not matter
        self._nodes.append(helper.make_node(op_type, list(operands), [name], name=name, **attributes))
        return name

    def _declare(self, name: str, operand: Operand) -> None:
        if name in self._operands:
            raise ContractError(f"value {name!r} is declared twice")
        self._operands[name] = operand

    def _find(self, value: str, where: str) -> str:
        if value not in self._operands:
            raise ContractError(f"{where}: unknown value {value!r}; known so far: {', '.join(self._operands)}")
        return value
