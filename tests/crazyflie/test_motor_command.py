"""From rotor speed to PWM and back: what the rotors do is what the policy commanded, or what the simulator says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pilot import HOVER, VEHICLE, Pilot, make_pilot

THRUST_MAX_N = 0.12
COMPENSATED, UNCOMPENSATED = 0, 1


def commanding(
    library: Path, speed_rad_s: float, supply_v: float, path: int = COMPENSATED, nominal_v: float = 3.7
) -> Pilot:
    """All four rotors at one speed."""
    pilot = make_pilot(library, supply_v)
    pilot.app.params["rsp.nominalV"].value = nominal_v
    pilot.app.params["rsp.path"].value = path
    pilot.step(300)  # the compensation's filter starts at 4.2 V
    pilot.hand_over()
    pilot.setpoint.acceleration.x, pilot.setpoint.acceleration.y = 5.0, speed_rad_s / 100.0
    pilot.step(600)
    return pilot


@pytest.mark.parametrize("supply_v", [4.2, 3.7, 3.1])
@pytest.mark.parametrize("speed", [700.0, HOVER, 2030.0])
def test_with_compensation_the_rotors_turn_as_commanded_at_any_battery(
    library: Callable[..., Path], supply_v: float, speed: float
) -> None:
    pilot = commanding(library(), speed, supply_v)
    assert pilot.log("m1") == pytest.approx(speed)
    assert list(pilot.motion.rotor_speed_rad_s) == pytest.approx([speed] * 4, rel=2e-3)


@pytest.mark.parametrize("speed", [900.0, HOVER, 1700.0])
def test_without_compensation_the_ratio_is_constant_and_exact_at_the_nominal_voltage(
    library: Callable[..., Path], speed: float
) -> None:
    pilots = [commanding(library(), speed, v, UNCOMPENSATED) for v in (3.2, 3.7, 4.2)]
    ratios = [p.motion.ratio[0] for p in pilots]
    assert max(ratios) - min(ratios) <= 0.002 * 65535
    speeds = [p.motion.rotor_speed_rad_s[0] for p in pilots]
    assert speeds[1] == pytest.approx(speed, rel=2e-3) and speeds[0] < 0.97 * speed < 1.03 * speed < speeds[2]


@pytest.mark.parametrize("supply_v", [3.2, 3.5, 4.2])
@pytest.mark.parametrize("speed", [HOVER, 1700.0])
def test_without_compensation_the_speed_goes_with_the_voltage_as_in_the_simulator(
    library: Callable[..., Path], supply_v: float, speed: float
) -> None:
    """By the firmware's fit, which is no straight line; around hover it is within this of one."""
    turns = commanding(library(), speed, supply_v, UNCOMPENSATED).motion.rotor_speed_rad_s[0]
    assert turns == pytest.approx(speed * supply_v / 3.7, rel=0.03)


def test_no_command_is_beyond_what_the_platforms_motors_are_allowed(library: Callable[..., Path]) -> None:
    """The contract allows more: 0.149 N against THRUST_MAX. The policy is told what came out."""
    pilot = make_pilot(library())
    pilot.step(20)
    pilot.hand_over()
    pilot.setpoint.acceleration.x = 3.0
    pilot.step(10)
    top = pilot.log("m1")
    assert VEHICLE.thrust_n(top) == pytest.approx(THRUST_MAX_N, rel=1e-3) and top < VEHICLE.rotor_speed_max
    assert list(pilot.motion.forces) == pytest.approx([1.0] * 4)


@pytest.mark.parametrize("path", [COMPENSATED, UNCOMPENSATED])
def test_an_empty_battery_lowers_the_envelopes_limit_so_that_the_firmwares_cap_never_acts(
    library: Callable[..., Path], path: int
) -> None:
    pilot = commanding(library(), 5000.0, 2.7, path, nominal_v=3.0)
    assert not pilot.motion.capped and max(pilot.motion.ratio) > 0.99 * 65535
    assert pilot.log("m1") == pytest.approx(pilot.log("reach")) and pilot.log("reach") < 2000.0
    if path == COMPENSATED:
        assert list(pilot.motion.rotor_speed_rad_s) == pytest.approx([pilot.log("reach")] * 4, rel=2e-3)


def test_the_firmwares_cap_takes_the_same_from_all_four_when_the_stock_controller_asks_for_too_much(
    library: Callable[..., Path],
) -> None:
    """What the app avoids: two rotors asked for all of an empty battery take thrust from the other two."""
    pilot = make_pilot(library(), 2.3)
    pilot.step(500)
    pilot.setpoint.position.y = 5.0
    pilot.app.world.rate_rad_s = (3.0, 0.0, 0.0)
    motion = pilot.step(20)
    assert motion.capped and max(motion.ratio) == 65535 and min(motion.ratio) < 65535
