"""Rigid-body quadrotor in Warp, with its adjoint, for CPU and CUDA from one source (see robostack.lanes).

World frame ENU, body frame FLU, quaternion (w, x, y, z) body to world. Rotors follow a delayed command that switches
once within a control period, exactly (first order, time constants for rise and fall); the body takes one explicit
midpoint step. Second order, but for drag, which is taken from the velocity at the period's start; the tests state the
error against a fine reference.
"""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from __future__ import annotations

from enum import IntEnum
from typing import Any

import warp as wp

from robostack.lanes import (
    add,
    cross,
    decay,
    div,
    dot,
    dot4,
    get,
    get3,
    get4,
    lower,
    mul,
    put,
    put3,
    put4,
    root,
    sub,
    upper,
    vec3,
    vec4,
)
from robostack.lanes_random import mix, normal
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2

GRAVITY = wp.constant(GRAVITY_M_S2)


class S(IntEnum):
    """Columns of the state row."""

    POSITION = 0  # m, world
    ATTITUDE = 3  # wxyz
    VELOCITY = 7  # m/s, world
    RATE = 10  # rad/s, body
    ROTOR = 13  # rad/s
    COMMAND_1 = 17  # rad/s, issued one period ago
    COMMAND_2 = 21  # rad/s, issued two periods ago
    GUST = 25  # N, world
    BATTERY = 28  # share of nominal voltage
    BEFORE = 29  # position, attitude, velocity and rate one period ago
    TIME = 42  # s since reset
    SIZE = 43


class P(IntEnum):
    """Columns of the parameter row, one row an environment."""

    MASS = 0  # kg
    INERTIA = 1  # kg m2, diagonal
    THRUST_0 = 4  # N; thrust of a rotor = THRUST_0 + THRUST_1 w + THRUST_2 w2
    THRUST_1 = 5  # N s/rad
    THRUST_2 = 6  # N s2/rad2
    TORQUE = 7  # m, rotor torque over thrust
    RISE = 8  # s
    FALL = 9  # s
    DRAG = 10  # N s/m, body axes
    ROTOR_LOW = 13  # rad/s
    ROTOR_HIGH = 14  # rad/s
    ACTION_DELAY = 15  # s, up to two periods
    OBS_DELAY = 16  # s, up to one period
    FORCE = 17  # N, world, constant
    MOMENT = 20  # N m, body, constant
    GUST_STD = 23  # N
    GUST_TIME = 24  # s, correlation
    DISCHARGE = 25  # share of voltage a second
    SAG = 26  # share of voltage lost at full thrust
    ROTOR_X = 27  # m, four rotors
    ROTOR_Y = 31  # m
    ROTOR_SPIN = 35  # sign of the reaction torque about body z
    RATE_BIAS = 39  # rad/s
    NOISE = 42  # std of position m, attitude (quaternion element), velocity m/s, rate rad/s
    REF_AMPLITUDE = 46  # m; reference = amplitude * sin(frequency * s(t) + phase)
    REF_FREQUENCY = 49  # rad/s
    REF_PHASE = 52  # rad
    REF_RAMP = 55  # s; s(t) = t2 / 2 ramp up to ramp, then t - ramp / 2
    SIZE = 56


NUM_NOISE = 16
"""standard normal numbers a step: position 3, attitude 4, velocity 3, rate 3, gust 3"""


@wp.func
def rotate(w: Any, u: Any, v: Any):
    """v by the unit quaternion (w, u); by its inverse with -w."""
    t = cross(u, v)
    return v + 2.0 * (w * t + cross(u, t))


@wp.func
def settle(speed: Any, goal: Any, down: Any, faster: Any):
    """A rotor after a time in which it keeps `down` of what it has above its goal, `down + faster` of what it lacks."""
    gap = speed - goal
    return goal + down * gap + faster * lower(gap, 0.0 * gap)


@wp.func
def settle4(speed: Any, goal: Any, down: Any, faster: Any):
    return vec4(
        settle(speed.x, goal.x, down, faster),
        settle(speed.y, goal.y, down, faster),
        settle(speed.z, goal.z, down, faster),
        settle(speed.w, goal.w, down, faster),
    )


