"""Claims: a policy runs on a real skin and on nothing else than it was trained for, and not on a broken one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

pytest.importorskip("torch")

from robostack import cli
from robostack.devices import Device, connect
from robostack.export.onnx import LoadedPolicy, wrap_onnx
from robostack.export.profile import IR_VERSION, OPSET
from robostack.runtime.controller import Sample
from robostack.spec import ActionChannel, Channel, ContractError, HoldLast, PolicySpec
from robostack_real.twins.anyskin import VirtualSkin, untouched

FELT = Channel(name="anyskin", shape=(5, 3), unit="uT", low=(-5e3,), high=(5e3,), max_age_s=0.1)


def policy(folder: Path, felt: Channel = FELT) -> LoadedPolicy:
    """dz is a thousandth of what the first magnetometer reads along z."""
    spec = PolicySpec(
        task="feeling",
        control_dt_s=1.0 / 60.0,
        observations=(felt,),
        actions=(ActionChannel(name="move", elements=("dz",), unit="m", low=(-0.01,), high=(0.01,), neutral=(0.0,)),),
        envelope={"fallback": (HoldLast(),)},
    )
    inputs = [helper.make_tensor_value_info(felt.name, TensorProto.FLOAT, ["N", *felt.shape]),
              helper.make_tensor_value_info("applied_action", TensorProto.FLOAT, ["N", 1])]  # fmt: skip
    weights = np.zeros((felt.size, 1), np.float32)
    weights[2] = 1e-3
    nodes = [
        helper.make_node("Flatten", [felt.name], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "weights"], ["action"], "gemm"),
    ]
    action = helper.make_tensor_value_info("action", TensorProto.FLOAT, ["N", 1])
    constant = helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())
    graph = helper.make_graph(nodes, "feeling", inputs, [action], [constant])
    plain = folder / "plain.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION), plain)
    return wrap_onnx(plain, spec, folder / "policy.onnx", self_test_rows=2)


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[VirtualSkin]:
    with VirtualSkin(tmp_path / "skin", script=untouched) as twin:
        yield twin


def run(twin: VirtualSkin, *words: str) -> int:
    line = ["run", str(twin.link.parent / "policy.onnx"), "--device", "anyskin", "--port", str(twin.link), *words]
    return cli.main(line)


def felt(device: Device) -> Sample:
    """What the skin says a little later."""
    time.sleep(0.2)
    device.read()
    while "anyskin" not in (samples := device.read()):
        time.sleep(0.001)
    return samples["anyskin"]


def test_a_policy_feels_the_skin_at_its_own_rate(twin, tmp_path, capsys):
    policy(tmp_path)
    assert run(twin, "--seconds", "0.5") == 0
    said = capsys.readouterr().out
    assert "0.0 s  dz" in said and " 0 dropped, 0 times unplugged" in said


def test_a_touch_arrives_in_the_contracts_order_and_unit(twin, tmp_path):
    with connect(f"anyskin://{twin.link}", policy(tmp_path)) as device:
        twin.script = lambda _: (0.0, 0.0, 0.0008)
        values, age_s = felt(device)
        assert np.shape(values) == (15,) and 0.0 <= age_s < 0.2
        middle, *edges = np.abs(np.reshape(values, (5, 3))[:, 2])
        assert middle > 5.0 and middle > max(edges)  # the ball is over the middle
        with pytest.raises(ContractError, match=r"a skin moves nothing; anyskin://.*\?on=URI"):
            device.arm()


def test_a_policy_that_feels_with_another_sensor_is_refused_by_its_contract(twin, tmp_path, capsys):
    policy(tmp_path, Channel(name="force_field", shape=(3, 14, 10), unit="N"))
    assert run(twin) == 1
    assert "reads force_field 3x14x10; a skin gives anyskin, 5 x 3 uT" in capsys.readouterr().err
    policy(tmp_path, FELT.model_copy(update={"shape": (2, 5, 3)}))
    assert run(twin) == 1
    assert "30 values in uT, but 1 skin(s) give 15" in capsys.readouterr().err


def test_a_dead_magnetometer_is_refused_at_the_start_unless_it_is_allowed_and_then_reads_0(twin, tmp_path, capsys):
    policy(tmp_path)
    twin.dead.add(2)
    assert run(twin, "--seconds", "0.2") == 1
    assert "1 of 5 magnetometers always say the same" in capsys.readouterr().err
    assert run(twin, "--seconds", "0.2", "--allow-dead", "1") == 0
    twin.dead.add(3)
    assert run(twin, "--seconds", "0.2", "--allow-dead", "1") == 1


def test_one_that_dies_or_comes_to_its_limit_on_the_way_trips_the_envelope(twin, tmp_path):
    with connect(f"anyskin://{twin.link}?allow_dead=4", policy(tmp_path)) as device:
        twin.saturated.add(0)  # which is no dead one
        values, _ = felt(device)
        assert np.isnan(values[:3]).all() and np.isfinite(values[3:]).all()


def test_unplugged_on_the_way_it_ends_with_its_own_status(twin, tmp_path, capsys):
    policy(tmp_path)
    felt = threading.Event()
    twin.script = lambda t: (felt.set() if t > 0.6 else None, untouched(t))[1]
    pulled = threading.Thread(target=lambda: (felt.wait(20.0), twin.unplug()))
    pulled.start()
    assert run(twin, "--seconds", "5") == 3
    pulled.join()
    assert "it ended early" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "policy.onnx", "--device", "anyskin"], "needs --port"),
        (["run", "policy.onnx", "--device", "anyskin", "--port", "x", "--live"], "--on URI names what does"),
        (["run", "policy.onnx", "--device", "anyskin", "--port", "twin"], "--port twin needs --on sim://SCENARIO"),
        (["run", "policy.onnx"], "--config FILE says which machine"),
    ],
)
def test_what_is_missing_on_the_command_line_is_named(words, says, capsys):
    assert cli.main(words) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("query", "says"),
    [("live", "after [?] can only stand"), ("allow_dead=5", "must be 0 to 4"), ("on=sim:hover", "is no URI")],
)
def test_a_uri_that_says_something_else_is_refused(query, says, tmp_path):
    with pytest.raises(ContractError, match=says):
        connect(f"anyskin:///dev/ttyACM0?{query}", policy(tmp_path))
