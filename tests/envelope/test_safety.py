"""What the envelope promises, each claim on both ports."""

import math

import numpy as np
import pytest
from contracts import DT_S, QUADROTOR
from flights import ATTITUDE, BODY_RATE, HOVER, SETPOINT, VELOCITY, airborne, fly, packed, tilted

from robostack.runtime.envelope import Reason
from robostack.spec import ActionChannel, Cut, Envelope, HoldLast, RampTo, Tumble

LEVEL_DESCEND, RAMP_TO, CUT = range(3)


def with_envelope(*fallback) -> object:
    return QUADROTOR.model_copy(update={"envelope": Envelope(fallback=fallback)})


def test_a_disarmed_actuator_gets_neutral_and_the_policy_is_not_called(quadrotor):
    quadrotor.script(HOVER, np.zeros(2))
    assert (fly(quadrotor, ticks=5) == 0).all()
    assert quadrotor.seen().calls == 0


def test_disarming_in_flight_applies_neutral_from_the_next_tick(quadrotor):
    airborne(quadrotor).arm(False)
    assert (fly(quadrotor) == 0).all()
    assert not quadrotor.seen().armed


@pytest.mark.parametrize("channel", [ATTITUDE, BODY_RATE, VELOCITY, SETPOINT])
def test_arming_without_a_channel_trips_on_the_first_tick_and_names_it(quadrotor, channel):
    quadrotor.arm()
    fly(quadrotor, without=[channel])
    seen = quadrotor.seen()
    assert (seen.reason, seen.channel, seen.calls) == (Reason.NEVER_SEEN, channel, 0)


def test_a_slow_channel_seen_before_arming_counts_after_it(quadrotor):
    fly(quadrotor)
    quadrotor.arm()
    fly(quadrotor, without=[SETPOINT])
    assert not quadrotor.seen().tripped


@pytest.mark.parametrize("channel", [ATTITUDE, BODY_RATE, VELOCITY, SETPOINT])
def test_a_stale_channel_falls_back_within_its_declared_age(quadrotor, channel):
    airborne(quadrotor)
    max_age_s = QUADROTOR.observations[channel].max_age_s
    within = int(max_age_s / DT_S)
    fly(quadrotor, without=[channel], ticks=within)
    assert not quadrotor.seen().tripped
    fly(quadrotor, without=[channel])
    seen = quadrotor.seen()
    assert (seen.reason, seen.channel) == (Reason.STALE, channel)
    assert seen.rung >= 0


def test_the_age_a_sample_was_sent_with_counts(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, ages={VELOCITY: 0.0}, ticks=2)
    fly(quadrotor, without=[VELOCITY], ticks=3)
    fly(quadrotor, ages={VELOCITY: 0.03})  # fresher than the one held, which is 0.04 s old
    fly(quadrotor, without=[VELOCITY], ticks=2)
    assert not quadrotor.seen().tripped
    fly(quadrotor, without=[VELOCITY])
    assert quadrotor.seen().reason is Reason.STALE


def test_missed_ticks_age_the_channels(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, without=[VELOCITY], missed=10)
    assert quadrotor.seen().reason is Reason.STALE


def test_a_late_frame_does_not_replace_a_fresher_one(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, packed(velocity=(9, 9, 9)), ages={VELOCITY: 1000.0})
    assert not quadrotor.seen().tripped
    assert np.frombuffer(quadrotor.seen().given[0], dtype=np.float32)[7:10].tolist() == [0, 0, 0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 20.001, -3.4e38])
def test_a_bad_frame_is_held_for_the_declared_periods_and_trips_after_them(quadrotor, bad):
    airborne(quadrotor)
    fly(quadrotor, packed(velocity=(1, 2, 3)))
    fly(quadrotor, packed(velocity=(0, bad, 0)), ticks=QUADROTOR.observations[VELOCITY].hold_periods)
    assert not quadrotor.seen().tripped
    assert np.frombuffer(quadrotor.seen().given[0], dtype=np.float32)[7:10].tolist() == [1, 2, 3]
    fly(quadrotor, packed(velocity=(0, bad, 0)))
    seen = quadrotor.seen()
    assert (seen.reason, seen.channel) == (Reason.INVALID, VELOCITY)


def test_a_good_frame_ends_a_run_of_bad_ones(quadrotor):
    airborne(quadrotor)
    for _ in range(10):
        fly(quadrotor, packed(velocity=(math.nan, 0, 0)), ticks=3)
        fly(quadrotor)
    assert not quadrotor.seen().tripped


