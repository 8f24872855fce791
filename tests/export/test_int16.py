"""Policies whose network is int16: feed-forward, recurrent, and random graphs."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from small_policy import OPERATORS, SPEC, SmallActor, random_policy, small_policy

from robostack.export import self_test
from robostack.export.board import BoardPolicy
from robostack.export.calibration import calibrated
from robostack.export.firmware import generate_firmware
from robostack.export.graph import Graph
from robostack.export.host import HostPolicy
from robostack.export.int16 import Int16Program
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.runtime.runner import Runner
from robostack.spec import ContractError, State

UNITS = 5
RECURRENT = SPEC.model_copy(update={"state": State(reset=(0.0,) * UNITS)})


class GruActor:
    """error, field -> a cell as robostack.nets.actor writes it -> action."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        layer = lambda o, i: (random.normal(0, 0.7, (o, i)).astype(np.float32), np.float32(random.normal(0, 0.1, o)))  # noqa: E731
        self.from_x, self.from_h = [layer(UNITS, 7) for _ in range(3)], [layer(UNITS, UNITS) for _ in range(3)]
        self.head, self.half, self.middle = layer(2, UNITS), np.float32([10, 100]), np.float32([0, 100])

    def onnx(
        self, graph: Graph, channel_names: dict[str, str], applied_action: str, state: str | None
    ) -> tuple[str, str | None]:
        assert state is not None
        gemm = lambda v, layer: graph.op("Gemm", v, *(graph.constant(c) for c in layer), transB=1)  # noqa: E731
        error = graph.op("Sub", channel_names["position"], channel_names["setpoint"])
        x = graph.op("Concat", error, graph.op("Flatten", channel_names["field"]), axis=1)
        gx, gh = [gemm(x, layer) for layer in self.from_x], [gemm(state, layer) for layer in self.from_h]
        r, z = (graph.op("Sigmoid", graph.op("Add", gx[i], gh[i])) for i in (0, 1))
        n = graph.op("Tanh", graph.op("Add", gx[2], graph.op("Mul", r, gh[2])))
        h = graph.op("Add", n, graph.op("Mul", z, graph.op("Sub", state, n)))
        y = graph.op("Mul", graph.op("Tanh", gemm(h, self.head)), graph.constant(self.half))
        return graph.op("Add", y, graph.constant(self.middle)), h

    def __call__(
        self, observation: Mapping[str, np.ndarray], applied_action: np.ndarray, state: np.ndarray | None, /
    ) -> tuple[np.ndarray, np.ndarray | None]:
        assert state is not None
        x = np.concatenate(
            [observation["position"] - observation["setpoint"], observation["field"].reshape(len(state), -1)], 1
        )
        gx, gh = ([v @ w.T + b for w, b in layers] for v, layers in ((x, self.from_x), (state, self.from_h)))
        r, z = (1 / (1 + np.exp(-(gx[i] + gh[i]))) for i in (0, 1))
        n = np.tanh(gx[2] + r * gh[2])
        h = n + z * (state - n)
        w, b = self.head
        return (np.tanh(h @ w.T + b) * self.half + self.middle).astype(np.float32), h.astype(np.float32)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedPolicy]:
    folder, gru = tmp_path_factory.mktemp("int16"), GruActor()
    recurrent = export_onnx(gru, RECURRENT, folder / "gru.onnx", reference=gru)
    return {"feed-forward": calibrated(small_policy(folder / "small.onnx")), "recurrent": calibrated(recurrent)}


def rows(policy: LoadedPolicy, count: int = 300) -> np.ndarray:
    return self_test.draw(policy.spec, Runner(policy).infer, count, seed=3)


@pytest.mark.parametrize("kind", ["feed-forward", "recurrent"])
def test_it_stays_within_its_stated_tolerance_on_rows_it_was_not_calibrated_on(
    policies: dict[str, LoadedPolicy], kind: str
) -> None:
    policy, inputs = policies[kind], rows(policies[kind])
    wanted = self_test.run(policy.spec, Runner(policy).infer, inputs)
    found = self_test.error(policy.spec, HostPolicy(policy, "int16").rows(inputs), wanted)
    assert policy.spec.self_test
    assert 1e-6 < found <= policy.spec.self_test.tolerance["c_int16"] < 5e-3


