"""What a quadrotor's sensors, references and rewards make of its state: the kernels around `physics.advance`."""

from __future__ import annotations

import warp as wp

from robostack_sim.quadrotor.physics import (
    NoiseRow,
    ParamRow,
    ReferenceRow,
    StateRow,
    advance,
    clamp4,
    decay,
    load,
    volts,
)

OBS_SIZE = 56
NUM_TERMS = 8
"""position, excursion, velocity, rate, tilt, yaw, action, action_rate"""
NUM_WEIGHTS = 10
"""one a term, then the width of the position term's quadratic part (m) and the free excursion (m)"""

ObsRow = wp.types.vector(length=OBS_SIZE, dtype=wp.float32)
RewardRow = wp.types.vector(length=1, dtype=wp.float32)
CostRow = wp.types.vector(length=NUM_TERMS, dtype=wp.float32)
WeightRow = wp.types.vector(length=NUM_WEIGHTS, dtype=wp.float32)


@wp.kernel
def reference_kernel(
    params: wp.array(dtype=ParamRow),
    dt: float,
    state: wp.array(dtype=StateRow),
    reference: wp.array2d(dtype=ReferenceRow),
):
    """reference[k, i] is position, velocity and acceleration at the time of state plus k periods: of
    amplitude * (sin(frequency * s(t) + phase) - sin(phase)) on each axis. No action changes it: no adjoint."""
    k, i = wp.tid()
    p = params[i]
    t = state[i][42] + float(k) * dt
    ramp = p[55]
    r = ReferenceRow()
    s = t - 0.5 * ramp
    ds = float(1.0)
    dds = float(0.0)
    if t < ramp:
        s = 0.5 * t * t / ramp
        ds = t / ramp
        dds = 1.0 / ramp
    for axis in range(3):
        amplitude = p[46 + axis]
        if amplitude != 0.0:
            f = p[49 + axis]
            phase = p[52 + axis]
            sine = wp.sin(f * s + phase)
            cosine = wp.cos(f * s + phase)
            r[axis] = amplitude * (sine - wp.sin(phase))
            r[3 + axis] = amplitude * f * ds * cosine
            r[6 + axis] = amplitude * f * (dds * cosine - f * ds * ds * sine)
    reference[k, i] = r


@wp.func
def sense(p: ParamRow, dt: float, s: StateRow, r: ReferenceRow, n: NoiseRow):
    """The packed observation of one row: noisy, late measurements, then what only a critic sees."""
    o = ObsRow()
    late = p[16] / dt
    for k in range(3):
        x = s[k]
        v = s[7 + k]
        w = s[10 + k]
        o[k] = x + late * (s[29 + k] - x) + p[42] * n[k]
        o[3 + k] = v + late * (s[36 + k] - v) + p[44] * n[7 + k]
        o[10 + k] = w + late * (s[39 + k] - w) + p[39 + k] + p[45] * n[10 + k]
        o[26 + k] = x
        o[33 + k] = v
        o[36 + k] = w
        o[43 + k] = p[17 + k] + s[25 + k]
        o[46 + k] = p[20 + k]
    q = wp.vec4()
    for k in range(4):
        a = s[3 + k]
        q[k] = a + late * (s[32 + k] - a) + p[43] * n[3 + k]
        o[29 + k] = a
    q = q / wp.sqrt(wp.dot(q, q))
    for k in range(9):
        o[13 + k] = r[k]
    for k in range(4):
        o[6 + k] = q[k]
        o[22 + k] = s[17 + k]
        o[39 + k] = s[13 + k]
    o[49] = p[0]
    o[50] = p[6]
    o[51] = p[8]
    o[52] = p[9]
    o[53] = p[15]
    o[54] = p[16]
    o[55] = s[28]
    return o


@wp.kernel
def observe_kernel(
    params: wp.array(dtype=ParamRow),
    dt: float,
    noise: wp.array(dtype=NoiseRow),
    reference: wp.array(dtype=ReferenceRow),
    state: wp.array(dtype=StateRow),
    obs: wp.array(dtype=ObsRow),
):
    i = wp.tid()
    obs[i] = sense(params[i], dt, state[i], reference[i], noise[i])


