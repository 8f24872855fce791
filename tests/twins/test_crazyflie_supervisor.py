"""Claims: a virtual Crazyflie's supervisor sees flight, tumbling and crashes, and lets nobody fly after them."""

import numpy as np
import pytest

from robostack_real.twins.crazyflie_supervisor import Supervisor

SPINNING, STILL = np.full(4, 0.5), np.zeros(4)


def flying() -> Supervisor:
    supervisor = Supervisor()
    assert supervisor.arm(True)
    supervisor.step(1, SPINNING, 1.0, upright=True, on_floor=False)
    assert supervisor.flying and supervisor.can_fly
    return supervisor


def test_it_flies_until_two_seconds_after_its_motors_stood_still():
    supervisor = flying()
    supervisor.step(2000, STILL, 1.0, upright=True, on_floor=True)
    assert supervisor.flying
    supervisor.step(2001, STILL, 1.0, upright=True, on_floor=True)
    assert not supervisor.flying and supervisor.can_fly


@pytest.mark.parametrize(("up_g", "after_ms"), [(-1.0, 100), (0.3, 1000)])
def test_a_tumble_in_flight_is_a_crash_that_ends_it(up_g, after_ms):
    supervisor = flying()
    supervisor.step(after_ms, SPINNING, up_g, upright=False, on_floor=False)
    assert supervisor.can_fly
    supervisor.step(after_ms + 1, SPINNING, up_g, upright=False, on_floor=False)
    assert supervisor.crashed and not supervisor.can_fly
    assert not supervisor.recover(upright=False)
    assert supervisor.recover(upright=True)
    assert not supervisor.armed and supervisor.can_be_armed


def test_an_emergency_stop_is_for_good():
    supervisor = flying()
    supervisor.emergency_stop()
    assert not supervisor.can_fly and not supervisor.recover(upright=True)
    supervisor.arm(False)
    assert not supervisor.arm(True)


def test_bits_are_those_that_cflib_names():
    assert Supervisor().bits == 0b1
    assert flying().bits == 0b11010
