"""Contracts to test with: a small quadrotor, and random ones that reach every kind of rung and limit."""

from __future__ import annotations

import math
from random import Random

from robostack.spec import (
    ActionChannel,
    Channel,
    Cut,
    Envelope,
    HoldLast,
    LevelDescend,
    PolicySpec,
    RampTo,
    State,
    Tumble,
)

DT_S = 0.01
MASS_KG, GRAVITY_M_S2, ARM_M, TORQUE_M = 0.027, 9.81, 0.028, 0.006
INERTIA_KG_M2 = (1.4e-5, 1.4e-5, 2.2e-5)
ROTORS = ((ARM_M, -ARM_M, -1), (-ARM_M, -ARM_M, 1), (-ARM_M, ARM_M, -1), (ARM_M, ARM_M, 1))
"""x, y (m, forward-left) and the sign of the torque about z."""


def level_descend() -> LevelDescend:
    """Critically damped at 10 rad/s about x and y; actions are rotor thrusts in N."""
    kp = [100 * inertia for inertia in INERTIA_KG_M2]
    kd = [20 * inertia for inertia in INERTIA_KG_M2]
    roll, pitch = [y / (4 * ARM_M**2) for _, y, _ in ROTORS], [-x / (4 * ARM_M**2) for x, _, _ in ROTORS]
    yaw = [spin / (4 * TORQUE_M) for _, _, spin in ROTORS]
    gain = tuple(
        (-kp[0] * r, -kp[1] * p, -kd[0] * r, -kd[1] * p, -kd[2] * y, -0.02)
        for r, p, y in zip(roll, pitch, yaw, strict=True)
    )
    return LevelDescend(base=(0.92 * MASS_KG * GRAVITY_M_S2 / 4,) * 4, gain=gain, max_s=3.0)


QUADROTOR = PolicySpec(
    task="quadrotor",
    control_dt_s=DT_S,
    observations=(
        Channel(name="attitude", shape=(4,), low=(-1.1,), high=(1.1,), max_age_s=0.055, hold_periods=3),
        Channel(name="body_rate", shape=(3,), low=(-40.0,), high=(40.0,), max_age_s=0.055, hold_periods=3),
        Channel(name="velocity", shape=(3,), low=(-20.0,), high=(20.0,), max_age_s=0.055, hold_periods=3),
        Channel(name="setpoint", shape=(3,), source="command", max_age_s=0.505, hold_periods=10),
    ),
    actions=(
        ActionChannel(
            name="thrust", elements=("m1", "m2", "m3", "m4"), unit="N",
            low=(0.0,) * 4, high=(0.15,) * 4, neutral=(0.0,) * 4,
        ),
    ),
    state=State(reset=(0.5, -0.5)),
    envelope=Envelope(
        fallback=(level_descend(), RampTo(target=(0.0,) * 4, rate_per_s=(0.5,) * 4), Cut(value=(0.0,) * 4)),
        tumble=Tumble(max_tilt_rad=math.radians(75), for_s=0.5),
    ),
)  # fmt: skip


def random_spec(seed: int) -> PolicySpec:
    """A valid contract whose ladder, limits and sizes are drawn from `seed`."""
    r = Random(seed)
    actions = tuple(_action(r, i) for i in range(r.randint(1, 3)))
    n = sum(a.size for a in actions)
    shapes = {"attitude": (4,), "body_rate": (3,), "velocity": (3,)}
    shapes |= {f"extra_{i}": (r.randint(1, 3), r.randint(1, 2)) for i in range(2)}
    channels = [Channel(name=name, shape=shape, **_limits(r)) for name, shape in shapes.items()]
    r.shuffle(channels)
    rungs = [_level_descend(r, n), _ramp_to(r, n), HoldLast(), _cut(r, n)]
    last = rungs.pop(r.randint(1, 3))
    ladder = (*r.sample(rungs, r.randint(1, 3)), last)
    tumble = Tumble(max_tilt_rad=r.uniform(1.5, 3.0), for_s=r.uniform(0.001, 0.3)) if seed % 3 else None
    return PolicySpec(
        task=f"random_{seed}",
        control_dt_s=r.choice([0.001, 0.01, 1 / 30]),
        observations=tuple(channels),
        actions=actions,
        state=State(reset=tuple(r.gauss(0, 1) for _ in range(r.choice([0, 1, 4])))),
        envelope=Envelope(fallback=ladder, tumble=tumble),
    )


def _limits(r: Random) -> dict:
    bound = r.choice([1.0, 3.0, 1e6, 3e38])
    return {
        "low": (-bound,), "high": (bound,),
        "max_age_s": r.choice([0.015, 0.05, 1.0, 1e6]), "hold_periods": r.choice([0, 1, 3, 200]),
    }  # fmt: skip


def _action(r: Random, i: int) -> ActionChannel:
    size = r.randint(1, 3)
    low = tuple(r.choice([0.0, -1.0, -3e38, r.uniform(-9, 0)]) for _ in range(size))
    high = tuple(r.choice([0.1, 1.0, 3e38, r.uniform(1, 9)]) for _ in range(size))
    neutral = tuple(r.choice([lo, hi, 0.0]) for lo, hi in zip(low, high, strict=True))
    slew = tuple(10 ** r.uniform(-3, 3) for _ in range(size)) if r.random() < 0.5 else None
    elements = tuple(f"a{i}_{k}" for k in range(size))
    return ActionChannel(
        name=f"action_{i}", elements=elements, unit="1", low=low, high=high, neutral=neutral, slew_per_s=slew
    )


def _level_descend(r: Random, n: int) -> LevelDescend:
    scale = r.choice([1.0, 1e3, 1e38])
    gain = tuple(tuple(r.gauss(0, scale) for _ in range(6)) for _ in range(n))
    return LevelDescend(base=tuple(r.gauss(0, 1) for _ in range(n)), gain=gain, max_s=r.choice([0.02, 1.0]))


def _ramp_to(r: Random, n: int) -> RampTo:
    rate = tuple(10 ** r.uniform(-3, 3) for _ in range(n))
    return RampTo(target=tuple(r.gauss(0, 5) for _ in range(n)), rate_per_s=rate)


def _cut(r: Random, n: int) -> Cut:
    return Cut(value=tuple(r.gauss(0, 5) for _ in range(n)))
