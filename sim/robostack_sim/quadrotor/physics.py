"""Rigid-body quadrotor as one Warp kernel a control period, with its adjoint, for CPU and CUDA.

World frame ENU, body frame FLU, quaternion (w, x, y, z) body to world. Rotors follow a delayed command that switches
once within a control period, exactly (first order, time constants for rise and fall); the body takes one explicit
midpoint step. Second order; the tests state its error against a fine reference.
"""

from __future__ import annotations

from enum import IntEnum

import warp as wp

GRAVITY_M_S2 = 9.81


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


StateRow = wp.types.vector(length=int(S.SIZE), dtype=wp.float32)
ParamRow = wp.types.vector(length=int(P.SIZE), dtype=wp.float32)
NoiseRow = wp.types.vector(length=NUM_NOISE, dtype=wp.float32)
ReferenceRow = wp.types.vector(length=9, dtype=wp.float32)
"""A row is loaded and stored whole: element by element, Warp's adjoint spends most of its time on addresses."""


@wp.struct
class Body:
    p: wp.vec3
    q: wp.quat  # Warp keeps (x, y, z, w); rows are (w, x, y, z)
    v: wp.vec3
    w: wp.vec3
    r: wp.vec4


@wp.func
def load(s: StateRow):
    b = Body()
    b.p = wp.vec3(s[0], s[1], s[2])
    b.q = wp.quat(s[4], s[5], s[6], s[3])
    b.v = wp.vec3(s[7], s[8], s[9])
    b.w = wp.vec3(s[10], s[11], s[12])
    b.r = wp.vec4(s[13], s[14], s[15], s[16])
    return b


@wp.func
def decay(p: ParamRow, phi: float, h: float):
    """exp(-t / 2 tau) of the part before phi and of the part after it, each for rising and falling rotors; squared, it
    is the whole part's."""
    return wp.vec4(
        wp.exp(-0.5 * phi / p[8]),
        wp.exp(-0.5 * phi / p[9]),
        wp.exp(-0.5 * (h - phi) / p[8]),
        wp.exp(-0.5 * (h - phi) / p[9]),
    )


@wp.func
def advance(
    p: ParamRow, b: Body, older: wp.vec4, newer: wp.vec4, outside: wp.vec3, keep: wp.vec4, phi: float, h: float
):
    """h seconds under rotor command `older` until phi and `newer` after (rad/s), and an outside force (N, world).

    Rotors are exact; thrust and moment of each part are taken at its middle; the body takes one midpoint step with
    the time average of its rate. Called once a kernel, and of built-ins only: Warp's adjoint runs a function forward
    once more, and a function called twice is no longer inlined.
    """
    h2 = h - phi
    up1 = keep[0]
    down1 = keep[1]
    up2 = keep[2]
    down2 = keep[3]
    keep1 = wp.vec4(
        wp.where(older[0] > b.r[0], up1, down1),
        wp.where(older[1] > b.r[1], up1, down1),
        wp.where(older[2] > b.r[2], up1, down1),
        wp.where(older[3] > b.r[3], up1, down1),
    )
    gap1 = wp.cw_mul(b.r - older, keep1)
    mid1 = older + gap1
    end1 = older + wp.cw_mul(gap1, keep1)
    keep2 = wp.vec4(
        wp.where(newer[0] > end1[0], up2, down2),
        wp.where(newer[1] > end1[1], up2, down2),
        wp.where(newer[2] > end1[2], up2, down2),
        wp.where(newer[3] > end1[3], up2, down2),
    )
    gap2 = wp.cw_mul(end1 - newer, keep2)
    mid2 = newer + gap2
    end2 = newer + wp.cw_mul(gap2, keep2)
    one = wp.vec4(1.0, 1.0, 1.0, 1.0)
    f1 = p[4] * one + p[5] * mid1 + p[6] * wp.cw_mul(mid1, mid1)
    f2 = p[4] * one + p[5] * mid2 + p[6] * wp.cw_mul(mid2, mid2)
    # shares of the impulse and of the angle that each part's moment makes by the end of the step
    impulse = (phi / h) * f1 + (h2 / h) * f2
    angle = (phi * (h - 0.5 * phi) / h) * f1 + (0.5 * h2 * h2 / h) * f2
    x = wp.vec4(p[27], p[28], p[29], p[30])
    y = wp.vec4(p[31], p[32], p[33], p[34])
    spin = p[7] * wp.vec4(p[35], p[36], p[37], p[38])
    inertia = wp.vec3(p[1], p[2], p[3])
    inverse = wp.vec3(1.0 / p[1], 1.0 / p[2], 1.0 / p[3])
    steady = wp.vec3(p[20], p[21], p[22])
    moment = steady + wp.vec3(wp.dot(y, impulse), -wp.dot(x, impulse), wp.dot(spin, impulse))
    w_mid = b.w + 0.5 * h * wp.cw_mul(moment - wp.cross(b.w, wp.cw_mul(inertia, b.w)), inverse)
    gyroscopic = wp.cross(w_mid, wp.cw_mul(inertia, w_mid))
    w_end = b.w + h * wp.cw_mul(moment - gyroscopic, inverse)
    swept = 0.5 * h * (steady - gyroscopic) + wp.vec3(wp.dot(y, angle), -wp.dot(x, angle), wp.dot(spin, angle))
    w_mean = b.w + wp.cw_mul(swept, inverse)
    # exponential map by its series, to 1e-6 rad for |w| h < 0.5
    t2 = wp.dot(w_mean, w_mean) * h * h
    turned = h * (0.5 - t2 * (1.0 / 48.0) + t2 * t2 * (1.0 / 3840.0)) * w_mean
    q_far = b.q * wp.quat(turned[0], turned[1], turned[2], 1.0 - t2 * 0.125 + t2 * t2 * (1.0 / 384.0))
    # one Newton step of the inverse root keeps the norm at 1; the mean of two unit quaternions has norm cos(angle / 4)
    q_end = q_far * (1.5 - 0.5 * wp.dot(q_far, q_far))
    q_mid = (b.q + q_end) * (0.5 + t2 * (1.0 / 64.0))
    drag = wp.cw_mul(wp.vec3(p[10], p[11], p[12]), wp.quat_rotate_inv(q_mid, b.v))
    lift = wp.vec3(0.0, 0.0, wp.dot(one, impulse))
    a = (wp.quat_rotate(q_mid, lift - drag) + outside) * (1.0 / p[0]) - wp.vec3(0.0, 0.0, 9.81)
    n = Body()
    n.p = b.p + h * b.v + 0.5 * h * h * a
    n.v = b.v + h * a
    n.q = q_end
    n.w = w_end
    n.r = end2
    return n


