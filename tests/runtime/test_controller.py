"""The Python controller: samples by name, and a policy that misbehaves. tests/envelope claims the rest."""

import logging

import numpy as np
import pytest

from robostack.runtime.controller import Controller
from robostack.runtime.envelope import Reason
from robostack.spec import ContractError, State


class Answering:
    """A policy with a fixed answer that keeps what it was given."""

    def __init__(self, action, next_state=None):
        self.answer = (action, next_state)
        self.given = None

    def infer(self, observation, applied_action, state, /):
        self.given = (observation, applied_action, state)
        return self.answer


class Raising:
    def infer(self, observation, applied_action, state, /):
        raise RuntimeError("no session")


def samples_of(spec, age_s=0.0):
    samples = {c.name: (np.zeros(c.shape), age_s) for c in spec.observations}
    return samples | {"attitude": ([1, 0, 0, 0], age_s)}


def test_the_policy_gets_channels_by_name_in_their_shape(quadrotor_spec):
    policy = Answering(np.full(4, 1000.0))
    controller = Controller(policy, quadrotor_spec)
    controller.arm()
    assert controller.tick(samples_of(quadrotor_spec)).tolist() == [1000.0] * 4
    observation, applied, state = policy.given
    shapes = {c.name: c.shape for c in quadrotor_spec.observations}
    assert {name: value.shape for name, value in observation.items()} == shapes
    assert observation["attitude"].tolist() == [1, 0, 0, 0]
    assert applied.tolist() == [0.0] * 4
    assert state is None


def test_the_state_goes_round_and_starts_again_when_armed(quadrotor_spec):
    spec = quadrotor_spec.model_copy(update={"state": State(reset=(1.0, 2.0))})
    policy = Answering(np.zeros(4), np.array([3.0, 4.0]))
    controller = Controller(policy, spec)
    states = []
    for armed in (True, None, False, True):
        if armed is not None:
            controller.arm(armed)
        controller.tick(samples_of(spec))
        states.append(policy.given[2].tolist())
    assert states == [[1, 2], [3, 4], [3, 4], [1, 2]]  # the third tick, disarmed, did not call the policy


def test_a_policy_that_keeps_its_buffers_does_not_share_its_state(quadrotor_spec):
    spec = quadrotor_spec.model_copy(update={"state": State(reset=(1.0,))})
    buffer = np.array([3.0], dtype=np.float32)
    policy = Answering(np.zeros(4), buffer)
    controller = Controller(policy, spec)
    controller.arm()
    controller.tick(samples_of(spec))
    buffer[0] = np.nan
    policy.answer = (np.zeros(4), np.array([5.0]))
    controller.tick(samples_of(spec))
    assert policy.given[2].tolist() == [3.0]


def test_a_name_that_is_no_channel_is_refused(quadrotor_spec):
    controller = Controller(Answering(np.zeros(4)), quadrotor_spec)
    with pytest.raises(ContractError, match=r"\['gyro'\] are no channels.*'body_rate'"):
        controller.tick({"gyro": ([0, 0, 0], 0.0)})


@pytest.mark.parametrize(
    "value", [[1, 0, 0], [[1, 0], [0, 0], [0, 0]], "north", None, [1, 0, 0, "x"], [1e300, 0, 0, 0]]
)
def test_a_sample_that_is_no_such_channel_is_a_bad_frame(quadrotor_spec, value):
    controller = Controller(Answering(np.zeros(4)), quadrotor_spec)
    controller.arm()
    controller.tick(samples_of(quadrotor_spec))
    broken = samples_of(quadrotor_spec) | {"attitude": (value, 0.0)}
    for _ in range(3):
        controller.tick(broken)
    assert not controller.status.tripped
    controller.tick(broken)
    assert (controller.status.reason, controller.status.channel) == (Reason.INVALID, "attitude")


def test_no_sample_and_none_are_the_same(quadrotor_spec):
    controller = Controller(Answering(np.zeros(4)), quadrotor_spec)
    controller.arm()
    controller.tick(samples_of(quadrotor_spec))
    controller.tick({})
    controller.tick(dict.fromkeys(samples_of(quadrotor_spec)))
    assert controller.status.age_s["attitude"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    "policy",
    [Raising(), Answering(np.zeros(3)), Answering(None), Answering(np.full(4, np.inf)), Answering(["?"] * 4)],
)
def test_a_policy_that_fails_hands_over_to_the_fallback(quadrotor_spec, policy, caplog):
    controller = Controller(policy, quadrotor_spec)
    controller.arm()
    with caplog.at_level(logging.ERROR):
        action = controller.tick(samples_of(quadrotor_spec))
    low, high = quadrotor_spec.action_limit("low"), quadrotor_spec.action_limit("high")
    assert ((action >= low) & (action <= high)).all()
    assert (controller.status.reason, controller.status.rung) == (Reason.NON_FINITE_ACTION, 0)


def test_a_policy_that_raises_is_logged(quadrotor_spec, caplog):
    controller = Controller(Raising(), quadrotor_spec)
    controller.arm()
    controller.tick(samples_of(quadrotor_spec))
    assert "no session" in caplog.text
