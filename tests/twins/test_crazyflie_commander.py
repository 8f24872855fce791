"""Claims: plans are smooth from rest to rest, and the watchdog levels a silent client's machine out, then stops it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostack_real.twins.crazyflie_app import Mode, position_setpoint
from robostack_real.twins.crazyflie_commander import Commander, Plan

PLAN = Plan(np.array([0.0, 1.0, 0.5]), np.array([1.0, 1.0, 0.1]), 0.0, 1000, 2000)


@given(st.integers(1010, 2990))
def test_velocity_and_acceleration_are_the_derivatives_of_the_way(time_ms):
    (before, v0, _), (at, v, a), (after, v1, _) = (PLAN.at(time_ms + d) for d in (-1, 0, 1))
    assert (after - before) / 0.002 == pytest.approx(v, abs=1e-5)
    assert (v1 - v0) / 0.002 == pytest.approx(a, abs=1e-4)
    assert ((at >= [0.0, 1.0, 0.1]) & (at <= [1.0, 1.0, 0.5])).all()


@pytest.mark.parametrize(("time_ms", "where"), [(0, PLAN.start_m), (1000, PLAN.start_m), (3000, PLAN.goal_m)])
def test_a_plan_starts_and_ends_at_rest(time_ms, where):
    position, velocity, acceleration = PLAN.at(time_ms)
    assert position == pytest.approx(where)
    assert not velocity.any() and not acceleration.any()


def test_a_landing_ends_with_the_motors_off():
    commander, here = Commander(), np.array([0.0, 0.0, 0.5])
    commander.go(np.zeros(3), 0.0, 1.0, here, 0, lands=True)
    assert commander.setpoint(500).mode.z == Mode.ABS
    assert commander.setpoint(1000).mode.z == Mode.DISABLE
    assert not commander.high_level_rules


def test_a_client_that_falls_silent_is_levelled_out_then_stopped():
    commander = Commander()
    commander.take_low_level(position_setpoint(1.0, 2.0, 0.5), 100)
    assert commander.setpoint(600).mode.x == Mode.ABS
    level = commander.setpoint(601)
    assert (level.mode.x, level.mode.roll, level.mode.z, level.attitude.roll) == (Mode.DISABLE, Mode.ABS, Mode.ABS, 0.0)
    stopped = commander.setpoint(2101)
    assert stopped.mode.z == Mode.DISABLE and stopped.thrust == 0.0


def test_low_level_setpoints_rule_until_they_are_said_to_have_stopped():
    commander, here = Commander(), np.array([0.0, 0.0, 0.5])
    commander.go(here, 0.0, 1.0, np.zeros(3), 0)
    commander.take_low_level(position_setpoint(1.0, 0.0, 0.5), 1500)
    assert commander.setpoint(1600).position.x == 1.0
    commander.low_level_stopped()
    assert commander.setpoint(1700).position.x == 0.0
    commander.go(np.zeros(3), 0.0, 1.0, np.array([0.9, 0.0, 0.5]), 1700)
    assert commander.setpoint(1700).position.x == 0.0  # from where the plan is