@pytest.mark.parametrize("kind", ["feed-forward", "recurrent"])
def test_the_emulated_board_agrees_bit_for_bit(
    policies: dict[str, LoadedPolicy], kind: str, tmp_path: Path, board_tools: None
) -> None:
    policy, inputs = policies[kind], rows(policies[kind])
    board = BoardPolicy(policy, tmp_path, "int16")
    assert board.rows(inputs).tobytes() == HostPolicy(policy, "int16").rows(inputs).tobytes()
    code = subprocess.run(["arm-none-eabi-objdump", "-d", board.elf], capture_output=True, text=True, check=True).stdout
    assert code.count("\tsmlad\t") >= 4


@pytest.mark.parametrize("seed", [1, 2])
def test_random_graphs_compute_the_same_bits_whatever_the_compiler_and_on_the_board(
    seed: int, tmp_path: Path, board_tools: None
) -> None:
    operators = ["Gemm", "Tanh", *np.random.default_rng(seed).permutation(OPERATORS * 2)]
    policy = calibrated(random_policy(operators, seed, tmp_path))
    inputs = self_test.draw(SPEC, SmallActor(), 64, seed=3)
    host = HostPolicy(policy, "int16").rows(inputs).tobytes()
    assert HostPolicy(policy, "int16", flags=("-O3", "-march=native")).rows(inputs).tobytes() == host
    assert BoardPolicy(policy, tmp_path / "board", "int16").rows(inputs).tobytes() == host


@pytest.mark.parametrize("kind", ["feed-forward", "recurrent"])
def test_nan_in_whatever_enters_the_network_reaches_the_action(policies: dict[str, LoadedPolicy], kind: str) -> None:
    policy = policies[kind]
    host, actions = HostPolicy(policy, "int16"), policy.spec.action_size
    applied = range(policy.spec.observation_size, policy.spec.observation_size + actions)
    for element in range(len(rows(policy, 1)[0])):
        inputs = rows(policy, 1)
        inputs[0, element] = np.nan
        read = kind == "feed-forward" or element not in applied  # the recurrent one does not look at it
        assert np.isnan(host.rows(inputs)[0, :actions]).all() == read, element


def test_only_the_network_is_integer_and_what_it_takes_in_is_converted_once(policies: dict[str, LoadedPolicy]) -> None:
    source = Int16Program(policies["recurrent"]).source()
    assert source.count("rs_dense_int16(") == 7
    assert source.count("= rs_quantise(") == 3  # x, the state, and what the state becomes
    assert source.count("rs_sigmoid_int16(") == 2
    assert "rs_dense_by_row(" not in source
    assert "rs_sub(" in source
    chained = Int16Program(policies["feed-forward"]).source()
    assert chained.count("= rs_quantise(") == 1
    assert "rs_sums_to_float(" not in chained


def test_the_board_is_told_the_precision_and_the_tolerance_that_holds(policies: dict[str, LoadedPolicy]) -> None:
    policy = policies["feed-forward"]
    source = Int16Program(policy).source()
    assert policy.spec.self_test
    allowed = float(np.float32(policy.spec.self_test.tolerance["c_int16"])).hex()
    assert ".weight_bits = 16," in source
    assert f".self_test_tolerance = {allowed}f," in source


def test_generated_source_is_the_same_twice(policies: dict[str, LoadedPolicy], tmp_path: Path) -> None:
    first, second = (generate_firmware(policies["recurrent"], tmp_path / name, "int16") for name in ("a", "b"))
    assert [f.read_bytes() for f in first.files] == [f.read_bytes() for f in second.files]


def test_a_policy_without_calibration_and_one_without_a_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"carries no range for .*--precision int16"):
        generate_firmware(small_policy(tmp_path / "policy.onnx"), tmp_path / "generated", "int16")
    with pytest.raises(ContractError, match="no dense layer before a tanh or sigmoid; use float32"):
        calibrated(random_policy(["Add", "Clip"], 0, tmp_path))