@wp.func
def advance(
    params: wp.array2d(dtype=Any), i: int, h: Any, phi: Any,
    p: Any, qw: Any, qu: Any, v: Any, w: Any, rotor: Any, older: Any, newer: Any, outside: Any,
):  # fmt: skip
    """h seconds under rotor command `older` until phi and `newer` after (rad/s), and an outside force (N, world).

    Position, quaternion (scalar and vector), velocity, rate, rotor speeds in and out. Rotors are exact; thrust and
    moment of each part are taken at its middle; the body takes one midpoint step with the time average of its rate.
    """
    one = type(h)(1.0)
    h2 = h - phi
    rise = 0.5 * one / get(params, 8, i)
    fall = 0.5 * one / get(params, 9, i)
    down1 = decay(phi * fall)
    down2 = decay(h2 * fall)
    faster1 = decay(phi * rise) - down1
    faster2 = decay(h2 * rise) - down2
    mid1 = settle4(rotor, older, down1, faster1)
    end1 = settle4(mid1, older, down1, faster1)
    mid2 = settle4(end1, newer, down2, faster2)
    end2 = settle4(mid2, newer, down2, faster2)
    ones = vec4(one, one, one, one)
    f1 = get(params, 4, i) * ones + mid1 * (get(params, 5, i) * ones + get(params, 6, i) * mid1)
    f2 = get(params, 4, i) * ones + mid2 * (get(params, 5, i) * ones + get(params, 6, i) * mid2)
    # shares of the impulse and of the angle that each part's moment makes by the end of the step
    share1 = phi / h
    share2 = one - share1
    impulse = share1 * f1 + share2 * f2
    angle = (phi * (one - 0.5 * share1)) * f1 + (0.5 * (h2 * share2)) * f2
    x = get4(params, 27, i)
    y = get4(params, 31, i)
    spin = get(params, 7, i) * get4(params, 35, i)
    inertia = get3(params, 1, i)
    steady = get3(params, 20, i)
    moment = steady + vec3(dot4(y, impulse), -1.0 * dot4(x, impulse), dot4(spin, impulse))
    per_inertia = vec3(one, one, one) / inertia
    w_mid = w + (0.5 * h) * (per_inertia * (moment - cross(w, inertia * w)))
    gyroscopic = cross(w_mid, inertia * w_mid)
    w_end = w + h * (per_inertia * (moment - gyroscopic))
    swept = vec3(dot4(y, angle), -1.0 * dot4(x, angle), dot4(spin, angle))
    w_mean = w + per_inertia * ((0.5 * h) * (steady - gyroscopic) + swept)
    # exponential map by its series, to 1e-6 rad for |w| h < 0.5
    turn = h * w_mean
    t2 = dot(turn, turn)
    turn = (0.5 * one - t2 * ((1.0 / 48.0) * one - (1.0 / 3840.0) * t2)) * turn
    still = one - t2 * (0.125 * one - (1.0 / 384.0) * t2)
    ew = qw * still - dot(qu, turn)
    eu = qw * turn + still * qu + cross(qu, turn)
    unit = one / root(ew * ew + dot(eu, eu))
    ew = unit * ew
    eu = unit * eu
    # the attitude half way, for what acts in body axes
    mw = qw + ew
    mu = qu + eu
    unit = one / root(mw * mw + dot(mu, mu))
    mw = unit * mw
    mu = unit * mu
    zero = 0.0 * one
    along = vec3(zero, zero, dot4(ones, impulse)) - get3(params, 10, i) * rotate(-1.0 * mw, mu, v)
    a = (one / get(params, 0, i)) * (rotate(mw, mu, along) + outside) - vec3(zero, zero, type(h)(GRAVITY))
    return p + h * (v + (0.5 * h) * a), ew, eu, v + h * a, w_end, end2


@wp.func
def supply(params: wp.array2d(dtype=Any), i: int, battery: Any, rotor: Any):
    """Share of nominal voltage under the load of four rotors, which grows with the square of their speed. Less voltage
    makes less of a speed command: a brushed motor turns in proportion."""
    high = get(params, 14, i)
    load = get(params, 26, i) * dot4(rotor, rotor) / (high * high)
    return battery * (type(battery)(1.0) - 0.25 * load)


@wp.func
def limited(params: wp.array2d(dtype=Any), i: int, u: Any):
    """Four commands within the rotor limits."""
    low = get(params, 13, i)
    high = get(params, 14, i)
    return vec4(
        upper(lower(u.x, high), low),
        upper(lower(u.y, high), low),
        upper(lower(u.z, high), low),
        upper(lower(u.w, high), low),
    )


@wp.kernel(enable_backward=False)
def fly(
    params: wp.array2d(dtype=Any),
    dt: float,
    steps: int,
    state: wp.array2d(dtype=Any),
    command: wp.array2d(dtype=Any),
    next_state: wp.array2d(dtype=Any),
):
    """`steps` periods under one command with no sensors: the bare simulator, for benchmarks and references."""
    i = wp.tid()
    battery = get(state, 28, i)
    h = type(battery)(dt)
    phi = type(battery)(0.0)
    asked = limited(params, i, get4(command, 0, i))
    outside = get3(params, 17, i)
    p = get3(state, 0, i)
    qw = get(state, 3, i)
    qu = get3(state, 4, i)
    v = get3(state, 7, i)
    w = get3(state, 10, i)
    r = get4(state, 13, i)
    for _ in range(steps):
        u = supply(params, i, battery, r) * asked
        p, qw, qu, v, w, r = advance(params, i, h, phi, p, qw, qu, v, w, r, u, u, outside)
    put3(next_state, 0, i, p)
    put(next_state, 3, i, qw)
    put3(next_state, 4, i, qu)
    put3(next_state, 7, i, v)
    put3(next_state, 10, i, w)
    put4(next_state, 13, i, r)
    for k in range(17, 42):
        put(next_state, k, i, get(state, k, i))
    put(next_state, 42, i, get(state, 42, i) + float(steps) * h)


GOLDEN = wp.constant(wp.uint32(0x9E3779B9))


@wp.kernel(enable_backward=False)
def gaussian(seed: wp.array(dtype=wp.int32), noise: wp.array(dtype=Any)):
    """Standard normal numbers. `seed` is (seed, counter), both read on the device so that a recorded launch needs no
    new argument."""
    i = wp.tid()
    first = mix(wp.uint32(seed[0]) ^ GOLDEN)
    noise[i] = normal(noise[i], first, mix(first + wp.uint32(seed[1])), i)
