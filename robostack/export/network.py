"""Which nodes of a policy's graph are its network: what an int16 port computes in integers.

A dense layer (Gemm) is part of it when a tanh or sigmoid follows, directly or through the sums and products of a
recurrent cell, or when it takes in what the network computed. A Tanh or Sigmoid is when it follows such a layer.
Features, a rotation matrix's Gemm among them, the normaliser and the action's scale are not.
"""

from __future__ import annotations

from collections import Counter

from onnx import GraphProto, NodeProto

ACTIVATIONS = ("Tanh", "Sigmoid")
_GLUE = ("Add", "Sub", "Mul", "Identity")


def network(graph: GraphProto) -> frozenset[str]:
    """Names of the results of those nodes."""
    reaching: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in ACTIVATIONS or (node.op_type in _GLUE and node.output[0] in reaching):
            reaching.update(node.input)
    found: set[str] = set()
    behind: set[str] = set()
    for node in graph.node:
        result, follows = node.output[0], not behind.isdisjoint(node.input)
        if (node.op_type == "Gemm" and (follows or result in reaching)) or (node.op_type in ACTIVATIONS and follows):
            found.add(result)
        if follows or result in found:
            behind.add(result)
    return frozenset(found)


def entrances(graph: GraphProto) -> tuple[str, ...]:
    """Values that the network's dense layers take in and that it did not compute: these need a range."""
    inside, scaled = network(graph), scalings(graph)
    layers = (node for node in graph.node if node.op_type == "Gemm" and node.output[0] in inside)
    taken = (scaled[n.output[0]][1] if n.output[0] in scaled else n.input[0] for n in layers)
    return tuple(dict.fromkeys(name for name in taken if name not in inside))


def scalings(graph: GraphProto) -> dict[str, tuple[NodeProto, str, str]]:
    """Products with a constant that only one dense layer reads, so that its weights can take the constant in.

    By the layer's result: the Mul, the value and the constant. A normaliser ends in one.
    """
    constants = {tensor.name for tensor in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(output.name for output in graph.output)
    found = {}
    for node in graph.node:
        product = made_by.get(node.input[0]) if node.op_type == "Gemm" else None
        if product is not None and product.op_type == "Mul" and readers[node.input[0]] == 1:
            value, constant = sorted(product.input, key=lambda name: name in constants)
            if constant in constants and value not in constants:
                found[node.output[0]] = product, value, constant
    return found
