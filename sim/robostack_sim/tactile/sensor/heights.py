"""How far above a pad's surface at rest the indenter begins, in Warp: what elastic foundation and image both ask.

A ray goes out of the gel along the pad's normal. Its first step is the distance itself, as in sphere tracing; from then
on it takes the slope of the last step: of a convex solid the distance along a line is convex, its chord lies below it,
and no step goes too far. Where a solid is not convex a step may, and the next comes back.
"""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from typing import Any

import warp as wp

from robostack.lanes import CPU_FLAGS, add, div, get, highest, lower, mul, put, reaches, root, size, sub, upper
from robostack_sim.tactile.sensor.distance import distance

# all inline: a call a step takes every lane through memory, and twice the time
wp.set_module_options({"cpu_compiler_flags": f"{CPU_FLAGS} -mllvm=-inline-threshold=2000"})

STEPS = wp.constant(12)
TOLERANCE = wp.constant(1.0e-6)
"""m: steps end when none of a thread's is longer"""
LEAST_SLOPE = wp.constant(0.2)
DEEPEST_M = 0.01
"""below a pad's surface, where rays begin: deeper than a gel, since a contact solver may sink a solid further"""
FAR = wp.constant(1.0)
"""m: the height where the ray meets nothing within its reach"""


@wp.func
def inward(relative: wp.array2d(dtype=wp.float32), i: int, axis: int, x: Any, y: Any, z: Any):
    """A coordinate, in the indenter's frame, of a point in the frame of pad i."""
    dx = x - type(x)(relative[i, 9])
    dy = y - type(x)(relative[i, 10])
    dz = z - type(x)(relative[i, 11])
    return relative[i, axis] * dx + relative[i, 3 + axis] * dy + relative[i, 6 + axis] * dz


@wp.func
def in_range(numbers: wp.array2d(dtype=wp.float32), e: int, relative: wp.array2d(dtype=wp.float32), i: int,
             deepest: float, reach: float):  # fmt: skip
    """Whether any of the indenter can be between `deepest` under the pad's surface and `reach` above it."""
    z = relative[i, 11]
    bound = numbers[e, 8]
    return z - bound < reach and z + bound > -deepest


@wp.func
def height(
    kinds: wp.array(dtype=wp.int32), numbers: wp.array2d(dtype=wp.float32), cells: wp.array2d(dtype=wp.int32),
    values: wp.array(dtype=wp.float32), relative: wp.array2d(dtype=wp.float32), e: int, i: int,
    x: Any, y: Any, deepest: float, reach: float,
):  # fmt: skip
    """m above (x, y) of pad i, at least -deepest; FAR where there is nothing below `reach`."""
    one = type(x)(1.0)
    bottom = type(x)(-deepest)
    top = type(x)(reach)
    z = type(x)(-deepest)
    px = inward(relative, i, 0, x, y, z)
    py = inward(relative, i, 1, x, y, z)
    pz = inward(relative, i, 2, x, y, z)
    d = distance(kinds, numbers, cells, values, e, px, py, pz)
    slope = type(x)(1.0)
    for _ in range(STEPS):
        moved = upper(lower(z + d / slope, top), bottom) - z
        if highest(size(moved)) < TOLERANCE:
            break
        z = z + moved
        px = px + relative[i, 6] * moved
        py = py + relative[i, 7] * moved
        pz = pz + relative[i, 8] * moved
        now = distance(kinds, numbers, cells, values, e, px, py, pz)
        still = reaches(type(x)(0.0), size(moved))
        slope = upper(lower((d - now) / (moved + still), one), type(x)(LEAST_SLOPE))
        d = now
    return z + FAR * reaches(z, type(x)(reach - 1.0e-6))


@wp.kernel(enable_backward=False)
def heights_kernel(
    kinds: wp.array(dtype=wp.int32),
    numbers: wp.array2d(dtype=wp.float32),
    cells: wp.array2d(dtype=wp.int32),
    values: wp.array(dtype=wp.float32),
    relative: wp.array2d(dtype=wp.float32),
    deepest: float,
    reach: float,
    places: wp.array2d(dtype=Any),
    found: wp.array2d(dtype=Any),
):
    """`places`: x and y in the pad's frame, two rows or more; `found`: a row a pad."""
    i, j = wp.tid()
    e = i // (found.shape[0] // kinds.shape[0])
    x = get(places, 0, j)
    if in_range(numbers, e, relative, i, deepest, reach):
        y = get(places, 1, j)
        put(found, i, j, height(kinds, numbers, cells, values, relative, e, i, x, y, deepest, reach))
    else:
        put(found, i, j, type(x)(FAR))