@wp.func
def volts(p: ParamRow, battery: float, u: wp.vec4):
    """What a brushed rotor makes of a speed command: less voltage, less speed; sag grows with the square of speed."""
    high = p[14]
    return u * (battery * (1.0 - p[26] * wp.dot(u, u) / (4.0 * high * high)))


@wp.func
def clamp4(u: wp.vec4, low: float, high: float):
    return wp.vec4(
        wp.clamp(u[0], low, high), wp.clamp(u[1], low, high), wp.clamp(u[2], low, high), wp.clamp(u[3], low, high)
    )


@wp.kernel
def fly(
    params: wp.array(dtype=ParamRow),
    dt: float,
    steps: int,
    state: wp.array(dtype=StateRow),
    command: wp.array(dtype=wp.vec4),
    next_state: wp.array(dtype=StateRow),
):
    """`steps` periods under one command with no sensors: the bare simulator, for benchmarks and references."""
    i = wp.tid()
    p = params[i]
    s = state[i]
    b = load(s)
    u = volts(p, s[28], clamp4(command[i], p[13], p[14]))
    outside = wp.vec3(p[17], p[18], p[19])
    keep = decay(p, 0.0, dt)
    for _ in range(steps):
        b = advance(p, b, u, u, outside, keep, 0.0, dt)
    for k in range(3):
        s[k] = b.p[k]
        s[4 + k] = b.q[k]
        s[7 + k] = b.v[k]
        s[10 + k] = b.w[k]
    s[3] = b.q[3]
    for k in range(4):
        s[13 + k] = b.r[k]
    s[42] = s[42] + float(steps) * dt
    next_state[i] = s


@wp.kernel
def gaussian(seed: wp.array(dtype=wp.int32), noise: wp.array(dtype=NoiseRow)):
    """Standard normal numbers by the sum of four bytes (excess kurtosis -0.3), a third of the price of Box-Muller.
    `seed` is (seed, counter), both read on the device so that a recorded launch needs no new argument."""
    i = wp.tid()
    rng = wp.rand_init(seed[0], seed[1] + i)
    row = NoiseRow()
    for k in range(NUM_NOISE):
        bits = wp.randu(rng)
        total = (bits & wp.uint32(255)) + ((bits >> wp.uint32(8)) & wp.uint32(255))
        total = total + ((bits >> wp.uint32(16)) & wp.uint32(255)) + (bits >> wp.uint32(24))
        row[k] = (float(total) - 510.0) * 0.0067658751
    noise[i] = row
