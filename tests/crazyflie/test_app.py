"""Who flies: the stock controller, until the policy is asked for and nothing stands in its way; and again in the very
call in which anything does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pilot import HOVER, Pilot, make_pilot

from robostack.runtime.envelope import Reason
from robostack.spec import Channel, SelfTest
from robostack_real.devices.crazyflie_obstacle import Obstacle
from robostack_real.twins.crazyflie_app import CrazyflieApp, Mode, Setpoint, build_app
from robostack_sim.quadrotor import interface
from robostack_sim.quadrotor.vehicle import load_vehicle

CHANNELS = interface.channels(load_vehicle("crazyflie_2_1"))[:5]
NAMES = [c.name for c in CHANNELS]
(ACTION,) = interface.actions(load_vehicle("crazyflie_2_1"))
NAN = float("nan")


def test_the_stock_controller_flies_until_the_policy_is_asked_for(pilot: Pilot) -> None:
    pilot.step(200)
    assert not pilot.policy_flies
    assert pilot.log("obstacle") == Obstacle.NOTHING and pilot.log("failed") == 0


def test_the_stock_controller_runs_in_every_call_whoever_flies(pilot: Pilot) -> None:
    pilot.hand_over()
    pilot.step(33)
    pilot.ask(0)
    assert pilot.step(5).stock_calls == pilot.calls


def test_the_policy_takes_over_in_the_first_call_of_a_period_and_is_pending_until_then(pilot: Pilot) -> None:
    while pilot.calls % 10 != 3:
        pilot.step()
    pilot.ask()
    for _ in range(7):
        pilot.step()
        assert not pilot.policy_flies and pilot.log("pending") == 1
    pilot.step()
    assert pilot.calls % 10 == 1 and pilot.policy_flies and pilot.log("pending") == 0


def test_a_command_is_computed_every_tenth_call_and_held_between(pilot: Pilot) -> None:
    pilot.hand_over()
    forces, ticks = [], []
    for k in range(50):
        pilot.app.world.position_m = (0.001 * k, 0.0, 1.0)
        forces.append(bytes(pilot.step().forces))
        ticks.append(int(pilot.log("tick")))
    changes = [k for k in range(1, 50) if forces[k] != forces[k - 1]]
    assert changes == [9, 19, 29, 39, 49] == [k for k in range(1, 50) if ticks[k] != ticks[k - 1]]


def test_asked_to_stop_it_hands_back_in_the_same_call(pilot: Pilot) -> None:
    pilot.hand_over()
    pilot.ask(0)
    pilot.step()
    assert not pilot.policy_flies and pilot.ended == Obstacle.NOT_ASKED


def level_out(s: Setpoint) -> None:
    """What the supervisor makes of a setpoint that is 500 ms old."""
    s.mode.x = s.mode.y = Mode.DISABLE
    s.mode.roll = s.mode.pitch = Mode.ABS
    s.mode.yaw = Mode.VELOCITY


def manual(s: Setpoint) -> None:
    level_out(s)
    s.mode.z, s.thrust = Mode.DISABLE, 36000.0


def stop(s: Setpoint) -> None:
    for axis in ("x", "y", "z", "roll", "pitch", "yaw", "quat"):
        setattr(s.mode, axis, Mode.DISABLE)


def hover_command(s: Setpoint) -> None:
    s.mode.x = s.mode.y = s.mode.yaw = Mode.VELOCITY
    s.velocity_body = True


def climb(s: Setpoint) -> None:
    s.mode.z = Mode.VELOCITY


def turned(s: Setpoint) -> None:
    s.attitude.yaw = -90.0


def far(s: Setpoint) -> None:
    s.position.y = 3.0


WISHES = {
    level_out: Obstacle.SETPOINT, manual: Obstacle.SETPOINT, stop: Obstacle.SETPOINT, hover_command: Obstacle.SETPOINT,
    climb: Obstacle.SETPOINT, turned: Obstacle.YAW, far: Obstacle.FAR,
}  # fmt: skip
WORLDS = {
    "armed": (0, Obstacle.DISARMED), "can_fly": (0, Obstacle.DISARMED), "flying": (0, Obstacle.NOT_FLYING),
    "estimator": (1, Obstacle.ESTIMATOR),
}  # fmt: skip


@pytest.mark.parametrize("wish", WISHES, ids=lambda w: w.__name__)
def test_a_setpoint_that_asks_for_something_else_is_the_stock_controllers_at_once(pilot: Pilot, wish: Callable) -> None:
    pilot.hand_over()
    wish(pilot.setpoint)
    pilot.step()
    assert not pilot.policy_flies and pilot.ended == WISHES[wish]


@pytest.mark.parametrize("field", WORLDS)
def test_without_leave_to_fly_it_hands_back_at_once(pilot: Pilot, field: str) -> None:
    value, obstacle = WORLDS[field]
    pilot.hand_over()
    setattr(pilot.app.world, field, value)
    pilot.step()
    assert not pilot.policy_flies and pilot.ended == obstacle


@pytest.mark.parametrize("wish", WISHES, ids=lambda w: w.__name__)
def test_asked_for_while_something_stands_in_the_way_it_is_refused_and_says_what(pilot: Pilot, wish: Callable) -> None:
    wish(pilot.setpoint)
    pilot.ask()
    pilot.step(10)
    assert not pilot.policy_flies and pilot.ended == WISHES[wish] and pilot.app.params["rsp.enable"].value == 0


def test_level_out_keeps_the_stock_controller_after_the_link_is_back(pilot: Pilot) -> None:
    pilot.hand_over()
    well = bytes(pilot.setpoint)
    level_out(pilot.setpoint)
    pilot.step(20)
    pilot.setpoint = Setpoint.from_buffer_copy(well)
    pilot.step(500)
    assert not pilot.policy_flies and pilot.log("obstacle") == Obstacle.NOTHING
    pilot.hand_over()


def test_the_stop_setpoint_stops_all_motors_in_the_same_call(pilot: Pilot) -> None:
    pilot.hand_over()
    stop(pilot.setpoint)
    assert list(pilot.step().ratio) == [0, 0, 0, 0]


def test_an_unsure_estimator_ends_it_within_a_period(pilot: Pilot) -> None:
    pilot.hand_over()
    pilot.app.world.position_std_m = (0.01, 0.4, 0.01)
    pilot.step(10)
    assert not pilot.policy_flies and pilot.ended == Obstacle.ESTIMATOR


def test_a_battery_that_reads_nonsense_ends_it_within_a_period(pilot: Pilot) -> None:
    pilot.hand_over()
    pilot.app.world.supply_v = NAN
    pilot.step()
    assert not pilot.policy_flies and pilot.ended == Obstacle.SUPPLY


def bad_gyro(pilot: Pilot) -> None:
    pilot.app.world.rate_rad_s = (0.0, NAN, 0.0)


def bad_position(pilot: Pilot) -> None:
    pilot.app.world.position_m = (NAN, 0.0, 1.0)


def frozen_estimate(pilot: Pilot) -> None:
    pilot.app.world.new_estimate = 0


def old_gyro(pilot: Pilot) -> None:
    pilot.app.world.gyro_age_us = 60_000


def no_setpoints(pilot: Pilot) -> None:
    pilot.fresh = False


def upside_down(pilot: Pilot) -> None:
    pilot.app.world.quat_wxyz = (0.0, 1.0, 0.0, 0.0)


def wild_action(pilot: Pilot) -> None:
    pilot.setpoint.acceleration.x = 1.0


def wild_state(pilot: Pilot) -> None:
    pilot.setpoint.acceleration.x = 2.0


FAULTS = {
    bad_gyro: (Reason.INVALID, "body_rate", 0.03),
    bad_position: (Reason.INVALID, "position", 0.03),
    frozen_estimate: (Reason.STALE, "attitude", 0.05),
    old_gyro: (Reason.STALE, "body_rate", 0.05),
    no_setpoints: (Reason.STALE, "setpoint", 0.5),
    upside_down: (Reason.TUMBLE, "attitude", 0.4),
    wild_action: (Reason.NON_FINITE_ACTION, None, 0.0),
    wild_state: (Reason.NON_FINITE_STATE, None, 0.0),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_trip_hands_back_within_the_declared_time_and_a_period(pilot: Pilot, fault: Callable[[Pilot], None]) -> None:
    reason, channel, allowed_s = FAULTS[fault]
    pilot.hand_over()
    fault(pilot)
    for _ in range(round(1000 * allowed_s) + 10):
        pilot.step()
        if not pilot.log("active"):
            break
    assert not pilot.policy_flies and pilot.ended == Obstacle.TRIPPED
    assert (pilot.log("tripped"), pilot.log("rung"), pilot.log("reason")) == (1, 0, reason)
    assert pilot.log("channel") == (NAMES.index(channel) if channel else -1)


def test_a_trip_is_latched_until_the_policy_is_asked_for_anew(pilot: Pilot) -> None:
    pilot.hand_over()
    wild_action(pilot)
    pilot.step(10)
    pilot.setpoint.acceleration.x = 0.0
    pilot.step(1000)
    assert not pilot.policy_flies and pilot.log("tripped") == 1 and pilot.app.params["rsp.enable"].value == 0
    pilot.hand_over()
    assert (pilot.log("tripped"), pilot.log("rung"), pilot.log("reason")) == (0, -1, Reason.NONE)


def test_one_bad_sample_is_no_reason_to_hand_back(pilot: Pilot) -> None:
    pilot.hand_over()
    bad_gyro(pilot)
    pilot.step(10)
    pilot.app.world.rate_rad_s = (0.0, 0.0, 0.0)
    pilot.step(100)
    assert pilot.policy_flies


def test_periods_that_did_not_run_age_the_channels_and_are_counted(pilot: Pilot) -> None:
    pilot.hand_over()
    pilot.app.world.elapsed_us = 60_000
    pilot.step()
    pilot.app.world.elapsed_us = 0
    pilot.step(10)
    assert pilot.log("late") == 1 and pilot.policy_flies  # every channel had a new sample
    pilot.step(500)
    assert pilot.log("late") == 1


def test_a_controller_that_is_chosen_anew_starts_with_the_stock_controller(pilot: Pilot) -> None:
    pilot.hand_over()
    assert pilot.app.boot(4.0)
    pilot.step(30)
    assert not pilot.policy_flies and pilot.log("obstacle") == Obstacle.NOTHING


def other(*channels: Channel) -> dict[str, object]:
    return {"observations": channels, "self_test": None}


REFUSED = {
    "a channel is missing": other(*CHANNELS[:4]),
    "a channel too many": other(*CHANNELS, Channel(name="wind", shape=(3,))),
    "a setpoint of other size": other(*CHANNELS[:4], Channel(name="setpoint", shape=(3,))),
    "rotors in another order": {"actions": (ACTION.model_copy(update={"elements": ACTION.elements[::-1]}),)},
    "another period": {"control_dt_s": 0.0125},
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_policy_made_for_another_machine_is_refused_and_the_stock_controller_flies(
    library: Callable[..., Path], why: str
) -> None:
    pilot = make_pilot(library(**REFUSED[why]))
    assert pilot.app.test_passed
    pilot.ask()
    pilot.step(100)
    assert not pilot.policy_flies and pilot.ended == Obstacle.CONTRACT and sum(pilot.motion.ratio) > 0


def test_channels_are_found_by_name_in_any_order(library: Callable[..., Path]) -> None:
    """The hand-written policy reads them in its own order, so it must not fly; but nothing is refused."""
    pilot = make_pilot(library(**other(*CHANNELS[::-1])))
    pilot.step(25)
    assert pilot.log("obstacle") == Obstacle.SELF_TEST  # there are no vectors: nothing was proved


def test_a_policy_that_misses_its_self_test_never_flies(library: Callable[..., Path]) -> None:
    level = [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, *[0.0] * 6, 0.0, 0.0, 1.0, *[0.0] * 6, *[0.0] * 4, 0.0]
    wrong = SelfTest(inputs=(tuple(level),), outputs=((HOVER + 5.0,) * 4 + (0.0,),))
    pilot = make_pilot(library(self_test=wrong))
    pilot.ask()
    pilot.step(30)
    assert not pilot.policy_flies and pilot.ended == Obstacle.SELF_TEST
    assert (pilot.log("failed"), pilot.log("otherBits")) == (1, 0) and pilot.app.test_passed


def test_the_analyser_of_gcc_finds_nothing_in_the_app(quadrotor_run: Path, tmp_path: Path) -> None:
    build_app(quadrotor_run / "exported" / "firmware" / "generated", tmp_path, ("-O2", "-fanalyzer"))


def test_an_app_compiled_with_contraction_refuses_its_policy(quadrotor_run: Path, tmp_path: Path) -> None:
    """Its self-test is within tolerance, but not the same to the bit."""
    if "fma" not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip("this processor has no fused multiply-add")
    generated = quadrotor_run / "exported" / "firmware" / "generated"
    contracted = build_app(generated, tmp_path, ("-O2", "-mfma", "-ffp-contract=fast"))
    pilot = make_pilot(contracted)
    pilot.ask()
    pilot.step(30)
    assert not pilot.policy_flies and pilot.ended == Obstacle.SELF_TEST
    assert (pilot.log("failed"), pilot.log("otherBits")) == (0, 1)


def test_the_exported_policy_of_a_run_is_accepted_and_named_by_its_hash(quadrotor_run: Path) -> None:
    from robostack.export.onnx import load_policy

    app = CrazyflieApp(quadrotor_run / "exported" / "firmware" / "generated")
    pilot = Pilot(app, Setpoint(), app.step(Setpoint()))
    assert (pilot.log("failed"), pilot.log("otherBits")) == (0, 0)
    policy_hash = load_policy(quadrotor_run / "exported" / "policy.onnx").policy_hash
    assert app.logs["rsp.hash"].cell.value == int(policy_hash[:8], 16)
