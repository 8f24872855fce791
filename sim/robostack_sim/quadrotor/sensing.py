"""What a quadrotor's sensors and references make of its state: the kernels around `physics.advance`."""

# ruff: noqa: F401  (Warp finds add, div, mul and sub by name when it meets an operator)

from __future__ import annotations

from typing import Any

import warp as wp

from robostack.lanes import (
    CPU_FLAGS,
    add,
    div,
    dot,
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
    sine,
    sub,
    upper,
    vec3,
    vec4,
)
from robostack_sim.quadrotor.judging import judge, rotor_shares
from robostack_sim.quadrotor.physics import advance, limited, supply

# inline less than Warp would: a third of the compile time, for a seventh of the adjoint's speed
FLAGS = f"{CPU_FLAGS} -mllvm=-inline-threshold=700 -mllvm=-slp-recursion-max-depth=4"
wp.set_module_options({"cpu_compiler_flags": FLAGS})

OBS_SIZE = 56


@wp.kernel(enable_backward=False)
def reference_kernel(
    params: wp.array2d(dtype=Any),
    dt: float,
    state: wp.array2d(dtype=Any),
    reference: wp.array3d(dtype=Any),
):
    """reference[k] is position, velocity and acceleration at the time of state plus k periods: of
    amplitude * (sin(frequency * s(t) + phase) - sin(phase)) on each axis. No action changes it: no adjoint."""
    k, i = wp.tid()
    now = get(state, 42, i)
    one = type(now)(1.0)
    t = now + (float(k) * dt) * one
    # s = t - ramp / 2 after the ramp, t2 / (2 ramp) on it: with c, the time on the ramp so far
    ramp = get(params, 55, i)
    c = lower(t, ramp)
    on = one - reaches(t, ramp)
    per_ramp = one / upper(ramp, 1.0e-6 * one)
    s = t - c + 0.5 * (c * (c * per_ramp))
    ds = one - on + on * (c * per_ramp)
    dds = on * per_ramp
    quarter = 1.57079632679 * one
    for axis in range(3):
        amplitude = get(params, 46 + axis, i)
        f = get(params, 49 + axis, i)
        phase = get(params, 52 + axis, i)
        at = f * s + phase
        swing = sine(at)
        push = sine(at + quarter)
        put(reference[k], axis, i, amplitude * (swing - sine(phase)))
        put(reference[k], 3 + axis, i, amplitude * (f * (ds * push)))
        put(reference[k], 6 + axis, i, amplitude * (f * (dds * push - f * (ds * (ds * swing)))))


@wp.func
def sense(
    params: wp.array2d(dtype=Any), i: int, h: Any,
    p: Any, qw: Any, qu: Any, v: Any, w: Any,
    before: wp.array2d(dtype=Any), column: int,
    noise: wp.array2d(dtype=Any), obs: wp.array2d(dtype=Any),
):  # fmt: skip
    """What sensors make of position, quaternion, velocity and rate, and of those one period ago, which begin at
    `column` of `before`: late and noisy."""
    late = get(params, 16, i) / h
    late_p = p + late * (get3(before, column, i) - p) + get(params, 42, i) * get3(noise, 0, i)
    late_w = qw + late * (get(before, column + 3, i) - qw) + get(params, 43, i) * get(noise, 3, i)
    late_u = qu + late * (get3(before, column + 4, i) - qu) + get(params, 43, i) * get3(noise, 4, i)
    late_v = v + late * (get3(before, column + 7, i) - v) + get(params, 44, i) * get3(noise, 7, i)
    late_r = w + late * (get3(before, column + 10, i) - w) + get(params, 45, i) * get3(noise, 10, i)
    unit = type(late)(1.0) / root(late_w * late_w + dot(late_u, late_u))
    put3(obs, 0, i, late_p)
    put3(obs, 3, i, late_v)
    put(obs, 6, i, unit * late_w)
    put3(obs, 7, i, unit * late_u)
    put3(obs, 10, i, late_r + get3(params, 39, i))


@wp.func
def tell(
    params: wp.array2d(dtype=Any), i: int,
    p: Any, qw: Any, qu: Any, v: Any, w: Any, rotor: Any, command: Any, gust: Any, battery: Any,
    reference: wp.array2d(dtype=Any), obs: wp.array2d(dtype=Any),
):  # fmt: skip
    """What needs no sensor: setpoint and applied action, then what only a critic sees."""
    for k in range(9):
        put(obs, 13 + k, i, get(reference, k, i))
    put4(obs, 22, i, command)
    put3(obs, 26, i, p)
    put(obs, 29, i, qw)
    put3(obs, 30, i, qu)
    put3(obs, 33, i, v)
    put3(obs, 36, i, w)
    put4(obs, 39, i, rotor)
    put3(obs, 43, i, get3(params, 17, i) + gust)
    put3(obs, 46, i, get3(params, 20, i))
    put(obs, 49, i, get(params, 0, i))
    put(obs, 50, i, get(params, 6, i))
    put(obs, 51, i, get(params, 8, i))
    put(obs, 52, i, get(params, 9, i))
    put(obs, 53, i, get(params, 15, i))
    put(obs, 54, i, get(params, 16, i))
    put(obs, 55, i, battery)


