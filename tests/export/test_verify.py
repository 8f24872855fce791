from pathlib import Path

import numpy as np
import pytest
from small_policy import SPEC, SmallActor, random_policy, small_policy

from robostack.export import self_test
from robostack.export.host import HostPolicy
from robostack.export.onnx import LoadedPolicy, load_policy, parse_policy, seal
from robostack.export.verify import Recording, check, verify
from robostack.spec import ContractError, SelfTest


@pytest.fixture
def policy(tmp_path: Path) -> LoadedPolicy:
    return small_policy(tmp_path / "policy.onnx")


def test_all_ports_of_a_sound_policy_agree(policy: LoadedPolicy, board_tools: None) -> None:
    results = verify(policy, random_rows=1000)
    check(results, missing_is_failure=True)
    assert [(r.port, r.vectors, r.count) for r in results] == [
        ("onnxruntime", "self_test", 16),
        ("c_host", "self_test", 16),
        ("c_host", "random", 1000),
        ("c_board", "self_test", 16),
        ("c_board", "random", 1000),
        ("c_int16_host", "self_test", 16),
        ("c_int16_host", "random", 1000),
        ("c_int16_board", "self_test", 16),
        ("c_int16_board", "random", 1000),
    ]
    assert all(r.bit_identical for r in results if r.port.endswith("board"))
    cost = {r.port: r for r in results if r.cycles}
    assert set(cost) == {"c_board", "c_int16_board"}
    assert all(r.instructions and r.cycles and r.instructions < r.cycles for r in cost.values())


def test_a_policy_that_cannot_be_int16_has_no_int16_ports(tmp_path: Path) -> None:
    policy = random_policy(["Add", "Clip"], 0, tmp_path)
    assert {r.port for r in verify(policy, ("c_host", "c_int16_host"), random_rows=10)} == {"c_host"}


def test_a_c_port_one_bit_off_fails_although_it_is_within_tolerance(policy: LoadedPolicy) -> None:
    assert policy.spec.self_test is not None
    inputs = np.float32(policy.spec.self_test.inputs)

    def almost() -> Recording:
        outputs = HostPolicy(policy).rows(inputs)
        outputs[3, 1] = np.nextafter(outputs[3, 1], np.float32(np.inf))
        return Recording("float32", outputs)

    results = verify(policy, ("c_host",), extra={"almost": almost}, random_rows=10)
    assert results[-1].error is not None
    assert results[-1].error < results[-1].tolerance
    with pytest.raises(ContractError, match=r"almost .*NOT bit for bit"):
        check(results)


def test_vectors_of_another_policy_fail_every_port(policy: LoadedPolicy) -> None:
    other, test = SmallActor(seed=1), policy.spec.self_test
    assert test is not None
    outputs = self_test.run(SPEC, other, np.float32(test.inputs))
    swapped = SelfTest(inputs=test.inputs, outputs=tuple(tuple(map(float, row)) for row in outputs))
    spec = policy.spec.model_copy(update={"self_test": swapped})
    results = verify(parse_policy(seal(policy.model, spec), "swapped"), ("onnxruntime", "c_host"))
    assert [r.status for r in results if r.vectors == "self_test"] == ["failed", "failed"]
    with pytest.raises(ContractError, match="do not fly it"):
        check(results)


def test_a_missing_tool_is_reported_and_fails_only_where_asked(policy: LoadedPolicy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PATH", "/nonexistent")
    results = verify(policy)
    assert {r.port: r.status for r in results} == {
        "onnxruntime": "passed",
        "c_host": "missing",
        "c_board": "missing",
        "c_int16_host": "missing",
        "c_int16_board": "missing",
    }
    assert "cc is not installed" in results[1].note
    check(results)
    with pytest.raises(ContractError, match="c_board"):
        check(results, missing_is_failure=True)


def test_a_file_without_vectors_and_an_unknown_port_are_refused(policy: LoadedPolicy) -> None:
    bare = policy.spec.model_copy(update={"self_test": None})
    with pytest.raises(ContractError, match="no self-test vectors"):
        verify(parse_policy(seal(policy.model, bare), "bare"))
    with pytest.raises(ContractError, match="no port is called 'fpga'"):
        check(verify(load_policy(policy.origin), ("fpga",)))


def test_nothing_run_is_not_a_pass() -> None:
    with pytest.raises(ContractError, match="no port was run"):
        check([])
