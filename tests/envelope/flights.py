"""Short flights of a port under the small quadrotor's contract."""

from __future__ import annotations

import math

import numpy as np
from ports import Port

ATTITUDE, BODY_RATE, VELOCITY, SETPOINT = range(4)
UPRIGHT = (1.0, 0.0, 0.0, 0.0)
HOVER = np.full(4, 0.066, dtype=np.float32)


def packed(attitude=UPRIGHT, body_rate=(0, 0, 0), velocity=(0, 0, 0), setpoint=(0, 0, 1)) -> np.ndarray:
    return np.array([*attitude, *body_rate, *velocity, *setpoint], dtype=np.float32)


def tilted(degrees: float) -> tuple[float, float, float, float]:
    half = math.radians(degrees) / 2
    return (math.cos(half), 0.6 * math.sin(half), 0.8 * math.sin(half), 0.0)


def fly(port: Port, sample=None, without=(), ages=None, ticks=1, missed=0) -> np.ndarray:
    """`ticks` ticks with the same samples, leaving out the channels in `without`; the last action."""
    fresh, age_s = np.ones(4, dtype=bool), np.zeros(4, dtype=np.float32)
    fresh[list(without)] = False
    for channel, age in (ages or {}).items():
        age_s[channel] = age
    sample = packed() if sample is None else sample
    for _ in range(ticks):
        action = port.tick(sample, fresh, age_s, missed)
    return action


def airborne(port: Port) -> Port:
    """Armed, with every channel seen and the policy asking for hover thrust."""
    port.arm()
    port.script(HOVER, np.array([0.1, 0.2], dtype=np.float32))
    fly(port)
    assert not port.seen().tripped
    return port
