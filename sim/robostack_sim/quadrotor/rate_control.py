"""A control period under collective thrust and body rates: the autopilot's rate controller and mixer inside the plant.

The controller runs SUBSTEPS times a control period as PX4's multicopter rate control does: a filtered gyro, PID with a
filtered derivative of the rate alone and an integral that shrinks with large errors, then a mixer that gives roll and
pitch their room before thrust and yaw. Its rotor command acts `delay` after the gyro sample. Left out: the stop of the
integral on saturation (its limit stays), the feed-forward (0 by default), the notch filters.
"""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from __future__ import annotations

from enum import IntEnum
from typing import Any

import warp as wp

from robostack.lanes import (
    add,
    div,
    dot4,
    get,
    get3,
    get4,
    lower,
    mul,
    put,
    put3,
    put4,
    reaches,
    root,
    size,
    sub,
    upper,
    vec3,
    vec4,
)
from robostack_sim.quadrotor.judging import judge
from robostack_sim.quadrotor.physics import advance, supply
from robostack_sim.quadrotor.sensing import FLAGS, delayed, finish

# inlined as much as sensing.py's kernel, four substeps take eight times as long to compile and are no faster by much
wp.set_module_options({"cpu_compiler_flags": FLAGS.replace("inline-threshold=700", "inline-threshold=225")})


class R(IntEnum):
    """Columns of the state row after those of robostack_sim.quadrotor.physics.S."""

    INTEGRAL = 43  # normalised torque
    GYRO = 46  # rad/s, filtered
    SLOPE = 49  # rad/s2, filtered
    ROTOR_COMMAND = 52  # rad/s, of the substep before
    SIZE = 56


@wp.func
def number3(numbers: wp.array2d(dtype=wp.float32), column: int, one: Any):
    return vec3(numbers[0, column] * one, numbers[0, column + 1] * one, numbers[0, column + 2] * one)


@wp.func
def number4(numbers: wp.array2d(dtype=wp.float32), column: int, one: Any):
    return vec4(
        numbers[0, column] * one, numbers[0, column + 1] * one, numbers[0, column + 2] * one,
        numbers[0, column + 3] * one,
    )  # fmt: skip


@wp.func
def within(a: Any, limit: Any):
    """In [-limit, limit]."""
    return upper(lower(a, limit), -1.0 * limit)


@wp.func
def within3(a: Any, limit: Any):
    return vec3(within(a.x, limit.x), within(a.y, limit.y), within(a.z, limit.z))


@wp.func
def smallest(a: Any):
    return lower(lower(a.x, a.y), lower(a.z, a.w))


@wp.func
def furthest(a: Any):
    """The largest of four without their signs."""
    return upper(upper(size(a.x), size(a.y)), upper(size(a.z), size(a.w)))


@wp.func
def room(a: Any):
    """To the nearer end of [0, 1]."""
    return lower(a, type(a)(1.0) - a)


@wp.func
def curve(u: Any, square: Any):
    """The motor command, a share of its range, that makes a thrust share u = square c2 + (1 - square) c."""
    one = type(u)(1.0)
    linear = one - square
    return 2.0 * u / (linear + root(linear * linear + 4.0 * (square * u) + 1.0e-6 * one))


@wp.func
def mix(numbers: wp.array2d(dtype=wp.float32), thrust: Any, torque: Any):
    """Thrust shares of four rotors within [0, 1]: roll and pitch first, scaled down where they span more than that;
    thrust makes room for them, upwards (and with airmode downwards); yaw takes what is left."""
    one = type(thrust)(1.0)
    tiny = 1.0e-6 * one
    half = 0.5 * one
    tilt = torque.x * number4(numbers, 17, one) + torque.y * number4(numbers, 21, one)
    most = furthest(tilt)
    needs = lower(most, half)
    middle = upper(lower(thrust, one - needs), numbers[0, 16] * needs)
    keep = lower(one, lower(half, middle) / upper(most, tiny))
    u = vec4(middle, middle, middle, middle) + keep * tilt
    turn = torque.z * number4(numbers, 25, one)
    left = upper(smallest(vec4(room(u.x), room(u.y), room(u.z), room(u.w))), 0.0 * one)
    return u + lower(one, left / upper(furthest(turn), tiny)) * turn


@wp.func
def integrate(integral: Any, gain: Any, error: Any, limit: Any, dt: Any):
    """PX4's: less for a large error, nothing beyond 400 degrees a second."""
    one = type(error)(1.0)
    far = (1.0 / 6.98131701) * error
    return within(integral + dt * (gain * (upper(one - far * far, 0.0 * one) * error)), limit)


