"""From the world in SI through the firmware's own conventions and back: what the policy sees is what is true.

The host hands the app an estimate as the firmware does (deg/s, xyzw, legacy Euler angles); the app's border turns it
into the contract's channels. The hand-written policy tells through its four rotors what it saw.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pilot import Pilot

from robostack_real.devices.crazyflie_obstacle import Obstacle
from robostack_real.twins.crazyflie_app import Mode

small = st.floats(-0.875, 0.875, width=32)
triples = st.tuples(small, small, small)
unit = st.tuples(*[st.floats(-1.0, 1.0, width=32)] * 4).filter(lambda q: math.hypot(*q) > 0.3)
reused = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def seen_by_policy(pilot: Pilot, first: int) -> np.ndarray:
    """Four elements of the observation, within 1e-5: the next control period's."""
    pilot.setpoint.acceleration.x, pilot.setpoint.acceleration.y = 4.0, first
    pilot.step(10)
    assert pilot.log("active"), pilot.ended
    return (np.array([pilot.log(f"m{k}") for k in (1, 2, 3, 4)]) - 1000.0) / 100.0


@given(position=triples, velocity=triples, q=unit, rate=st.tuples(*[st.floats(-8.0, 8.0, width=32)] * 3))
@reused
def test_the_policy_sees_the_true_state_in_the_contracts_units(pilot: Pilot, position, velocity, q, rate) -> None:
    quat = np.array(q) / np.linalg.norm(q)
    world = pilot.app.world
    world.quat_wxyz = tuple(quat)
    world.position_m, world.velocity_m_s, world.rate_rad_s = position, velocity, rate
    pilot.setpoint.position.x, pilot.setpoint.position.y, pilot.setpoint.position.z = (0.0, 0.1, -0.1)
    pilot.step(10)  # valid again after the last example
    pilot.ask()
    pilot.step(10)
    truth = np.array([*position, *velocity, *quat, *rate, 0.0, 0.1, -0.1])
    seen = np.concatenate([seen_by_policy(pilot, k) for k in (0, 4, 8, 12)])
    np.testing.assert_allclose(seen, truth, atol=2e-5)
    pilot.ask(0)
    pilot.step()


@given(position=triples, velocity=triples, height=small)
@reused
def test_the_policy_sees_the_setpoint_in_si(pilot: Pilot, position, velocity, height) -> None:
    goal, speed = pilot.setpoint.position, pilot.setpoint.velocity
    (goal.x, goal.y, goal.z), (speed.x, speed.y, speed.z) = position, velocity
    pilot.setpoint.acceleration.z = height
    pilot.app.world.position_m = position
    pilot.step(10)
    pilot.ask()
    pilot.step(10)
    first, last = seen_by_policy(pilot, 13), seen_by_policy(pilot, 18)
    np.testing.assert_allclose(first, [*position, velocity[0]], atol=2e-5)
    np.testing.assert_allclose(last[[0, 3]], [velocity[2], height], atol=2e-5)
    pilot.ask(0)
    pilot.step()


@pytest.mark.parametrize("pitch_deg", [-30.0, 20.0])
def test_nose_down_is_a_positive_turn_about_y_whatever_the_legacy_angle_says(pilot: Pilot, pitch_deg: float) -> None:
    half = math.radians(pitch_deg) / 2
    pilot.app.world.quat_wxyz = (math.cos(half), 0.0, math.sin(half), 0.0)
    pilot.hand_over()
    assert seen_by_policy(pilot, 6)[2] == pytest.approx(math.sin(half), abs=1e-5)
    assert pilot.app.logs["stateEstimate.pitch"].value == pytest.approx(-pitch_deg, abs=1e-3)


@pytest.mark.parametrize(("yaw_deg", "flies"), [(0.0, True), (4.0, True), (-4.0, True), (7.0, False), (180.0, False)])
def test_the_yaw_of_a_full_state_setpoint_is_that_of_its_quaternion(pilot: Pilot, yaw_deg: float, flies: bool) -> None:
    """Whatever its tilt."""
    yaw, tilt = math.radians(yaw_deg) / 2, 0.2
    q = pilot.setpoint.attitude_quaternion
    q.w, q.z = math.cos(yaw) * math.cos(tilt), math.sin(yaw) * math.cos(tilt)
    q.x, q.y = math.cos(yaw) * math.sin(tilt), math.sin(yaw) * math.sin(tilt)
    pilot.setpoint.mode.yaw, pilot.setpoint.mode.quat = Mode.DISABLE, Mode.ABS
    pilot.step(10)
    assert pilot.log("obstacle") == (Obstacle.NOTHING if flies else Obstacle.YAW)
