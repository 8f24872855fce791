"""A listener, the quadrotor stack, and a policy that flies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import ROLES, Ear, Running

from robostack_real.nodes import wire


@pytest.fixture(scope="module", autouse=True)
def loopback() -> Iterator[None]:
    kept = {k: os.environ.get(k) for k in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_BUILTIN_TRANSPORTS")}
    os.environ |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
    yield
    for name, value in kept.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="module")
def ear(domain: int) -> Iterator[Ear]:
    found = Ear(domain)
    for role in ROLES:
        found.listen(f"{role}_status", wire.STATUS_TYPE)
    found.listen("odom", "nav_msgs/msg/Odometry")
    found.listen("truth", "nav_msgs/msg/Odometry")
    found.listen("action", "sensor_msgs/msg/JointState")
    found.listen("applied_action", "sensor_msgs/msg/JointState")
    yield found
    found.close()


@pytest.fixture(scope="module")
def policy(flying_quadrotor: Path) -> Path:
    return flying_quadrotor


@pytest.fixture(scope="module")
def stack(policy: Path, domain: int, ear: Ear) -> Iterator[Running]:
    """Up, not started."""
    with Running(policy, domain) as running:
        running.await_ready(ear)
        yield running