@wp.func
def control(
    params: wp.array2d(dtype=Any), numbers: wp.array2d(dtype=wp.float32), i: int, dt: Any,
    wanted: Any, rate: Any, integral: Any, gyro: Any, slope: Any,
):  # fmt: skip
    """One run of the rate controller, at a gyro sample `rate`: rotor command (rad/s), then its memory."""
    one = type(dt)(1.0)
    smooth = gyro + numbers[0, 12] * (rate - gyro)
    steeper = slope + numbers[0, 13] * ((one / dt) * (smooth - gyro) - slope)
    error = vec3(wanted.y, wanted.z, wanted.w) - smooth
    torque = number3(numbers, 0, one) * error + integral - number3(numbers, 6, one) * steeper
    ki = number3(numbers, 3, one)
    limit = number3(numbers, 9, one)
    wound = vec3(
        integrate(integral.x, ki.x, error.x, limit.x, dt),
        integrate(integral.y, ki.y, error.y, limit.y, dt),
        integrate(integral.z, ki.z, error.z, limit.z, dt),
    )
    u = mix(numbers, wanted.x, torque)
    square = numbers[0, 15] * one
    low = get(params, 13, i)
    command = vec4(low, low, low, low) + (get(params, 14, i) - low) * vec4(
        curve(u.x, square), curve(u.y, square), curve(u.z, square), curve(u.w, square)
    )
    return command, wound, smooth, steeper


@wp.kernel
def rates_step_kernel(
    params: wp.array2d(dtype=Any),
    weights: wp.array2d(dtype=wp.float32),
    numbers: wp.array2d(dtype=wp.float32),
    dt: float,
    noise: wp.array2d(dtype=Any),
    reference: wp.array2d(dtype=Any),
    state: wp.array2d(dtype=Any),
    action: wp.array2d(dtype=Any),
    next_state: wp.array2d(dtype=Any),
    obs: wp.array2d(dtype=Any),
    reward: wp.array2d(dtype=Any),
    costs: wp.array2d(dtype=Any),
):
    """sensing.step_kernel for an action (N, 4) of thrust share and body rates (rad/s, FLU); `numbers` (1, A.SIZE)."""
    i = wp.tid()
    battery = get(state, 28, i)
    one = type(battery)(1.0)
    h = type(battery)(dt)
    most = number3(numbers, 29, one)
    asked = within3(get3(action, 1, i), most)
    command = vec4(upper(lower(get(action, 0, i), one), 0.0 * one), asked.x, asked.y, asked.z)
    last = get4(state, 17, i)
    older, newer, phi = delayed(params, i, h, command, last, get4(state, 21, i))
    gust = get3(state, 25, i)
    outside = get3(params, 17, i) + gust
    p0 = get3(state, 0, i)
    qw0 = get(state, 3, i)
    qu0 = get3(state, 4, i)
    v0 = get3(state, 7, i)
    w0 = get3(state, 10, i)
    sub_h = 0.25 * h
    lag = numbers[0, 14] * one
    p = p0
    qw = qw0
    qu = qu0
    v = v0
    w = w0
    rotor = get4(state, 13, i)
    integral = get3(state, 43, i)
    gyro = get3(state, 46, i)
    slope = get3(state, 49, i)
    held = get4(state, 52, i)
    for k in range(4):  # autopilot.SUBSTEPS; a literal, which Warp unrolls: a loop that it does not has no adjoint
        arrived = reaches((0.25 * float(k)) * h, phi)
        wanted = older + arrived * (newer - older)
        fresh, integral, gyro, slope = control(params, numbers, i, sub_h, wanted, w, integral, gyro, slope)
        volts = supply(params, i, battery, rotor)
        p, qw, qu, v, w, rotor = advance(
            params, i, sub_h, lag, p, qw, qu, v, w, rotor, volts * held, volts * fresh, outside
        )
        held = fresh
    put3(next_state, 43, i, integral)
    put3(next_state, 46, i, gyro)
    put3(next_state, 49, i, slope)
    put4(next_state, 52, i, held)
    finish(
        params, i, h, noise, reference, state, p0, qw0, qu0, v0, w0, last, gust, battery,
        p, qw, qu, v, w, rotor, command, next_state, obs,
    )  # fmt: skip

    high = get(params, 14, i)
    full = get(params, 4, i) + high * (get(params, 5, i) + high * get(params, 6, i))
    carries = 2.4525 * get(params, 0, i) / full
    per = vec3(one, one, one) / most
    turn = per * asked
    turned = per * (asked - vec3(last.y, last.z, last.w))
    off = vec4(command.x - carries, turn.x, turn.y, turn.z)
    change = vec4(command.x - last.x, turned.x, turned.y, turned.z)
    judge(params, weights, i, p, qw, qu, v, w, off, change, reference, reward, costs)
