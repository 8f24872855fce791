"""The closed operator profile: what an exported graph is made of, and what the C generator compiles.

Every value but an input is a batch of rows, [N, k] float32. Constants are inline initializers.

| operator                      | operands                                        | attributes           |
|-------------------------------|-------------------------------------------------|----------------------|
| Flatten                       | [N, ...]                                        | axis=1               |
| Gather                        | [N, k], constant int64 [m]                      | axis=1               |
| Concat                        | [N, k1], [N, k2], ...                           | axis=1               |
| Gemm                          | [N, k], constant weights, constant bias or none | transB, alpha=beta=1 |
| Add, Sub, Mul, Div            | two [N, k]; or one and a constant [k] or [1]    |                      |
| Clip                          | [N, k], constant scalar bounds (each optional)  |                      |
| Tanh, Sigmoid, Sqrt, Identity | [N, k]                                          |                      |

An operator outside it runs in ONNX Runtime only; the C generator refuses it by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robostack.spec import ContractError

OPSET = 17
"""Nothing newer is used, so any ONNX Runtime since 1.12 loads the file."""
IR_VERSION = 8
"""The format version that came with opset 17."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operand:
    """`shape` is one row's, without the batch, for a value; the whole shape for a `constant`."""

    shape: Shape
    constant: np.ndarray | None = None


def row_shape(op_type: str, operands: Sequence[Operand | None], attributes: Mapping[str, Any]) -> Shape:
    """Shape of one row of the result; an operand that is left out is None.

    Raises ContractError saying in what the call is outside the profile; the caller adds which node it was.
    """
    rule = _RULES.get(op_type)
    if rule is None:
        raise ContractError(f"operator {op_type} is not in the profile ({', '.join(sorted(_RULES))})")
    if not operands or operands[0] is None:
        raise ContractError("has no operand")
    return rule(list(operands), dict(attributes))


def _attributes(given: dict[str, Any], **expected: tuple[Any, ...]) -> dict[str, Any]:
    """Each expected attribute with its value or its default (the first one allowed)."""
    for name, value in given.items():
        if name not in expected or value not in expected[name]:
            allowed = expected.get(name)
            raise ContractError(f"attribute {name}={value!r}: " + (f"must be {allowed[0]!r}" if allowed else "unknown"))
    return {name: given.get(name, allowed[0]) for name, allowed in expected.items()}


def _row(operand: Operand | None, what: str) -> int:
    """Elements of a [N, k] value."""
    if operand is None or operand.constant is not None:
        raise ContractError(f"{what} must be computed from an input, not a constant")
    if len(operand.shape) != 1:
        raise ContractError(f"{what} has rows of shape {list(operand.shape)}: Flatten(axis=1) it first")
    return operand.shape[0]


def _constant(operand: Operand | None, what: str) -> np.ndarray:
    if operand is None or operand.constant is None:
        raise ContractError(f"{what} must be a constant")
    return operand.constant


def _flatten(operands: list[Operand | None], attributes: dict[str, Any]) -> Shape:
    _attributes(attributes, axis=(1,))
    operand = operands[0]
    if operand is None or operand.constant is not None:
        raise ContractError("the operand must be computed from an input, not a constant")
    return (math.prod(operand.shape),)


def _unary(operands: list[Operand | None], attributes: dict[str, Any]) -> Shape:
    _attributes(attributes)
    return (_row(operands[0], "the operand"),)


def _gather(operands: list[Operand | None], attributes: dict[str, Any]) -> Shape:
    if "axis" not in attributes:
        raise ContractError("attribute axis=0: must be 1 (a batch is never gathered from)")
    _attributes(attributes, axis=(1,))
    k = _row(operands[0], "the data")
    indices = _constant(operands[1] if len(operands) > 1 else None, "the indices")
    if indices.ndim != 1 or indices.size == 0 or not np.issubdtype(indices.dtype, np.integer):
        raise ContractError(f"the indices must be integers of shape [m], got {indices.dtype} {list(indices.shape)}")
    if indices.min() < -k or indices.max() >= k:
        raise ContractError(f"index {indices.max() if indices.max() >= k else indices.min()} into {k} elements")
    return (indices.size,)


def _concat(operands: list[Operand | None], attributes: dict[str, Any]) -> Shape:
    if attributes.get("axis") != 1:
        raise ContractError(f"attribute axis={attributes.get('axis')!r}: must be 1")
    return (sum(_row(o, f"operand {i}") for i, o in enumerate(operands)),)


def _gemm(operands: list[Operand | None], attributes: dict[str, Any]) -> Shape:
    transposed = _attributes(attributes, transB=(0, 1), transA=(0,), alpha=(1.0,), beta=(1.0,))["transB"]
    k = _row(operands[0], "the input")
    weights = _constant(operands[1] if len(operands) > 1 else None, "the weights")
    if weights.ndim != 2 or weights.dtype != np.float32:
        raise ContractError(f"the weights must be float32 of rank 2, got {weights.dtype} {list(weights.shape)}")
    rows, columns = weights.shape if transposed else weights.shape[::-1]
    if columns != k:
        raise ContractError(f"{columns} weights a row for {k} elements of input")
    if len(operands) > 2 and operands[2] is not None:
        bias = _constant(operands[2], "the bias")
        if bias.dtype != np.float32 or bias.shape not in ((rows,), (1, rows)):
            raise ContractError(f"the bias must be float32 [{rows}], got {bias.dtype} {list(bias.shape)}")
    return (rows,)


def _binary(operands: list[Operand | None], attributes: dict[str, Any]) -> Shape:
    _attributes(attributes)
    if len(operands) != 2 or operands[1] is None or operands[0] is None:
        raise ContractError(f"needs two operands, got {len(operands)}")
    a, b = operands[0], operands[1]
    if a.constant is not None and b.constant is not None:
        raise ContractError("both operands are constants: compute the result before export")
    if a.constant is None and b.constant is None:
        if (left := _row(a, "the left operand")) != (right := _row(b, "the right operand")):
            raise ContractError(f"{left} elements with {right}: Gather the smaller one to the size of the other")
        return (left,)
    value, constant = (b, a) if a.constant is not None else (a, b)
    k = _row(value, "the operand")
    assert constant.constant is not None
    if constant.constant.dtype != np.float32 or constant.shape not in ((), (1,), (k,), (1, 1), (1, k)):
        found = f"{constant.constant.dtype} {list(constant.shape)}"
        raise ContractError(f"a constant operand must be float32 [{k}] or [1], got {found}")
    return (k,)


def _clip(operands: list[Operand | None], attributes: dict[str, Any]) -> Shape:
    _attributes(attributes)
    k = _row(operands[0], "the operand")
    for operand, name in zip(operands[1:], ("min", "max"), strict=False):
        if operand is None:
            continue
        bound = _constant(operand, name)
        if bound.shape != () or bound.dtype != np.float32 or not np.isfinite(bound):
            raise ContractError(f"{name} must be a finite float32 scalar, got {bound.dtype} {bound.tolist()}")
    bounds = [o.constant for o in operands[1:] if o is not None and o.constant is not None]
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        raise ContractError(f"min {bounds[0]} is above max {bounds[1]}")
    return (k,)


_RULES: dict[str, Callable[[list[Operand | None], dict[str, Any]], Shape]] = {
    "Flatten": _flatten,
    "Gather": _gather,
    "Concat": _concat,
    "Gemm": _gemm,
    "Clip": _clip,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _binary),
    **dict.fromkeys(("Tanh", "Sigmoid", "Sqrt", "Identity"), _unary),
}
