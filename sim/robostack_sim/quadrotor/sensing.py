"""What a quadrotor's sensors, references and rewards make of its state: the kernels around `physics.advance`."""

from __future__ import annotations

import warp as wp

from robostack_sim.quadrotor.physics import F1, F2, advance, clamp4, load, volts

OBS_SIZE = 56
NUM_TERMS = 8
"""position, excursion, velocity, rate, tilt, yaw, action, action_rate"""
NUM_WEIGHTS = 10
"""one a term, then the width of the position term's quadratic part (m) and the free excursion (m)"""


@wp.kernel
def reference_kernel(params: F2, dt: float, state: F2, reference: wp.array3d(dtype=wp.float32)):
    """reference[k, i] is position, velocity and acceleration at the time of state plus k periods: of
    amplitude * (sin(frequency * s(t) + phase) - sin(phase)) on each axis. No action changes it: no adjoint."""
    k, i = wp.tid()
    t = state[i, 42] + float(k) * dt
    ramp = params[i, 55]
    s = t - 0.5 * ramp
    ds = float(1.0)
    dds = float(0.0)
    if t < ramp:
        s = 0.5 * t * t / ramp
        ds = t / ramp
        dds = 1.0 / ramp
    for axis in range(3):
        amplitude = params[i, 46 + axis]
        f = params[i, 49 + axis]
        phase = params[i, 52 + axis]
        sine = wp.sin(f * s + phase)
        cosine = wp.cos(f * s + phase)
        reference[k, i, axis] = amplitude * (sine - wp.sin(phase))
        reference[k, i, 3 + axis] = amplitude * f * ds * cosine
        reference[k, i, 6 + axis] = amplitude * f * (dds * cosine - f * ds * ds * sine)


@wp.func
def sense(params: F2, i: int, dt: float, state: F2, reference: F2, noise: F2, obs: F2):
    """Writes the packed observation of one row: noisy, late measurements, then what only a critic sees."""
    late = params[i, 16] / dt
    for k in range(3):
        p = state[i, k]
        v = state[i, 7 + k]
        w = state[i, 10 + k]
        obs[i, k] = p + late * (state[i, 29 + k] - p) + params[i, 42] * noise[i, k]
        obs[i, 3 + k] = v + late * (state[i, 36 + k] - v) + params[i, 44] * noise[i, 7 + k]
        obs[i, 10 + k] = (
            w + late * (state[i, 39 + k] - w) + params[i, 39 + k] + params[i, 45] * noise[i, 10 + k]
        )
        obs[i, 26 + k] = p
        obs[i, 33 + k] = v
        obs[i, 36 + k] = w
        obs[i, 43 + k] = params[i, 17 + k] + state[i, 25 + k]
        obs[i, 46 + k] = params[i, 20 + k]
    q = wp.vec4()
    for k in range(4):
        a = state[i, 3 + k]
        q[k] = a + late * (state[i, 32 + k] - a) + params[i, 43] * noise[i, 3 + k]
        obs[i, 29 + k] = a
    q = q / wp.sqrt(wp.dot(q, q))
    for k in range(9):
        obs[i, 13 + k] = reference[i, k]
    for k in range(4):
        obs[i, 6 + k] = q[k]
        obs[i, 22 + k] = state[i, 17 + k]
        obs[i, 39 + k] = state[i, 13 + k]
    obs[i, 49] = params[i, 0]
    obs[i, 50] = params[i, 6]
    obs[i, 51] = params[i, 8]
    obs[i, 52] = params[i, 9]
    obs[i, 53] = params[i, 15]
    obs[i, 54] = params[i, 16]
    obs[i, 55] = state[i, 28]


@wp.func
def huber(x: float, width: float):
    """x2 / 2 width inside the width, |x| - width / 2 outside: slope 1 far away."""
    a = wp.abs(x)
    y = a - 0.5 * width
    if a < width:
        y = 0.5 * a * a / width
    return y


@wp.func
def soft_norm(a: wp.vec3):
    return wp.sqrt(wp.dot(a, a) + 1.0e-6)


@wp.kernel
def observe_kernel(params: F2, dt: float, noise: F2, reference: F2, state: F2, obs: F2):
    i = wp.tid()
    sense(params, i, dt, state, reference, noise, obs)


