import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "export"))
from small_policy import SPEC, SmallActor, small_policy

from robostack.export import self_test
from robostack.runtime.runner import Runner, load
from robostack.spec import ContractError


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    small_policy(tmp_path / "policy.onnx")
    return load(tmp_path / "policy.onnx")


def rows(count: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    observation, applied, state = self_test.unpack(SPEC, self_test.draw(SPEC, SmallActor(), count, seed=2))
    assert state is not None
    return observation, applied, state


def test_a_batch_is_its_rows_and_both_are_the_actor(runner: Runner) -> None:
    observation, applied, state = rows(8)
    action, next_state = runner.infer(observation, applied, state)
    wanted, wanted_state = SmallActor()(observation, applied, state)
    assert np.allclose(action, wanted, atol=1e-3)
    assert next_state is not None
    assert np.allclose(next_state, wanted_state, atol=1e-6)
    for i in range(8):
        one, one_state = runner.infer({k: v[i] for k, v in observation.items()}, applied[i], state[i])
        assert one.shape == (2,)
        assert np.allclose(one, action[i], rtol=1e-6, atol=1e-5)
        assert one_state is not None
        assert np.allclose(one_state, next_state[i], atol=1e-7)


def test_the_state_starts_at_the_contracts_reset_value(runner: Runner) -> None:
    state, batch = runner.reset(), runner.reset(3)
    assert state is not None
    assert batch is not None
    assert state.tolist() == [0.5, -0.5, 0.0]
    assert batch.tolist() == [[0.5, -0.5, 0.0]] * 3


def test_missing_and_unknown_channels_are_named(runner: Runner) -> None:
    observation, applied, state = rows(1)
    observation["velocity"] = observation.pop("position")
    with pytest.raises(ContractError, match=r"missing: \['position'\], unknown: \['velocity'\]"):
        runner.infer(observation, applied, state)
    with pytest.raises(ContractError, match=r"missing: \['state'\]"):
        runner.infer(rows(1)[0], applied)


def test_a_channel_of_the_wrong_shape_is_named(runner: Runner) -> None:
    observation, applied, state = rows(1)
    with pytest.raises(ContractError, match=r"input field has shape \(1, 4\), the contract says \(1, 2, 2\)"):
        runner.infer({**observation, "field": observation["field"].reshape(1, 4)}, applied, state)


def test_nan_is_not_hidden_from_the_envelope(runner: Runner) -> None:
    observation, applied, state = rows(1)
    observation["position"][0, 1] = np.nan
    assert np.isnan(runner.infer(observation, applied, state)[0]).all()


def test_a_file_that_is_no_policy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("not a policy")
    with pytest.raises(ContractError, match=r"notes\.onnx"):
        Runner(path)
