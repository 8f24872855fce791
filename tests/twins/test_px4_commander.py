"""Claims: modes and arming of the virtual PX4 go by PX4's rules."""

from __future__ import annotations

import pytest

from robostack_real.link.mavlink import dialect
from robostack_real.link.px4_modes import Mode, mode_name
from robostack_real.twins.px4_commander import Commander

YES, LATER, NO = (
    dialect.MAV_RESULT_ACCEPTED,
    dialect.MAV_RESULT_TEMPORARILY_REJECTED,
    dialect.MAV_RESULT_DENIED,
)


@pytest.fixture
def commander() -> Commander:
    return Commander({"COM_OF_LOSS_T": 1.0, "COM_OBL_RC_ACT": 0, "COM_DISARM_LAND": 2.0})


def stream(commander: Commander, begin_s: float, end_s: float, every_s: float) -> None:
    for k in range(int((end_s - begin_s) / every_s) + 1):
        commander.setpoint(begin_s + k * every_s)


def in_the_air(commander: Commander, time_s: float) -> None:
    commander.step(time_s, on_floor=False, at_height=False)


def test_offboard_wants_a_second_of_more_than_two_setpoints_a_second(commander: Commander) -> None:
    assert commander.set_mode(Mode.OFFBOARD, 0.0) == LATER
    assert "no offboard signal" in commander.said[-1]
    stream(commander, 1.0, 1.9, 0.1)
    assert commander.set_mode(Mode.OFFBOARD, 1.9) == LATER
    stream(commander, 5.0, 9.0, 0.6)
    assert commander.set_mode(Mode.OFFBOARD, 9.1) == LATER
    stream(commander, 10.0, 11.1, 0.1)
    assert commander.set_mode(Mode.OFFBOARD, 11.1) == YES
    assert commander.mode is Mode.OFFBOARD


@pytest.mark.parametrize(
    ("act", "pilot", "global_position", "mode"),
    [
        (0, True, True, Mode.POSITION),
        (0, False, True, Mode.HOLD),
        (0, False, False, Mode.LAND),
        (4, False, True, Mode.LAND),
        (5, True, True, Mode.HOLD),
        (5, True, False, Mode.LAND),
    ],
)
def test_offboard_without_setpoints_ends_as_the_parameter_says(
    commander: Commander, act: int, pilot: bool, global_position: bool, mode: Mode
) -> None:
    commander._parameters["COM_OBL_RC_ACT"] = act
    commander.has_pilot, commander.has_global_position = pilot, global_position
    commander.arm(True)
    stream(commander, 0.0, 2.0, 0.1)
    commander.set_mode(Mode.OFFBOARD, 2.0)
    in_the_air(commander, 2.9)
    assert commander.mode is Mode.OFFBOARD and not commander.failsafe
    in_the_air(commander, 3.1)
    assert commander.mode is mode and commander.failsafe


def test_hold_wants_a_global_position(commander: Commander) -> None:
    commander.has_global_position = False
    assert commander.set_mode(Mode.HOLD, 0.0) == LATER
    assert commander.set_mode(Mode.LAND, 0.0) == YES


def test_arming_wants_its_own_checks_and_disarming_the_ground_unless_forced(commander: Commander) -> None:
    commander.ready = False
    assert commander.arm(True) == LATER and not commander.armed
    commander.ready = True
    assert commander.arm(True) == YES
    in_the_air(commander, 1.0)
    assert commander.arm(False) == NO and commander.armed
    assert commander.arm(False, force=True) == YES and not commander.armed


def test_take_off_wants_to_be_armed_and_ends_in_hold(commander: Commander) -> None:
    assert commander.take_off(0.0) == LATER
    commander.arm(True)
    assert commander.take_off(0.0) == YES and commander.mode is Mode.TAKEOFF
    commander.step(1.0, on_floor=False, at_height=True)
    assert commander.mode is Mode.HOLD


def test_a_landed_machine_disarms_after_its_time(commander: Commander) -> None:
    commander.arm(True)
    commander.set_mode(Mode.LAND, 0.0)
    commander.step(1.0, on_floor=True, at_height=False)
    commander.step(2.9, on_floor=True, at_height=False)
    assert commander.armed
    commander.step(3.1, on_floor=True, at_height=False)
    assert not commander.armed


@pytest.mark.parametrize("mode", list(Mode))
def test_a_mode_has_px4s_bits_and_its_name_back(mode: Mode) -> None:
    assert mode_name(mode.custom) == mode.name
    assert (Mode.OFFBOARD.custom, Mode.HOLD.custom, Mode.LAND.custom) == (0x060000, 0x03040000, 0x06040000)


def test_a_mode_that_nobody_listed_is_told_by_its_numbers() -> None:
    assert mode_name(0x0C0000) == "mode 12.0"