@pytest.mark.parametrize("age", [math.nan, -0.001, math.inf, -math.inf])
def test_a_sample_with_an_impossible_age_is_a_bad_frame(quadrotor, age):
    airborne(quadrotor)
    fly(quadrotor, ages={VELOCITY: age}, ticks=3)
    assert not quadrotor.seen().tripped
    fly(quadrotor, ages={VELOCITY: age})
    assert quadrotor.seen().reason is Reason.INVALID


def test_zero_false_trips_in_ten_minutes_with_5_percent_loss(c_port):
    port, rng = airborne(c_port(QUADROTOR)), np.random.default_rng(0)
    received = rng.random((60_000, 4)) > 0.05
    corrupt = rng.random(60_000) < 0.01
    ages = rng.uniform(0, 0.012, (60_000, 4)).astype(np.float32)
    good, bad = packed(), packed(attitude=(math.nan, 0, 0, 0))
    for i in range(60_000):
        port.tick(bad if corrupt[i] else good, received[i], ages[i])
    seen = port.seen()
    assert not seen.tripped
    assert seen.calls == 60_001


def test_tilted_start_does_not_trip_tumble(quadrotor):
    """A policy that rights the machine from upside down in 0.4 s is left to do so."""
    quadrotor.script(HOVER, np.zeros(2))
    quadrotor.arm()
    for degrees in np.linspace(180, 0, 80):
        fly(quadrotor, packed(attitude=tilted(degrees)))
    assert not quadrotor.seen().tripped


def test_staying_tilted_goes_straight_to_the_last_rung(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, packed(attitude=tilted(80)), ticks=50)
    assert not quadrotor.seen().tripped
    action = fly(quadrotor, packed(attitude=tilted(80)))
    seen = quadrotor.seen()
    assert (seen.reason, seen.channel, seen.rung) == (Reason.TUMBLE, ATTITUDE, CUT)
    assert (action == 0).all()
    fly(quadrotor, ticks=100)
    assert quadrotor.seen().rung == CUT


@pytest.mark.parametrize("limit_rad", [math.radians(75), 2.2])
def test_the_tumble_limit_is_the_cosine_of_the_declared_angle_to_a_thousandth(port, limit_rad):
    tumble = Tumble(max_tilt_rad=limit_rad, for_s=0.5)
    spec = QUADROTOR.model_copy(update={"envelope": Envelope(fallback=(Cut(value=(0.0,) * 4),), tumble=tumble)})
    cosine = math.cos(limit_rad)
    for beyond, trips in ((0.0005, True), (-0.0005, False)):
        p = airborne(port(spec))
        tilt = math.degrees(math.acos(cosine - beyond * abs(cosine)))
        fly(p, packed(attitude=tilted(tilt)), ticks=51)
        assert p.seen().tripped == trips


def test_a_tumble_during_a_fallback_ends_on_the_last_rung_and_keeps_the_first_reason(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, packed(attitude=tilted(80)), without=[VELOCITY], ticks=20)
    assert quadrotor.seen().rung == LEVEL_DESCEND
    fly(quadrotor, packed(attitude=tilted(80)), without=[VELOCITY], ticks=40)
    seen = quadrotor.seen()
    assert (seen.reason, seen.channel, seen.rung) == (Reason.STALE, VELOCITY, CUT)


def test_a_quaternion_that_cannot_be_normalised_counts_as_upside_down(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, packed(attitude=(0, 0, 0, 0)), ticks=51)
    assert quadrotor.seen().reason is Reason.TUMBLE


def test_the_length_of_a_quaternion_does_not_matter(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, packed(attitude=[0.3 * q for q in tilted(70)]), ticks=100)
    assert not quadrotor.seen().tripped
    fly(quadrotor, packed(attitude=[0.3 * q for q in tilted(80)]), ticks=51)
    assert quadrotor.seen().reason is Reason.TUMBLE


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("element", [0, 3])
def test_an_action_that_is_not_finite_falls_back_in_the_same_tick(quadrotor, bad, element):
    airborne(quadrotor)
    action = HOVER.copy()
    action[element] = bad
    quadrotor.script(action, np.zeros(2))
    applied = fly(quadrotor)
    seen = quadrotor.seen()
    assert (seen.reason, seen.channel, seen.rung) == (Reason.NON_FINITE_ACTION, -1, LEVEL_DESCEND)
    assert np.isfinite(applied).all()


def test_a_state_that_is_not_finite_trips_and_is_never_fed_back(quadrotor):
    airborne(quadrotor)
    quadrotor.script(HOVER, np.array([math.nan, 0], dtype=np.float32))
    fly(quadrotor)
    assert quadrotor.seen().reason is Reason.NON_FINITE_STATE
    quadrotor.script(HOVER, np.zeros(2))
    quadrotor.arm()
    fly(quadrotor)
    assert quadrotor.seen().given[2] == np.float32([0.5, -0.5]).tobytes()


