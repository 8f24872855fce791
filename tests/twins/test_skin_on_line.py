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
from robostack.evaluate.flight import Flight
from robostack.export.onnx import LoadedPolicy, wrap_onnx
from robostack.export.profile import IR_VERSION, OPSET
from robostack.run_folder import RunFolder
from robostack.runtime.controller import Controller, Sample
from robostack.runtime.runner import Runner
from robostack.spec import ContractError, PolicySpec
from robostack_real.twins.skin_on_line import SkinOnLine

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


def felt(device: SkinOnLine) -> dict[str, Sample]:
    """What is read once the line has carried the newest state."""
    time.sleep(0.008)
    device.read()
    while "anyskin" not in (samples := device.read()):
        time.sleep(0.001)
    return dict(samples)


def test_what_the_simulated_machine_feels_comes_back_through_the_driver_and_closes_the_loop(policy):
    controller = Controller(Runner(policy), policy.spec)
    with connect("anyskin_twin://rail", policy) as device:
        assert set(device.channels) == {"anyskin", "velocity"} and set(device.told()) == {"setpoint"}
        where = lambda: float(device._on.snapshot()["x"][0])  # noqa: E731
        setpoint = float(device.told()["setpoint"][0][0])
        start = where()
        device.arm()
        controller.arm()
        for _ in range(120):
            device.write(controller.tick({**felt(device), **device.told()}))
        assert not controller.status.tripped
        assert abs(start - setpoint) > 0.1 and where() == pytest.approx(setpoint, abs=0.05)
        assert np.ravel(felt(device)["anyskin"][0])[2] / 100.0 == pytest.approx(where(), abs=0.03)


def test_it_runs_on_the_command_line(policy, capsys):
    words = ["run", policy.origin, "--device", "anyskin", "--port", "twin", "--on", "sim://rail"]
    assert cli.main([*words, "--live", "--seconds", "0.5"]) == 0
    assert re.search(r"0\.0 s  push .*\n.*skin: \d+ frames, 0 dropped", capsys.readouterr().out)
    assert cli.main([*words, "--seconds", "0.1", "--tell", "setpoint=1,2"]) == 1
    assert "--tell setpoint=1,2: the policy's commands are setpoint of 1" in capsys.readouterr().err


def test_a_run_keeps_a_flight_of_every_scenario_with_what_came_over_the_line(policy, tmp_path, capsys):
    run = RunFolder.at(tmp_path / "run")
    run.policy.write_bytes(Path(policy.origin).read_bytes())
    assert cli.main(["run", str(run.path), "--device", "anyskin", "--port", "twin", "--live"]) == 0
    assert re.search(r"frames that came over the serial line +\d{3}", capsys.readouterr().out)
    (path,) = run.flights.glob("*.npz")
    flight = Flight.load(path)
    assert len(flight) == 100 and "cut_short" not in flight.about
    assert flight["anyskin"][:, 2] / 100.0 == pytest.approx(flight["x"][:, 0], abs=0.03)
    assert {r["what"]: r["value"] for r in run.metrics()["trial"]["rows"]}["of them cut"] == 0


def test_a_policy_that_reads_more_than_a_skin_is_told_what_names_the_rest(policy, capsys):
    assert cli.main(["run", policy.origin, "--device", "anyskin", "--port", "/dev/ttyACM0"]) == 1
    assert "measures no velocity" in capsys.readouterr().err
    with pytest.raises(ContractError, match="has no scenario 'table'"):
        connect("anyskin_twin://table", policy)
