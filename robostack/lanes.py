"""Arithmetic for kernels that run sixteen environments a thread on a CPU and one on a GPU, from one source.

A kernel's arrays are indexed [column, thread]. Their elements are `Lanes`, sixteen float32 that fill one AVX-512
register (or two of AVX2), on a CPU, and on a GPU plain float32, so that neighbouring threads read neighbouring
numbers. Written with the functions below and `Any` for the types, one kernel serves both, with its adjoint.

Warp looks an operator up by name among the globals of the kernel's module: a module that writes `a * b` for Lanes
imports `add, div, mul, sub` from here. What they do not cover falls to Warp's own. They are native snippets because
Warp's own loops over sixteen elements take the compiler minutes to turn back into the instructions that they are.
(Warp reads a snippet's return type as it stands: no `from __future__ import annotations` in this file.)
"""

# ruff: noqa: F811
# mypy: disable-error-code="no-redef, no-untyped-def, valid-type, empty-body, operator"

from typing import Any

import torch
import warp as wp
from torch import Tensor

from robostack import machine

# what a definition nobody reads is for: a cache of kernels that unlike machines share keeps theirs apart
CPU_FLAGS = f"-march=native -DINSTRUCTION_SET=0x{machine.instruction_set()}"
"""`cpu_compiler_flags` of a module whose kernels use Lanes"""
LANES = 16
Lanes = wp.types.vector(length=LANES, dtype=wp.float32)


@wp.struct
class Lanes3:
    """What a wp.vec3 is to one environment."""

    x: Lanes
    y: Lanes
    z: Lanes


@wp.struct
class Lanes4:
    x: Lanes
    y: Lanes
    z: Lanes
    w: Lanes