def test_a_trip_is_latched_until_armed_again(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, without=[VELOCITY], ticks=10)
    calls = quadrotor.seen().calls
    fly(quadrotor, ticks=50)
    assert quadrotor.seen().tripped
    assert quadrotor.seen().calls == calls
    quadrotor.arm()
    assert (fly(quadrotor) == HOVER).all()
    seen = quadrotor.seen()
    assert (seen.tripped, seen.reason, seen.channel, seen.rung) == (False, Reason.NONE, -1, -1)


def test_a_repeated_arm_command_does_not_restart_the_state(quadrotor):
    airborne(quadrotor)
    quadrotor.arm()
    fly(quadrotor)
    assert quadrotor.seen().given[2] == np.float32([0.1, 0.2]).tobytes()


def test_arming_again_starts_from_the_reset_state(quadrotor):
    airborne(quadrotor)
    quadrotor.arm(False)
    quadrotor.arm(True)
    fly(quadrotor)
    assert quadrotor.seen().given[2] == np.float32([0.5, -0.5]).tobytes()


def test_the_policy_is_told_what_the_actuators_got(quadrotor):
    airborne(quadrotor)
    quadrotor.script(np.float32([9, -9, 0.1, 0.15]), np.zeros(2))
    applied = fly(quadrotor)
    assert applied.tolist() == np.float32([0.15, 0, 0.1, 0.15]).tolist()
    fly(quadrotor)
    assert quadrotor.seen().given[1] == applied.tobytes()


def test_slew_is_limited_from_the_last_applied_action(port):
    limited = ActionChannel(
        name="thrust", elements=("a", "b"), unit="N", low=(0.0, 0.0), high=(1.0, 1.0), neutral=(0.0, 1.0),
        slew_per_s=(10.0, 20.0),
    )  # fmt: skip
    free = ActionChannel(
        name="flap", elements=("c", "d"), unit="1", low=(-1.0,) * 2, high=(1.0,) * 2, neutral=(0.0,) * 2
    )
    spec = QUADROTOR.model_copy(update={"actions": (limited, free)})
    p = port(spec)
    p.script(np.float32([5, -5, 5, -5]), np.zeros(2))
    p.arm()
    assert fly(p) == pytest.approx([0.1, 0.8, 1, -1])
    assert fly(p) == pytest.approx([0.2, 0.6, 1, -1])


def test_ramp_to_moves_from_the_last_applied_action_and_stays_on_its_target(port):
    p = airborne(port(with_envelope(RampTo(target=(0.0, 0.1, 0.066, 0.0), rate_per_s=(1.0, 1.0, 1.0, 0.5)))))
    assert fly(p, without=[ATTITUDE], ticks=5).tolist() == HOVER.tolist()
    assert fly(p, without=[ATTITUDE]) == pytest.approx([0.056, 0.076, 0.066, 0.061])
    assert fly(p, without=[ATTITUDE], ticks=30).tolist() == np.float32([0, 0.1, 0.066, 0]).tolist()


def test_hold_last_keeps_the_last_applied_action(port):
    p = airborne(port(with_envelope(HoldLast())))
    assert fly(p, without=[ATTITUDE], ticks=500).tolist() == HOVER.tolist()
    assert p.seen().tripped


def test_cut_sets_its_value_within_the_limits(port):
    p = airborne(port(with_envelope(Cut(value=(0.1, -5.0, 5.0, 0.0)))))
    assert fly(p, without=[ATTITUDE], ticks=6).tolist() == np.float32([0.1, 0, 0.15, 0]).tolist()


def test_the_first_rung_whose_signals_are_valid_acts(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, without=[SETPOINT], ticks=51)
    assert quadrotor.seen().rung == LEVEL_DESCEND
    fly(quadrotor, without=[BODY_RATE], ticks=6)
    assert quadrotor.seen().rung == RAMP_TO
    fly(quadrotor)
    assert quadrotor.seen().rung == LEVEL_DESCEND


def test_level_descend_acts_for_its_declared_time_and_no_longer(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, without=[SETPOINT], ticks=50)
    acted = 0
    for _ in range(400):
        fly(quadrotor, without=[SETPOINT])
        acted += quadrotor.seen().rung == LEVEL_DESCEND
    assert acted * DT_S == pytest.approx(3.0, abs=1.5 * DT_S)
    assert quadrotor.seen().rung == RAMP_TO
