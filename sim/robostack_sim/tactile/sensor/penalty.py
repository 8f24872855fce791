"""TacSL's field of forces on taxels, in Warp: the law that most of the field uses, kept as the reference.

Akinola et al. 2024, TacSL, and its code (`get_penalty_based_tactile_forces`): a taxel at depth -d inside the indenter,
whose outward normal there is n and which moves past the taxel with v, is pushed by

    f = -kn d n + v_t / |v_t| min(kt |v_t|, mu kn |d|)

It feels shear only while something moves, and a sum of depths is not a load: tests/tactile/test_laws.py.
"""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from typing import Any

import warp as wp

from robostack.lanes import CPU_FLAGS, add, div, get, lower, mul, put, reaches, root, size, sub, upper
from robostack_sim.tactile.sensor.distance import TINY, distance_and_gradient
from robostack_sim.tactile.sensor.heights import in_range, inward

wp.set_module_options({"cpu_compiler_flags": CPU_FLAGS})


@wp.func
def outward(relative: wp.array2d(dtype=wp.float32), i: int, axis: int, x: Any, y: Any, z: Any):
    """A component, in the frame of pad i, of a vector in the indenter's frame."""
    return relative[i, 3 * axis] * x + relative[i, 3 * axis + 1] * y + relative[i, 3 * axis + 2] * z


@wp.kernel(enable_backward=False)
def penalty_kernel(
    kinds: wp.array(dtype=wp.int32),
    numbers: wp.array2d(dtype=wp.float32),
    cells: wp.array2d(dtype=wp.int32),
    values: wp.array(dtype=wp.float32),
    relative: wp.array2d(dtype=wp.float32),
    material: wp.array2d(dtype=wp.float32),
    taxels: wp.array2d(dtype=Any),
    field: wp.array2d(dtype=Any),
):
    """`material`: kn, kt and mu of each pad; `taxels`: x, y and area; `field`: three rows a pad."""
    i, j = wp.tid()
    e = i // (material.shape[0] // kinds.shape[0])
    x = get(taxels, 0, j)
    zero = type(x)(0.0)
    if not in_range(numbers, e, relative, i, 0.0, 0.0):
        put(field, 3 * i, j, zero)
        put(field, 3 * i + 1, j, zero)
        put(field, 3 * i + 2, j, zero)
        return
    y = get(taxels, 1, j)
    d, gx, gy, gz = distance_and_gradient(
        kinds, numbers, cells, values, e,
        inward(relative, i, 0, x, y, zero), inward(relative, i, 1, x, y, zero), inward(relative, i, 2, x, y, zero),
    )  # fmt: skip
    nx = outward(relative, i, 0, gx, gy, gz)
    ny = outward(relative, i, 1, gx, gy, gz)
    nz = outward(relative, i, 2, gx, gy, gz)
    # the indenter's velocity where the taxel is, and what of it is along the surface
    dx = x - type(x)(relative[i, 9])
    dy = y - type(x)(relative[i, 10])
    dz = type(x)(-1.0 * relative[i, 11])
    vx = type(x)(relative[i, 12]) + relative[i, 16] * dz - relative[i, 17] * dy
    vy = type(x)(relative[i, 13]) + relative[i, 17] * dx - relative[i, 15] * dz
    vz = type(x)(relative[i, 14]) + relative[i, 15] * dy - relative[i, 16] * dx
    along = vx * nx + vy * ny + vz * nz
    vx = vx - along * nx
    vy = vy - along * ny
    vz = vz - along * nz
    push = material[i, 0] * upper(-1.0 * d, zero)
    speed = root(vx * vx + vy * vy + vz * vz)
    drag = lower(type(x)(material[i, 1]), material[i, 2] * push / upper(speed, type(x)(TINY)))
    put(field, 3 * i, j, push * nx + drag * vx)
    put(field, 3 * i + 1, j, push * ny + drag * vy)
    put(field, 3 * i + 2, j, -1.0 * (push * nz + drag * vz))