def columns(num_rows: int, width: int, device: torch.device, *ahead: int) -> Tensor:
    """Zeros that torch sees as (*ahead, num_rows, width) and a kernel as [column, thread]: stored column by column,
    each padded to whole Lanes."""
    padded = -(-num_rows // LANES) * LANES
    return torch.zeros(*ahead, width, padded, device=device)[..., :num_rows].transpose(-1, -2)


def stored(tensor: Tensor) -> Tensor:
    """What lies behind a tensor that `columns` made, or a slice of it: (*ahead, width, padded), contiguous."""
    padded = tensor.stride(-1)
    if padded % LANES or tensor.stride(-2) != 1:
        raise ValueError(f"strides {tensor.stride()}: not stored column by column; make it with columns()")
    ahead = tensor.shape[:-2]
    return tensor.as_strided((*ahead, tensor.shape[-1], padded), (*tensor.stride()[:-2], padded, 1))


def as_lanes(tensor: Tensor) -> Any:
    """Warp's [..., column, thread] array over what `columns` made, or over a slice of it."""
    if tensor.device.type == "cpu":
        return wp.from_torch(stored(tensor).unflatten(-1, (-1, LANES)), dtype=Lanes)
    return wp.from_torch(stored(tensor))


def num_threads(num_rows: int, device: torch.device) -> int:
    """Threads that a kernel over `num_rows` environments needs."""
    return -(-num_rows // LANES) if device.type == "cpu" else num_rows


_AT = "((wp::vec_t<16, wp::float32>*){0}.data)[(size_t)column * {0}.shape[1] + i]"
"""an element of an array that lies in one piece: Warp's own indexing, with its strides and its choice of where the
adjoint may be, is most of the instructions of a kernel that does little else"""


def _vector(code: str) -> str:
    """`code` with `lanes` a type of the compiler's own. A GPU's compiler has none: it sees this when one process uses
    both, and never runs it."""
    lanes = "typedef float lanes __attribute__((ext_vector_type(16), aligned(4), may_alias));"
    return f"#ifdef __clang__\n{lanes}\n{code}\n#endif\n"


def result(code: str) -> str:
    """A snippet that returns the `out` which `code` fills."""
    return f"wp::vec_t<16, wp::float32> out;\n{_vector(code)}return out;"


def _elementwise(value: str, *adjoints: str) -> tuple[str, str]:
    """Forward and adjoint snippets of a function of one or two Lanes, `a` and `b`. `value` is C++ of x and y, which
    stand for them; `adjoints` are what each argument's adjoint grows by: of x, y, and r, the adjoint of the value."""
    pairs = list(zip("ab", "xy", adjoints, strict=False))
    take = "".join(f"const lanes {v} = *(const lanes*)&{name};\n" for name, v, _ in pairs)
    grow = "".join(f"*(lanes*)&adj_{name} += {adjoint};\n" for name, _, adjoint in pairs)
    forward = result(f"{take}*(lanes*)&out = {value};")
    return forward, _vector(f"{take}const lanes r = *(const lanes*)&adj_ret;\n{grow}")


@wp.func_native(
    f"return {_AT.format('rows')};",
    _vector(f"if (adj_rows.data) *(lanes*)&{_AT.format('adj_rows')} += *(const lanes*)&adj_ret;"),
)
def get(rows: wp.array2d(dtype=Lanes), column: int, i: int) -> Lanes: ...


@wp.func
def get(rows: wp.array2d(dtype=float), column: int, i: int):
    """rows[column, i]"""
    return rows[column, i]


@wp.func_native(
    f"{_AT.format('rows')} = a;",
    _vector(f"if (adj_rows.data) *(lanes*)&adj_a += *(const lanes*)&{_AT.format('adj_rows')};"),
    "",
)
def put(rows: wp.array2d(dtype=Lanes), column: int, i: int, a: Lanes): ...


@wp.func
def put(rows: wp.array2d(dtype=float), column: int, i: int, a: float):
    """rows[column, i] = a"""
    rows[column, i] = a


@wp.func_native(*_elementwise("x + y", "r", "r"))
def add(a: Lanes, b: Lanes) -> Lanes: ...


@wp.func_native(*_elementwise("x - y", "r", "-r"))
def sub(a: Lanes, b: Lanes) -> Lanes: ...


@wp.func_native(*_elementwise("x * y", "r * y", "r * x"))
def mul(a: Lanes, b: Lanes) -> Lanes: ...


@wp.func_native(*_elementwise("x / y", "r / y", "-r * x / (y * y)"))
def div(a: Lanes, b: Lanes) -> Lanes: ...


@wp.func_native(*_elementwise("x < y ? x : y", "x < y ? r : (lanes)0.0f", "x < y ? (lanes)0.0f : r"))
def lower(a: Lanes, b: Lanes) -> Lanes: ...


@wp.func
def lower(a: float, b: float):
    """The smaller of two."""
    return wp.min(a, b)


@wp.func_native(*_elementwise("x > y ? x : y", "x > y ? r : (lanes)0.0f", "x > y ? (lanes)0.0f : r"))
def upper(a: Lanes, b: Lanes) -> Lanes: ...


@wp.func
def upper(a: float, b: float):
    """The larger of two."""
    return wp.max(a, b)


@wp.func_native(*_elementwise("__builtin_elementwise_sqrt(x)", "0.5f * r / __builtin_elementwise_sqrt(x)"))
def root(a: Lanes) -> Lanes: ...


@wp.func
def root(a: float):
    return wp.sqrt(a)


@wp.func_native(*_elementwise("__builtin_elementwise_abs(x)", "x < 0.0f ? -r : r"))
def size(a: Lanes) -> Lanes: ...


@wp.func
def size(a: float):
    """Without its sign."""
    return wp.abs(a)


@wp.func_native(*_elementwise("__builtin_elementwise_rint(x)", "0.0f * r"))
def nearest(a: Lanes) -> Lanes: ...


@wp.func
def nearest(a: float):
    """The nearest whole number."""
    return wp.rint(a)


@wp.func_native(*_elementwise("x >= y ? (lanes)1.0f : (lanes)0.0f", "0.0f * r", "0.0f * r"))
def reaches(a: Lanes, b: Lanes) -> Lanes: ...


@wp.func
def reaches(a: float, b: float):
    """1 where a >= b, else 0; no gradient."""
    return wp.where(a >= b, 1.0, 0.0)


_FOLD = "float s[16]; for (int k = 0; k < 16; ++k) s[k] = ((const float*)&a)[k];\n"
_FOLD += "for (int half = 8; half; half /= 2) for (int k = 0; k < half; ++k) s[k] = {0};\nreturn s[0];"


@wp.func_native(_FOLD.format("s[k] + s[k + half]"), "for (int k = 0; k < 16; ++k) ((float*)&adj_a)[k] += adj_ret;")
def total(a: Lanes) -> wp.float32: ...


@wp.func
def total(a: float):
    """The sum of what a thread has of it."""
    return a


@wp.func_native(_FOLD.format("s[k] > s[k + half] ? s[k] : s[k + half]"), "")
def highest(a: Lanes) -> wp.float32: ...


@wp.func
def highest(a: float):
    """The largest of what a thread has of it; no gradient."""
    return a


@wp.func
def mul(a: float, b: Lanes):
    return mul(Lanes(a), b)


@wp.func
def vec3(x: Lanes, y: Lanes, z: Lanes):
    a = Lanes3()
    a.x = x
    a.y = y
    a.z = z
    return a


@wp.func
def vec3(x: float, y: float, z: float):
    return wp.vec3(x, y, z)


@wp.func
def vec4(x: Lanes, y: Lanes, z: Lanes, w: Lanes):
    a = Lanes4()
    a.x = x
    a.y = y
    a.z = z
    a.w = w
    return a


@wp.func
def vec4(x: float, y: float, z: float, w: float):
    return wp.vec4(x, y, z, w)


@wp.func
def add(a: Lanes3, b: Lanes3):
    return vec3(a.x + b.x, a.y + b.y, a.z + b.z)


@wp.func
def sub(a: Lanes3, b: Lanes3):
    return vec3(a.x - b.x, a.y - b.y, a.z - b.z)


@wp.func
def mul(a: Lanes, b: Lanes3):
    return vec3(a * b.x, a * b.y, a * b.z)


@wp.func
def mul(a: float, b: Lanes3):
    return vec3(a * b.x, a * b.y, a * b.z)


@wp.func
def mul(a: Lanes3, b: Lanes3):
    return vec3(a.x * b.x, a.y * b.y, a.z * b.z)


@wp.func
def mul(a: wp.vec3, b: wp.vec3):
    return wp.cw_mul(a, b)


@wp.func
def add(a: Lanes4, b: Lanes4):
    return vec4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w)


@wp.func
def sub(a: Lanes4, b: Lanes4):
    return vec4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w)