@wp.func
def delayed(params: wp.array2d(dtype=Any), i: int, h: Any, command: Any, last: Any, before_last: Any):
    """The command that acts, `ACTION_DELAY` after it was issued, switches once within the period: what acts until then,
    what acts from then on, and when (s)."""
    delay = get(params, 15, i)
    late = reaches(delay, h)
    prompt = type(h)(1.0) - late
    return prompt * last + late * before_last, prompt * command + late * last, lower(delay - late * h, h)


@wp.func
def finish(
    params: wp.array2d(dtype=Any), i: int, h: Any, noise: wp.array2d(dtype=Any), reference: wp.array2d(dtype=Any),
    state: wp.array2d(dtype=Any), p0: Any, qw0: Any, qu0: Any, v0: Any, w0: Any, last: Any, gust: Any, battery: Any,
    p: Any, qw: Any, qu: Any, v: Any, w: Any, rotor: Any, command: Any,
    next_state: wp.array2d(dtype=Any), obs: wp.array2d(dtype=Any),
):  # fmt: skip
    """A period's end: gust and battery, the state of every machine, and what is observed of it. What it was before
    (p0 to battery), which the caller has read, then what it is."""
    one = type(h)(1.0)
    # first-order Gauss-Markov gust of standard deviation GUST_STD
    share = lower(h / get(params, 24, i), one)
    gusts = (one - share) * gust + (get(params, 23, i) * root(2.0 * share)) * get3(noise, 13, i)
    left = upper(battery - h * get(params, 25, i), 0.0 * one)
    put3(next_state, 0, i, p)
    put(next_state, 3, i, qw)
    put3(next_state, 4, i, qu)
    put3(next_state, 7, i, v)
    put3(next_state, 10, i, w)
    put4(next_state, 13, i, rotor)
    put4(next_state, 17, i, command)
    put4(next_state, 21, i, last)
    put3(next_state, 25, i, gusts)
    put(next_state, 28, i, left)
    put3(next_state, 29, i, p0)
    put(next_state, 32, i, qw0)
    put3(next_state, 33, i, qu0)
    put3(next_state, 36, i, v0)
    put3(next_state, 39, i, w0)
    put(next_state, 42, i, get(state, 42, i) + h)
    sense(params, i, h, p, qw, qu, v, w, state, 0, noise, obs)
    tell(params, i, p, qw, qu, v, w, rotor, command, gusts, left, reference, obs)


@wp.kernel(enable_backward=False)
def observe_kernel(
    params: wp.array2d(dtype=Any),
    dt: float,
    noise: wp.array2d(dtype=Any),
    reference: wp.array2d(dtype=Any),
    state: wp.array2d(dtype=Any),
    obs: wp.array2d(dtype=Any),
):
    i = wp.tid()
    p = get3(state, 0, i)
    qw = get(state, 3, i)
    qu = get3(state, 4, i)
    v = get3(state, 7, i)
    w = get3(state, 10, i)
    sense(params, i, type(qw)(dt), p, qw, qu, v, w, state, 29, noise, obs)
    rotor = get4(state, 13, i)
    tell(params, i, p, qw, qu, v, w, rotor, get4(state, 17, i), get3(state, 25, i), get(state, 28, i), reference, obs)


@wp.kernel
def step_kernel(
    params: wp.array2d(dtype=Any),
    weights: wp.array2d(dtype=wp.float32),
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
    """Envelope limits, physics, gust, sensors and costs of one control period; action is (N, 4) rad/s, reference
    (N, 9) at the period's end."""
    i = wp.tid()
    battery = get(state, 28, i)
    h = type(battery)(dt)
    command = limited(params, i, get4(action, 0, i))
    last = get4(state, 17, i)
    older, newer, phi = delayed(params, i, h, command, last, get4(state, 21, i))
    gust = get3(state, 25, i)
    p0 = get3(state, 0, i)
    qw0 = get(state, 3, i)
    qu0 = get3(state, 4, i)
    v0 = get3(state, 7, i)
    w0 = get3(state, 10, i)
    rotor0 = get4(state, 13, i)
    volts = supply(params, i, battery, rotor0)
    p, qw, qu, v, w, rotor = advance(
        params, i, h, phi, p0, qw0, qu0, v0, w0, rotor0, volts * older, volts * newer, get3(params, 17, i) + gust
    )
    finish(
        params, i, h, noise, reference, state, p0, qw0, qu0, v0, w0, last, gust, battery,
        p, qw, qu, v, w, rotor, command, next_state, obs,
    )  # fmt: skip

    off, change = rotor_shares(params, i, command, last)
    judge(params, weights, i, p, qw, qu, v, w, off, change, reference, reward, costs)
