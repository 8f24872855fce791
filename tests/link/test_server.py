"""What a board does with frames, tick by tick: the C server behind the Python session."""

import numpy as np
import pytest
import tiny
from bench import Bench, compile_library
from hypothesis import given
from hypothesis import strategies as st

from robostack.runtime.envelope import Reason
from robostack_real.link.errors import Refused
from robostack_real.link.frame import encode
from robostack_real.link.protocol import MAX_PING, Message, Type, Verdict, actuate_size, parse_ack

PERIOD_US = 10_000
X = np.array([0.5, -0.5, 0.25, 0.0, 0.0], dtype=np.float32)


@pytest.fixture
def armed(bench):
    bench.observe(X)
    bench.arm(tiny.POLICY_HASH)
    return bench


@pytest.fixture(scope="session")
def patient_link(tmp_path_factory):
    """The tiny policy with channels that may be 100 s old."""
    tiny.need(tiny.missing_tools("host"), "C compiler")
    old = tuple(c.model_copy(update={"max_age_s": 100.0}) for c in tiny.SPEC.observations)
    folder = tmp_path_factory.mktemp("patient")
    return compile_library(folder, tiny.write_generated(folder / "generated", spec_with(observations=old)))


@pytest.fixture
def patient(patient_link):
    return Bench(patient_link)


def spec_with(**changes):
    return tiny.PolicySpec(**{**tiny.SPEC.model_dump(), **changes})


def test_the_identity_tells_the_whole_contract(bench):
    who = bench.identify()
    spec = tiny.SPEC
    assert (who.board, who.task, who.control_dt_s) == ("bench", "tiny", pytest.approx(0.01))
    assert (who.observation_size, who.action_size, who.state_size, who.num_channels) == (5, 2, 2, 3)
    assert who.section_digests == spec.section_digests()
    assert (who.interface_hash, who.policy_hash) == (spec.interface_hash, tiny.POLICY_HASH)
    assert not who.armed


def test_an_armed_board_computes_the_policy(armed):
    policy = tiny.TinyPolicy()
    for scale in np.linspace(-1, 1, 20, dtype=np.float32):
        actuation = armed.observe(X * scale)
        assert actuation.action.tobytes() == policy.step(X * scale).tobytes()
        assert actuation.answered


def test_a_disarmed_board_stays_neutral_and_quiet(bench):
    assert bench.tick() is None
    actuation = bench.observe(X)
    assert not actuation.armed
    assert actuation.action.tolist() == [0.0, 0.0]
    assert bench.tick() is None


def test_an_armed_board_ticks_without_observations_and_falls_back_when_they_are_too_old(armed):
    before = armed.observe(X)
    aged = [armed.tick() for _ in range(6)]  # the first finds a sample of two periods
    assert [a.tripped for a in aged] == [False] * 4 + [True] * 2  # max_age_s is five
    assert (aged[-1].reason, aged[-1].channel, aged[-1].rung) == (Reason.STALE, 0, 0)
    assert aged[-1].tick == before.tick + 6


@pytest.mark.parametrize(("ahead", "taken"), [(0, 0), (-1, 0), (-300, 0), (-32768, 0), (1, 1), (32767, 1)])
def test_one_rule_decides_whether_an_observation_is_new(armed, ahead, taken):
    last = armed.observe_message(X)
    armed.send(last)
    seen = armed.tick()
    armed.send(Message(Type.OBSERVE, last.sequence + ahead, last.payload))
    now = armed.tick()
    assert now.stale == seen.stale + (not taken)
    assert now.sequence == (last.sequence + ahead) % 65536 if taken else last.sequence


