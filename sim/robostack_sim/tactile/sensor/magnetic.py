"""The magnetic field under a magnetised skin that is pressed and sheared, in Warp."""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from typing import Any

import warp as wp

from robostack.lanes import CPU_FLAGS, add, div, get, mul, root, sub, total, upper

wp.set_module_options({"cpu_compiler_flags": CPU_FLAGS})

MU_0_OVER_4_PI = wp.constant(0.1)
"""uT m / A"""


@wp.kernel(enable_backward=False)
def magnetic_kernel(
    material: wp.array2d(dtype=wp.float32),
    magnetisation: float,
    depth: float,
    blocks: int,
    magnetometers: wp.array2d(dtype=wp.float32),
    taxels: wp.array2d(dtype=Any),
    forces: wp.array2d(dtype=Any),
    field: wp.array3d(dtype=wp.float32),
):
    """A pad and a magnetometer a thread. The skin over a taxel is a dipole along the pad's z, of `magnetisation` (A m2
    a m2 of skin), in the middle of the gel, `depth` above the magnetometers, which goes half as far as the surface. Its
    field at r from it is mu0 / 4 pi (3 (m r) r / |r|5 - m / |r|3)."""
    i, s = wp.tid()
    one = type(get(taxels, 2, 0))(1.0)
    bx = type(get(taxels, 2, 0))(0.0)
    by = type(get(taxels, 2, 0))(0.0)
    bz = type(get(taxels, 2, 0))(0.0)
    for j in range(blocks):
        area = get(taxels, 2, j)
        half = 0.5 * (one / upper(area, type(one)(1.0e-12)))
        x = (
            type(one)(magnetometers[s, 0])
            - get(taxels, 0, j)
            - (half * get(forces, 3 * i, j)) / type(one)(material[i, 1])
        )
        y = (
            type(one)(magnetometers[s, 1])
            - get(taxels, 1, j)
            - (half * get(forces, 3 * i + 1, j)) / type(one)(material[i, 1])
        )
        z = (half * get(forces, 3 * i + 2, j)) / type(one)(material[i, 0]) - type(one)(depth)
        r2 = x * x + y * y + z * z
        per_r = one / root(r2)
        per_r3 = per_r * per_r * per_r
        strength = (MU_0_OVER_4_PI * magnetisation) * (area * per_r3)
        pull = 3.0 * (strength * (z * (per_r * per_r)))
        bx = bx + pull * x
        by = by + pull * y
        bz = bz + pull * z - strength
    field[i, s, 0] = total(bx)
    field[i, s, 1] = total(by)
    field[i, s, 2] = total(bz)