@wp.func
def mul(a: Lanes, b: Lanes4):
    return vec4(a * b.x, a * b.y, a * b.z, a * b.w)


@wp.func
def mul(a: Lanes4, b: Lanes4):
    return vec4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w)


@wp.func
def mul(a: wp.vec4, b: wp.vec4):
    return wp.cw_mul(a, b)


@wp.func
def div(a: Lanes3, b: Lanes3):
    return vec3(a.x / b.x, a.y / b.y, a.z / b.z)


@wp.func
def div(a: wp.vec3, b: wp.vec3):
    return wp.cw_div(a, b)


@wp.func
def dot(a: Any, b: Any):
    return a.x * b.x + a.y * b.y + a.z * b.z


@wp.func
def dot4(a: Any, b: Any):
    return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w


@wp.func
def cross(a: Any, b: Any):
    return vec3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)


@wp.func
def decay(x: Any):
    """exp(-x) for x >= 0, to 1e-7 up to 2 and 1e-5 up to 8, where it stays. By a polynomial of exp(-x / 8) - 1 and
    three doublings of the exponent: a call of exp would take each lane out of its register."""
    one = type(x)(1.0)
    y = -0.125 * lower(x, type(x)(8.0))
    e = one + 0.125 * y
    e = one + (1.0 / 7.0) * (y * e)
    e = one + (1.0 / 6.0) * (y * e)
    e = one + 0.2 * (y * e)
    e = one + 0.25 * (y * e)
    e = one + (1.0 / 3.0) * (y * e)
    e = y * (one + 0.5 * (y * e))
    two = type(x)(2.0)
    e = e * (e + two)
    e = e * (e + two)
    return one + e * (e + two)


@wp.func
def sine(x: Any):
    """sin(x), to 1e-6 for |x| < 1000."""
    turns = nearest(0.15915494309 * x)
    y = (x - 6.28125 * turns) - 0.0019353071795864769 * turns
    # within a quarter turn, by sin(y) = sin(pi - y), and there its series
    half = type(x)(3.14159265359)
    y = upper(lower(y, half - y), -1.0 * half - y)
    z = y * y
    one = type(x)(1.0)
    s = one - (1.0 / 110.0) * z
    s = one - (1.0 / 72.0) * (z * s)
    s = one - (1.0 / 42.0) * (z * s)
    s = one - 0.05 * (z * s)
    s = one - (1.0 / 6.0) * (z * s)
    return y * s


@wp.func
def get3(rows: Any, column: int, i: int):
    return vec3(get(rows, column, i), get(rows, column + 1, i), get(rows, column + 2, i))


@wp.func
def get4(rows: Any, column: int, i: int):
    return vec4(get(rows, column, i), get(rows, column + 1, i), get(rows, column + 2, i), get(rows, column + 3, i))


@wp.func
def put3(rows: Any, column: int, i: int, a: Any):
    put(rows, column, i, a.x)
    put(rows, column + 1, i, a.y)
    put(rows, column + 2, i, a.z)


@wp.func
def put4(rows: Any, column: int, i: int, a: Any):
    put(rows, column, i, a.x)
    put(rows, column + 1, i, a.y)
    put(rows, column + 2, i, a.z)
    put(rows, column + 3, i, a.w)