@given(order=st.permutations(range(6)), repeats=st.lists(st.integers(0, 5), max_size=4))
def test_only_the_newest_of_shuffled_and_repeated_observations_count(c_link, order, repeats):
    board = Bench(c_link)
    sent = [board.observe_message(X * k) for k in range(6)]
    newest, accepted = -1, 0
    arriving = [*order, *repeats]
    for k in arriving:
        board.send(sent[k])
        accepted += k > newest
        newest = max(newest, k)
    actuation = board.tick()
    assert actuation.sequence == sent[newest].sequence
    assert actuation.stale == len(arriving) - accepted


def test_the_sequence_goes_on_past_its_wrap(armed):
    for _ in range(3):
        armed.send(Message(Type.WAIT, armed.identify().last_sequence + 30000))
    assert armed.identify().last_sequence > 20000
    for _ in range(3):
        armed._sequence = armed.identify().last_sequence + 20000 & 0xFFFF
        assert armed.observe(X).answered


def test_a_late_arm_arms_nothing(bench):
    bench.observe(X)
    arm = Message(Type.ARM, bench.identity.last_sequence + 2, bytes.fromhex(tiny.POLICY_HASH))
    assert len(bench.send(arm)) == 1
    bench._sequence = arm.sequence
    bench.disarm()
    assert bench.send(arm) == []
    assert not bench.identify().armed


def test_arming_again_clears_no_fallback(armed):
    for _ in range(7):
        actuation = armed.tick()
    assert actuation.tripped
    with pytest.raises(Refused, match="armed already"):
        armed.arm(tiny.POLICY_HASH)
    assert armed.observe(X).tripped
    armed.disarm()
    armed.arm(tiny.POLICY_HASH)
    assert not armed.observe(X).tripped


def test_a_board_refuses_to_arm_for_another_policy(bench):
    bench.observe(X)
    with pytest.raises(Refused, match="another policy"):
        bench.arm("00" * 32)
    for digest in (b"", b"\xc0" * 31, b"\xc0" * 33, b"\xc0" * 100):  # cut short; the right one and more behind it
        (answer,) = bench.send(bench._next(Type.ARM, digest))
        assert parse_ack(answer.payload, Type.ARM) == Verdict.WRONG_POLICY
    assert not bench.identify().armed


@pytest.mark.parametrize(("later_us", "too_old"), [(4900, False), (5100, True)])
def test_the_age_at_a_tick_is_what_was_sent_plus_the_time_since_arrival(bench, later_us, too_old):
    bench.send(bench.observe_message(X, age_s=[0.045, 0.0, 0.0]))
    bench.arm(tiny.POLICY_HASH)
    bench.set_clock("us", later_us - PERIOD_US)
    assert bench.tick().tripped == too_old  # max_age_s is 50 ms


@pytest.mark.parametrize("age_s", [6.5535, 1e6, float("inf")])
def test_an_age_beyond_what_the_frame_can_say_is_too_old_for_every_channel(patient, age_s):
    """Cut down to 6.5535 s it would pass for fresh where a channel may be older than that."""
    patient.send(patient.observe_message(X, age_s=[6.5534, age_s, 0.0]))
    patient.arm(tiny.POLICY_HASH)
    answer = patient.tick()
    assert (answer.tripped, answer.reason, answer.channel) == (True, Reason.STALE, 1)


def test_channels_that_are_not_fresh_keep_what_they_had(armed):
    policy = tiny.TinyPolicy()
    other = np.array([9.0, 9.0, 1.0, 1.0, 0.0], dtype=np.float32)
    armed.observe(X)
    policy.step(X)
    actuation = armed.observe(other, fresh=[False, True, False])
    assert actuation.action.tobytes() == policy.step(np.r_[X[:2], other[2:4], X[4:]]).tobytes()


def test_two_frames_in_one_period_are_joined(armed):
    policy = tiny.TinyPolicy()
    armed.send(armed.observe_message(X, fresh=[True, False, True]))
    last = armed.observe_message(2 * X, fresh=[False, True, False])
    armed.send(last)
    assert armed.tick(last.sequence).action.tobytes() == policy.step(np.r_[X[:2], 2 * X[2:4], X[4:]]).tobytes()


