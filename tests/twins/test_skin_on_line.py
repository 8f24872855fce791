"""Claims: a policy closes the loop with a simulated machine through a serial skin, by its command line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

pytest.importorskip("torch")

from robostack import cli
from robostack.devices import connect
from robostack.export.onnx import LoadedPolicy, wrap_onnx
from robostack.export.profile import IR_VERSION, OPSET
from robostack.spec import ContractError, PolicySpec

HERE = Path(__file__).resolve().parent


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedPolicy:
    """Drives the ball to its setpoint by what the skin says of where it is; its task is installed."""
    info = tmp_path / "feeler-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: feeler\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[robostack.tasks]\nfeeler = feeler:Feeler\n")
    for path in (HERE.parent / "tasks", HERE, tmp_path):
        monkeypatch.syspath_prepend(str(path))
    from feeler import Feeler

    task = Feeler()
    spec = PolicySpec(
        task="feeler", control_dt_s=task.step_dt, observations=task.actor_channels, actions=task.actions,
        envelope=task.envelope,
    )  # fmt: skip
    inputs = [helper.make_tensor_value_info(c.name, TensorProto.FLOAT, ["N", *c.shape]) for c in spec.observations]
    inputs.append(helper.make_tensor_value_info("applied_action", TensorProto.FLOAT, ["N", 1]))
    weights = np.zeros((17, 1), np.float32)
    weights[[2, 15, 16], 0] = (-6.0 / 100.0, -4.0, 6.0)
    nodes = [
        helper.make_node("Flatten", ["anyskin"], ["skin"], "skin"),
        helper.make_node("Concat", ["skin", "velocity", "setpoint"], ["all"], "all", axis=1),
        helper.make_node("Gemm", ["all", "weights"], ["action"], "gemm"),
    ]
    action = helper.make_tensor_value_info("action", TensorProto.FLOAT, ["N", 1])
    constant = helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())
    graph = helper.make_graph(nodes, "feeling", inputs, [action], [constant])
    plain = tmp_path / "plain.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), plain)
    return wrap_onnx(plain, spec, tmp_path / "policy.onnx", self_test_rows=2)


def test_what_the_simulated_machine_feels_comes_back_through_the_driver(policy):
    with connect("anyskin_twin://rail", policy) as device:
        x = device._on.snapshot()["x"][0]
        device.arm()
        for _ in range(20):
            device.write(np.zeros(1, np.float32))
        assert device._on.snapshot()["x"][0] != pytest.approx(x, abs=1e-3)
        time.sleep(0.1)
        felt = np.ravel(device.read()["anyskin"][0])[2]
        assert felt / 100.0 == pytest.approx(device._on.snapshot()["x"][0], abs=0.03)
        assert set(device.channels) == {"anyskin", "velocity"} and set(device.told()) == {"setpoint"}


def test_it_closes_the_loop_on_the_command_line(policy, capsys):
    words = ["run", policy.origin, "--device", "anyskin", "--port", "twin", "--on", "sim://rail"]
    assert cli.main([*words, "--live", "--seconds", "3.2"]) == 0
    pushes = [abs(float(p)) for p in re.findall(r"push ([-+.e\d]+)", capsys.readouterr().out)]
    assert len(pushes) == 4 and pushes[-1] < 0.15  # it is there
    assert cli.main([*words, "--seconds", "0.1", "--tell", "setpoint=1,2"]) == 1
    assert "--tell setpoint=1,2: the policy's commands are setpoint of 1" in capsys.readouterr().err


def test_a_policy_that_reads_more_than_a_skin_is_told_what_names_the_rest(policy, capsys):
    assert cli.main(["run", policy.origin, "--device", "anyskin", "--port", "/dev/ttyACM0"]) == 1
    assert "measures no velocity" in capsys.readouterr().err
    with pytest.raises(ContractError, match="has no scenario 'table'"):
        connect("anyskin_twin://table", policy)
