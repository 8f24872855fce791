"""What a period costs: the terms of the reward, from where the machine ended up and what it was commanded."""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from __future__ import annotations

from typing import Any

import warp as wp

from robostack.lanes import add, div, dot, dot4, get, get3, get4, lower, mul, put, root, size, sub, upper, vec3, vec4
from robostack_sim.quadrotor.physics import GRAVITY, rotate

NUM_TERMS = 8
"""position, excursion, velocity, rate, tilt, yaw, action, action_rate"""
NUM_WEIGHTS = 10
"""one a term, then the width of the position term's quadratic part (m) and the free excursion (m)"""


@wp.func
def near_and_far(error: Any, width: Any, free: Any):
    """Quadratic within `width` and linear beyond; and what is beyond `free`."""
    a = size(error)
    m = lower(a, width)
    return (m / width) * (a - 0.5 * m), upper(a - free, 0.0 * a)


@wp.func
def rotor_shares(params: wp.array2d(dtype=Any), i: int, command: Any, last: Any):
    """A rotor command less the speed at which this machine hovers, and less the one before, as shares of its range."""
    one = type(command.x)(1.0)
    per_span = one / (get(params, 14, i) - get(params, 13, i))
    linear = get(params, 5, i)
    square = get(params, 6, i)
    roots = linear * linear - 4.0 * (square * (get(params, 4, i) - 2.4525 * get(params, 0, i)))
    hover = (root(upper(roots, 0.0 * one)) - linear) / (2.0 * square)
    return per_span * (command - vec4(hover, hover, hover, hover)), per_span * (command - last)


@wp.func
def judge(
    params: wp.array2d(dtype=Any), weights: wp.array2d(dtype=wp.float32), i: int,
    p: Any, qw: Any, qu: Any, v: Any, w: Any, off: Any, change: Any,
    reference: wp.array2d(dtype=Any), reward: wp.array2d(dtype=Any), costs: wp.array2d(dtype=Any),
):  # fmt: skip
    """The costs of where a period ended and of its command, less what hovers (`off`) and less the one before
    (`change`), as shares of its range; and the reward, minus their sum."""
    one = type(qw)(1.0)
    error = p - get3(reference, 0, i)
    width = weights[0, 8] * one
    free = weights[0, 9] * one
    near_x, far_x = near_and_far(error.x, width, free)
    near_y, far_y = near_and_far(error.y, width, free)
    near_z, far_z = near_and_far(error.z, width, free)
    drift = v - get3(reference, 3, i)
    wanted = get3(reference, 6, i) + vec3(0.0 * one, 0.0 * one, GRAVITY * one)
    up = rotate(qw, qu, vec3(0.0 * one, 0.0 * one, one))
    tilt = one - dot(up, wanted) / root(dot(wanted, wanted))
    tiny = 1.0e-6 * one
    c0 = weights[0, 0] * (near_x + near_y + near_z)
    c1 = weights[0, 1] * (far_x + far_y + far_z)
    c2 = weights[0, 2] * root(dot(drift, drift) + tiny)
    c3 = weights[0, 3] * root(dot(w, w) + tiny)
    c4 = (0.5 * weights[0, 4]) * tilt
    c5 = weights[0, 5] * (qu.z * qu.z)
    c6 = weights[0, 6] * dot4(off, off)
    c7 = weights[0, 7] * dot4(change, change)
    put(costs, 0, i, c0)
    put(costs, 1, i, c1)
    put(costs, 2, i, c2)
    put(costs, 3, i, c3)
    put(costs, 4, i, c4)
    put(costs, 5, i, c5)
    put(costs, 6, i, c6)
    put(costs, 7, i, c7)
    put(reward, 0, i, -1.0 * (c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7))


@wp.kernel(enable_backward=False)
def judge_kernel(
    params: wp.array2d(dtype=Any),
    weights: wp.array2d(dtype=wp.float32),
    reference: wp.array2d(dtype=Any),
    state: wp.array2d(dtype=Any),
    reward: wp.array2d(dtype=Any),
    costs: wp.array2d(dtype=Any),
):
    """Reward and costs of the period that ended in `state`, whoever flew it."""
    i = wp.tid()
    off, change = rotor_shares(params, i, get4(state, 17, i), get4(state, 21, i))
    judge(
        params, weights, i, get3(state, 0, i), get(state, 3, i), get3(state, 4, i), get3(state, 7, i),
        get3(state, 10, i), off, change, reference, reward, costs,
    )  # fmt: skip
