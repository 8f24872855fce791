import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from small_policy import OPERATORS, SPEC, SmallActor, random_policy, small_policy

from robostack.export import self_test
from robostack.export.board import CORE, FLAGS, BoardPolicy
from robostack.export.firmware import firmware_source, generate_firmware
from robostack.export.graph import Graph
from robostack.export.host import HostPolicy
from robostack.export.onnx import LoadedPolicy, parse_policy, seal
from robostack.export.profile import IR_VERSION, OPSET
from robostack.runtime.runner import Runner
from robostack.spec import ContractError

BUILDS = [("gcc", ("-O2",)), ("gcc", ("-O3", "-march=native")), ("clang", ("-O2",)), ("gcc", ("-Os",))]


def runtime_rows(policy: LoadedPolicy, rows: np.ndarray) -> np.ndarray:
    return np.concatenate([p for p in Runner(policy).infer(*self_test.unpack(SPEC, rows)) if p is not None], 1)


def rows(count: int = 64) -> np.ndarray:
    return self_test.draw(SPEC, SmallActor(), count, seed=3)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operators=st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=16), seed=st.integers(0, 2**32 - 1))
def test_any_graph_of_the_profile_computes_in_c_what_onnx_runtime_does(operators: list[str], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        policy = random_policy(operators, seed, Path(folder))
    inputs = rows()
    wanted, got = runtime_rows(policy, inputs), HostPolicy(policy, flags=("-O1",)).rows(inputs)
    assert np.allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("compiler", "flags"), BUILDS)
def test_compilers_and_optimisation_levels_agree_bit_for_bit(
    seed: int, compiler: str, flags: tuple[str, ...], tmp_path: Path, need_tool: Callable[..., str]
) -> None:
    operators = list(np.random.default_rng(seed).permutation(OPERATORS * 2))
    policy, inputs = random_policy(operators, seed, tmp_path), rows()
    other = HostPolicy(policy, compiler=need_tool(compiler), flags=flags).rows(inputs)
    assert other.tobytes() == HostPolicy(policy, flags=("-O1",)).rows(inputs).tobytes()


def test_the_emulated_board_agrees_bit_for_bit_on_a_random_graph(tmp_path: Path, board_tools: None) -> None:
    operators = list(np.random.default_rng(7).permutation(OPERATORS * 2))
    policy, inputs = random_policy(operators, 7, tmp_path), rows(200)
    assert BoardPolicy(policy, tmp_path / "board").rows(inputs).tobytes() == HostPolicy(policy).rows(inputs).tobytes()


def test_nan_in_any_channel_reaches_the_action(tmp_path: Path) -> None:
    host = HostPolicy(small_policy(tmp_path / "policy.onnx"))
    for element in range(SPEC.observation_size + SPEC.action_size + SPEC.state.size):
        inputs = rows(1)
        inputs[0, element] = np.nan
        assert np.isnan(host.rows(inputs)[0, : SPEC.action_size]).all(), element


def test_generated_source_is_the_same_twice_and_needs_no_library(tmp_path: Path, board_tools: None) -> None:
    policy = small_policy(tmp_path / "policy.onnx")
    first, second = (generate_firmware(policy, tmp_path / name) for name in ("a", "b"))
    assert [f.read_bytes() for f in first.files] == [f.read_bytes() for f in second.files]
    source = firmware_source()
    for file in (tmp_path / "a" / "policy.c", *(source / "policy").glob("*.c")):
        output = tmp_path / "object.o"
        includes = [f"-I{source / room}" for room in ("policy", "envelope")]
        subprocess.run(["arm-none-eabi-gcc", *CORE, "-O3", *FLAGS, *includes, "-c", file, "-o", output], check=True)
        listed = subprocess.run(["arm-none-eabi-nm", "-u", output], capture_output=True, text=True, check=True)
        assert all(line.split()[-1].startswith("rs_") for line in listed.stdout.splitlines())


def test_the_report_counts_what_was_generated(tmp_path: Path) -> None:
    report = generate_firmware(small_policy(tmp_path / "policy.onnx"), tmp_path / "generated")
    assert report.multiply_adds == 12 * 13 + 13 * 2
    assert report.constant_bytes >= 4 * (report.multiply_adds + 13 + 2)
    assert report.scratch_bytes >= 4 * (12 + 13)


def outside(build) -> LoadedPolicy:  # type: ignore[no-untyped-def]
    """A policy of SPEC's interface whose action is `build(graph, field)`."""
    graph = Graph()
    channels = {c.name: graph.input(c.name, c.shape) for c in SPEC.observations}
    graph.input("applied_action", (2,))
    graph.input("state", (3,))
    graph.output("action", build(graph, channels["field"]))
    graph.output("next_state", channels["position"])
    model = helper.make_model(graph.proto(), opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    return parse_policy(seal(model, SPEC), "outside.onnx")


def test_a_node_outside_the_profile_is_named_with_the_remedy(tmp_path: Path) -> None:
    policy = outside(lambda g, field: g.op_outside_profile("ReduceMax", field, shape=(2,), axes=[2], keepdims=0))
    with pytest.raises(
        ContractError, match=r"outside\.onnx: node ReduceMax_0 \(ReduceMax\) cannot be compiled.*ONNX Runt"
    ):
        generate_firmware(policy, tmp_path / "generated")
    assert not (tmp_path / "generated").exists()
    assert Runner(policy).spec == SPEC  # and it runs where it says


def test_a_node_name_cannot_smuggle_code_into_the_source(tmp_path: Path) -> None:
    policy = small_policy(tmp_path / "policy.onnx")
    for node in policy.model.graph.node:
        node.name = "*/ int smuggled; /*\n#error"
    generate_firmware(policy, tmp_path / "generated")
    assert "int smuggled" not in (tmp_path / "generated" / "policy.c").read_text()