@pytest.mark.parametrize("payload", [b"", b"\0" * 29, b"\0" * 31, b"\x08" + b"\0" * 29])
def test_an_observation_of_another_length_or_channel_is_dropped_and_counted(armed, payload):
    before = armed.tick()
    armed.send(armed._next(Type.OBSERVE, payload))
    after = armed.tick()
    assert after.rejected == before.rejected + 1
    assert after.sequence == before.sequence


@pytest.mark.parametrize(
    "message", [b"", b"\x04", b"\x04\x01", b"\x7f\xff\x01", b"\x05\xff\x01\0", b"\x07\xff\x01\xff\xff"]
)
def test_malformed_messages_are_counted_and_unanswered(bench, message):
    assert bench.feed(encode(message)) == []
    bench._sequence = bench.identify().last_sequence
    assert bench.observe(X).rejected == 1


def test_not_a_number_is_left_to_the_envelope(armed):
    armed.observe(X)
    bad = X.copy()
    bad[0] = np.nan
    held = [armed.observe(bad) for _ in range(4)]
    assert [a.tripped for a in held] == [False] * 3 + [True]  # hold_periods is three
    assert held[-1].reason == Reason.INVALID
    assert all(np.isfinite(a.action).all() for a in held)


def test_a_tick_that_outlasts_its_period_is_a_deadline_miss(armed):
    before = armed.observe(X)
    armed.set_clock("periods", armed.clock("periods") + 2)  # two periods came due and had no tick
    after = armed.observe(X)
    assert after.deadline_misses == before.deadline_misses + 2


def test_periods_without_a_tick_age_the_channels(armed):
    armed.observe(X)
    armed.set_clock("periods", armed.clock("periods") + 5)
    assert armed.tick().tripped


def test_the_self_test_gives_the_bytes_of_each_vector(bench):
    for k, outputs in enumerate(tiny.SPEC.self_test.outputs):
        result = bench.self_test(k)
        assert (result.count, result.failures, result.worst) == (2, 0, 0.0)
        assert result.outputs.tobytes() == np.array(outputs, dtype=np.float32).tobytes()
    assert bench.self_test().outputs is None
    assert bench.self_test(2).outputs is None


def test_what_would_cost_a_deadline_is_refused_while_armed(armed):
    with pytest.raises(Refused, match="disarm it first"):
        armed.self_test(0)
    with pytest.raises(Refused, match="disarm it first"):
        armed.reset()


def test_reset_forgets(armed):
    armed.feed(b"\x05noise\0")
    armed.observe(X)
    armed.disarm()
    armed.reset()
    actuation = armed.observe(X)
    assert (actuation.tick, actuation.rejected, actuation.stale) == (1, 0, 0)


def test_an_echo_is_as_large_as_an_observation_and_its_actuation(bench, monkeypatch):
    sizes, send = [], bench.send

    def weighed(message):
        answers = send(message)
        sizes.append((len(bytes(message)), [len(bytes(a)) for a in answers]))
        return answers

    observation = len(bytes(bench.observe_message(X)))
    actuation = Message(Type.ACTUATE, 0, bytes(actuate_size(bench.identity.action_size)))
    monkeypatch.setattr(bench, "send", weighed)
    assert bench.echo() > 0
    assert sizes == [(observation, [len(bytes(actuation))])]


@pytest.mark.parametrize(("size", "answer"), [(0, 0), (40, 0), (0, MAX_PING), (MAX_PING - 2, MAX_PING)])
def test_ping_answers_with_what_was_asked_for(bench, size, answer):
    bench.ping(size, answer)
    (pong,) = bench.send(bench._next(Type.PING, answer.to_bytes(2, "little") + b"\x5a" * size))
    assert pong.payload == (b"\x5a" * size)[:answer].ljust(answer, b"\0")
