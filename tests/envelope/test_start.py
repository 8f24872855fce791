"""What a board does before it can be armed: it checks that the contract fits, and runs the self-test."""

import numpy as np
import pytest
from contracts import QUADROTOR
from ports import compiled

from robostack.spec import ActionChannel, Channel, SelfTest, State

ACTION, STATE = (0.075, 0.0, 0.15, 0.01), (-3.0, 0.25)
NO_INPUT = (0.0,) * (13 + 4 + 2)


def self_tested(c_port, tolerance=1e-3):
    test = SelfTest(inputs=(NO_INPUT,) * 2, outputs=((*ACTION, *STATE),) * 2, tolerance={"c": tolerance})
    return c_port(QUADROTOR.model_copy(update={"self_test": test}))


def test_the_self_test_passes_on_the_recorded_answers(c_port):
    port = self_tested(c_port)
    port.script(np.array(ACTION), np.array(STATE))
    assert port.self_test() == (0, 0.0)


@pytest.mark.parametrize(("error", "missed"), [(0.9e-3, 0), (1.1e-3, 2)])
def test_an_error_is_a_share_of_the_actions_range(c_port, error, missed):
    port = self_tested(c_port)
    port.script(np.add(ACTION, [0, error * 0.15, 0, 0]), np.array(STATE))
    count, worst = port.self_test()
    assert count == missed
    assert worst == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize(("error", "missed"), [(2.7e-3, 0), (3.3e-3, 2)])
def test_an_error_of_the_state_is_relative(c_port, error, missed):
    port = self_tested(c_port)
    port.script(np.array(ACTION), np.add(STATE, [error, 0]))
    assert port.self_test()[0] == missed


@pytest.mark.parametrize("element", range(6))
def test_an_answer_that_is_not_a_number_misses(c_port, element):
    port = self_tested(c_port)
    answer = np.array([*ACTION, *STATE])
    answer[element] = np.nan
    port.script(answer[:4], answer[4:])
    assert port.self_test()[0] == 2


def test_a_contract_without_vectors_has_nothing_to_miss(c_port):
    assert c_port(QUADROTOR).self_test() == (0, 0.0)


LARGER = {
    "observation": {
        "observations": (*QUADROTOR.observations[:3], Channel(name="setpoint", shape=(4,), source="command"))
    },
    "channel": {
        "observations": (
            *QUADROTOR.observations[:3], Channel(name="a", shape=(1,)), Channel(name="b", shape=(2,)),
        )
    },
    "action": {
        "actions": (
            *QUADROTOR.actions,
            ActionChannel(name="flap", elements=("left",), unit="1", low=(0.0,), high=(1.0,), neutral=(0.0,)),
        )
    },
    "state": {"state": State(reset=(0.0,) * 3)},
}  # fmt: skip


@pytest.mark.parametrize("part", LARGER)
def test_a_contract_larger_than_the_buffers_is_refused(part, tmp_path):
    spec = QUADROTOR.model_copy(update=LARGER[part])
    assert compiled(spec, tmp_path / "fits", sizes_of=spec).start()
    assert not compiled(spec, tmp_path / "small", sizes_of=QUADROTOR).start()