@wp.kernel
def step_kernel(
    params: wp.array(dtype=ParamRow),
    weights: wp.array(dtype=WeightRow),
    dt: float,
    noise: wp.array(dtype=NoiseRow),
    reference: wp.array(dtype=ReferenceRow),
    state: wp.array(dtype=StateRow),
    action: wp.array(dtype=wp.vec4),
    next_state: wp.array(dtype=StateRow),
    obs: wp.array(dtype=ObsRow),
    reward: wp.array(dtype=RewardRow),
    costs: wp.array(dtype=CostRow),
):
    """Envelope limits, physics, gust, sensors and costs of one control period; action is (N, 4) rad/s, reference
    (N, 9) at the period's end. Written out, not in functions: see `physics.advance`."""
    i = wp.tid()
    p = params[i]
    s = state[i]
    r = reference[i]
    n = noise[i]
    weight = weights[0]
    command = clamp4(action[i], p[13], p[14])
    # the command that acts switches once within the period, at phi
    one = wp.vec4(s[17], s[18], s[19], s[20])
    two = wp.vec4(s[21], s[22], s[23], s[24])
    late = p[15] >= dt
    older = wp.where(late, two, one)
    newer = wp.where(late, one, command)
    phi = wp.min(p[15] - wp.where(late, dt, 0.0), dt)
    battery = s[28]
    outside = wp.vec3(p[17] + s[25], p[18] + s[26], p[19] + s[27])
    b = load(s)
    sag_older = volts(p, battery, older)
    sag_newer = volts(p, battery, newer)
    e = advance(p, b, sag_older, sag_newer, outside, decay(p, phi, dt), phi, dt)
    f = StateRow()
    share = wp.min(dt / p[24], 1.0)
    for k in range(3):
        f[k] = e.p[k]
        f[4 + k] = e.q[k]
        f[7 + k] = e.v[k]
        f[10 + k] = e.w[k]
        # first-order Gauss-Markov gust of standard deviation GUST_STD
        kick = p[23] * wp.sqrt(2.0 * share) * n[13 + k]
        f[25 + k] = s[25 + k] * (1.0 - share) + kick
    f[3] = e.q[3]
    for k in range(4):
        f[13 + k] = e.r[k]
        f[17 + k] = command[k]
        f[21 + k] = one[k]
    for k in range(13):
        f[29 + k] = s[k]
    f[28] = wp.max(battery - dt * p[25], 0.0)
    f[42] = s[42] + dt

    next_state[i] = f
    obs[i] = sense(p, dt, f, r, n)

    error = e.p - wp.vec3(r[0], r[1], r[2])
    drift = e.v - wp.vec3(r[3], r[4], r[5])
    wanted = wp.normalize(wp.vec3(r[6], r[7], r[8] + 9.81))
    up = wp.quat_rotate(e.q, wp.vec3(0.0, 0.0, 1.0))
    width = weight[8]
    free = weight[9]
    near = float(0.0)
    far = float(0.0)
    for k in range(3):
        a = wp.abs(error[k])
        near += wp.where(a < width, 0.5 * a * a / width, a - 0.5 * width)
        far += wp.max(a - free, 0.0)
    c = CostRow()
    c[0] = weight[0] * near
    c[1] = weight[1] * far
    c[2] = weight[2] * wp.sqrt(wp.dot(drift, drift) + 1.0e-6)
    c[3] = weight[3] * wp.sqrt(wp.dot(e.w, e.w) + 1.0e-6)
    c[4] = weight[4] * 0.5 * (1.0 - wp.dot(up, wanted))
    c[5] = weight[5] * e.q[2] * e.q[2]
    # rotor command as a share of its range, against the speed at which this machine hovers
    span = p[14] - p[13]
    root = p[5] * p[5] - 4.0 * p[6] * (p[4] - p[0] * 2.4525)
    hover = (wp.sqrt(wp.max(root, 0.0)) - p[5]) / (2.0 * p[6])
    off = (command - hover * wp.vec4(1.0, 1.0, 1.0, 1.0)) / span
    change = (command - one) / span
    c[6] = weight[6] * wp.dot(off, off)
    c[7] = weight[7] * wp.dot(change, change)
    costs[i] = c
    reward[i] = RewardRow(-(c[0] + c[1] + c[2] + c[3] + c[4] + c[5] + c[6] + c[7]))