@wp.kernel
def step_kernel(
    params: F2,
    weights: F1,
    dt: float,
    noise: F2,
    reference: F2,
    state: F2,
    action: F2,
    next_state: F2,
    obs: F2,
    costs: F2,
):
    """Envelope limits, physics, gust, sensors and costs of one control period; action is (N, 4) rad/s, reference
    (N, 9) at the period's end. Written out, not in functions: see `physics.advance`."""
    i = wp.tid()
    command = clamp4(
        wp.vec4(action[i, 0], action[i, 1], action[i, 2], action[i, 3]), params[i, 13], params[i, 14]
    )
    # the command that acts switches once within the period, at phi
    one = wp.vec4(state[i, 17], state[i, 18], state[i, 19], state[i, 20])
    two = wp.vec4(state[i, 21], state[i, 22], state[i, 23], state[i, 24])
    late = params[i, 15] >= dt
    older = wp.where(late, two, one)
    newer = wp.where(late, one, command)
    phi = wp.min(params[i, 15] - wp.where(late, dt, 0.0), dt)
    battery = state[i, 28]
    outside = wp.vec3(params[i, 17] + state[i, 25], params[i, 18] + state[i, 26], params[i, 19] + state[i, 27])
    b = load(state, i)
    sag_older = volts(params, i, battery, older)
    sag_newer = volts(params, i, battery, newer)
    e = advance(params, i, b, sag_older, sag_newer, outside, phi, dt)
    share = wp.min(dt / params[i, 24], 1.0)
    for k in range(3):
        next_state[i, k] = e.p[k]
        next_state[i, 4 + k] = e.q[k]
        next_state[i, 7 + k] = e.v[k]
        next_state[i, 10 + k] = e.w[k]
        # first-order Gauss-Markov gust of standard deviation GUST_STD
        kick = params[i, 23] * wp.sqrt(2.0 * share) * noise[i, 13 + k]
        next_state[i, 25 + k] = state[i, 25 + k] * (1.0 - share) + kick
    next_state[i, 3] = e.q[3]
    for k in range(4):
        next_state[i, 13 + k] = e.r[k]
        next_state[i, 17 + k] = command[k]
        next_state[i, 21 + k] = one[k]
    for k in range(13):
        next_state[i, 29 + k] = state[i, k]
    next_state[i, 28] = wp.max(battery - dt * params[i, 25], 0.0)
    next_state[i, 42] = state[i, 42] + dt

    sense(params, i, dt, next_state, reference, noise, obs)

    error = e.p - wp.vec3(reference[i, 0], reference[i, 1], reference[i, 2])
    drift = e.v - wp.vec3(reference[i, 3], reference[i, 4], reference[i, 5])
    wanted = wp.normalize(wp.vec3(reference[i, 6], reference[i, 7], reference[i, 8] + 9.81))
    up = wp.quat_rotate(e.q, wp.vec3(0.0, 0.0, 1.0))
    width = weights[8]
    free = weights[9]
    near = float(0.0)
    far = float(0.0)
    for k in range(3):
        a = wp.abs(error[k])
        near += wp.where(a < width, 0.5 * a * a / width, a - 0.5 * width)
        far += wp.max(a - free, 0.0)
    costs[i, 0] = weights[0] * near
    costs[i, 1] = weights[1] * far
    costs[i, 2] = weights[2] * wp.sqrt(wp.dot(drift, drift) + 1.0e-6)
    costs[i, 3] = weights[3] * wp.sqrt(wp.dot(e.w, e.w) + 1.0e-6)
    costs[i, 4] = weights[4] * 0.5 * (1.0 - wp.dot(up, wanted))
    costs[i, 5] = weights[5] * e.q[2] * e.q[2]
    # rotor command as a share of its range, against the speed at which this machine hovers
    span = params[i, 14] - params[i, 13]
    root = params[i, 5] * params[i, 5] - 4.0 * params[i, 6] * (params[i, 4] - params[i, 0] * 2.4525)
    hover = (wp.sqrt(wp.max(root, 0.0)) - params[i, 5]) / (2.0 * params[i, 6])
    off = (command - hover * wp.vec4(1.0, 1.0, 1.0, 1.0)) / span
    change = (command - one) / span
    costs[i, 6] = weights[6] * wp.dot(off, off)
    costs[i, 7] = weights[7] * wp.dot(change, change)
