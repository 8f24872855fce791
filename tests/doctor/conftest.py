"""The quadrotor's own contract, without a policy."""

from __future__ import annotations

import pytest

from robostack.spec import PolicySpec
from robostack_sim.quadrotor import interface
from robostack_sim.quadrotor.vehicle import load_vehicle


@pytest.fixture(scope="module")
def spec() -> PolicySpec:
    vehicle = load_vehicle("crazyflie_2_1")
    observations = tuple(
        c for c in interface.channels(vehicle) if not c.privileged and c.name != "applied_action"
    )  # fmt: skip
    return PolicySpec(task="quadrotor", control_dt_s=0.01, obs_delay_s=(0.0, 0.01), observations=observations,
                      actions=interface.actions(vehicle), envelope=interface.envelope(vehicle))  # fmt: skip
