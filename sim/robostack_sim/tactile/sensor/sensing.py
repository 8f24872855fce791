"""What real taxels make of the forces on them, in Warp."""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from typing import Any

import warp as wp

from robostack.lanes import CPU_FLAGS, add, div, get, lower, mul, put, sub, upper
from robostack.lanes_random import mix, normal

wp.set_module_options({"cpu_compiler_flags": CPU_FLAGS})

GOLDEN = wp.constant(wp.uint32(0x9E3779B9))


@wp.kernel(enable_backward=False)
def sensing_kernel(
    seed: wp.array(dtype=wp.int32),
    noise: float,
    wander: float,
    lagging: float,
    rate: float,
    limit: float,
    taxels: wp.array2d(dtype=Any),
    forces: wp.array2d(dtype=Any),
    lagged: wp.array2d(dtype=Any),
    drift: wp.array2d(dtype=Any),
    baseline: wp.array2d(dtype=Any),
    readings: wp.array2d(dtype=Any),
):
    """`seed` is (seed, counter); `taxels` has three rows a pad: gain, 1 where it lives, 1 where it is stuck at its
    limit; everything else three rows a pad. `wander` is the drift's standard deviation a step, `rate` the share of its
    way that what lags goes in a step."""
    row, j = wp.tid()
    pad = row // 3
    pitch = readings.shape[1]
    force = get(forces, row, j)
    slow = get(lagged, row, j)
    slow = slow + rate * (force - slow)
    put(lagged, row, j, slow)
    first = mix(wp.uint32(seed[0]) ^ GOLDEN)
    second = mix(first + wp.uint32(seed[1]))
    offset = get(drift, row, j) + wander * normal(force, second, first, row * pitch + j)
    put(drift, row, j, offset)
    felt = get(taxels, 3 * pad, j) * (force + lagging * (slow - force)) + offset
    felt = felt + noise * normal(force, first, second, row * pitch + j)
    alive = get(taxels, 3 * pad + 1, j)
    stuck = get(taxels, 3 * pad + 2, j)
    most = type(force)(limit)
    felt = alive * felt + stuck * most
    felt = upper(lower(felt, most), -1.0 * most)
    put(readings, row, j, felt - get(baseline, row, j))
