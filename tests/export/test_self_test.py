import numpy as np
from small_policy import SPEC, SmallActor

from robostack.export import self_test
from robostack.spec import Channel


def test_rows_reach_from_home_to_the_bounds_and_stay_inside() -> None:
    rows = self_test.draw(SPEC, SmallActor(), 64, seed=0)
    observation, applied, _ = self_test.unpack(SPEC, rows)
    assert np.abs(observation["position"][0]).max() <= 5e-3 * 1.001
    assert 2.0 < np.abs(observation["position"]).max() <= 5.0
    assert applied.min() >= -10.0
    assert applied[:, 1].min() >= 0.0


def test_states_are_the_reset_value_and_ones_that_running_reaches() -> None:
    rows = self_test.draw(SPEC, SmallActor(), 16, seed=0)
    _, _, state = self_test.unpack(SPEC, rows)
    assert state is not None
    assert np.array_equal(state[0], np.float32(SPEC.state.reset))
    assert len({tuple(s) for s in state}) > 8


def test_quaternions_are_unit() -> None:
    attitude = Channel(name="attitude", shape=(4,), unit="quat_wxyz", low=(-1.01,), high=(1.01,))
    spec = SPEC.model_copy(update={"observations": (attitude, *SPEC.observations)})
    observation, _, _ = self_test.unpack(spec, self_test.draw(spec, SmallActor(), 16, seed=0))
    assert np.allclose(np.linalg.norm(observation["attitude"], axis=1), 1.0, atol=1e-6)


def test_an_error_is_a_share_of_each_actions_range_and_nan_is_infinite() -> None:
    wanted = np.zeros((1, 5), np.float32)
    assert self_test.error(SPEC, np.float32([[0.0, 2.0, 0.0, 0.0, 0.0]]), wanted) == 0.01
    assert self_test.error(SPEC, np.float32([[2.0, 0.0, 0.0, 0.0, 0.0]]), wanted) == 0.1
    assert self_test.error(SPEC, np.float32([[0.0, 0.0, 0.5, 0.0, 0.0]]), wanted) == 0.5
    assert self_test.error(SPEC, np.float32([[np.nan, 0.0, 0.0, 0.0, 0.0]]), wanted) == np.inf
