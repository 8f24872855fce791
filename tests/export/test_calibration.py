from pathlib import Path

import numpy as np
import pytest
from small_policy import SPEC, small_policy

from robostack.export.calibration import MARGIN, calibrated, intermediate
from robostack.export.network import entrances
from robostack.export.onnx import LoadedPolicy, load_policy, parse_policy, seal
from robostack.spec import ContractError


@pytest.fixture
def policy(tmp_path: Path) -> LoadedPolicy:
    return small_policy(tmp_path / "policy.onnx")


def test_it_is_the_same_twice_and_leaves_the_policy_the_same_policy(policy: LoadedPolicy) -> None:
    once, again = calibrated(policy), calibrated(policy)
    assert once.data == again.data
    assert (once.policy_hash, once.spec.interface_hash) == (policy.policy_hash, policy.spec.interface_hash)
    assert calibrated(once) is once


def test_a_file_carries_it(policy: LoadedPolicy, tmp_path: Path) -> None:
    scaled = calibrated(policy)
    (tmp_path / "scaled.onnx").write_bytes(scaled.data)
    found = load_policy(tmp_path / "scaled.onnx").spec
    assert found.calibration == scaled.spec.calibration
    assert found.calibration
    assert "1000 rows drawn from the contract's bounds" in found.calibration.source
    assert set(found.calibration.ranges) == set(entrances(policy.model.graph))


def test_the_tolerance_is_a_multiple_of_the_largest_error_that_was_seen(policy: LoadedPolicy) -> None:
    spec = calibrated(policy).spec
    assert spec.calibration
    assert spec.self_test
    assert 0 < spec.calibration.rms_error < spec.calibration.max_error
    assert spec.self_test.tolerance["c_int16"] == MARGIN * spec.calibration.max_error


def test_what_was_met_in_flight_widens_the_ranges(policy: LoadedPolicy) -> None:
    rows = np.zeros((2, SPEC.observation_size + SPEC.action_size + SPEC.state.size), np.float32)
    rows[1, 0] = 1000.0
    before, after = calibrated(policy).spec.calibration, calibrated(policy, rows).spec.calibration
    assert before
    assert after
    (name,) = before.ranges
    assert after.ranges[name][0] == 1000.0 > before.ranges[name][0]
    assert after.source.startswith("2 observations in flight and")


def test_values_inside_the_graph_are_what_they_are_made_of(policy: LoadedPolicy) -> None:
    rows = np.random.default_rng(0).uniform(-1, 1, (5, 15)).astype(np.float32)
    (name,) = entrances(policy.model.graph)
    found = intermediate(policy, rows, (name, "position"))
    assert np.array_equal(found["position"], rows[:, :3])
    assert np.array_equal(found[name][:, :3], rows[:, :3] - rows[:, 7:10])


def test_a_policy_without_vectors_is_refused(policy: LoadedPolicy) -> None:
    bare = policy.spec.model_copy(update={"self_test": None})
    with pytest.raises(ContractError, match="no self-test vectors"):
        calibrated(parse_policy(seal(policy.model, bare), "bare"))
