import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_policy import SPEC, SmallActor, small_policy

from robostack.export import onnx as export
from robostack.export.graph import Graph
from robostack.export.onnx import LoadedPolicy, export_onnx, load_policy, parse_policy, wrap_onnx
from robostack.runtime.runner import Runner
from robostack.spec import Channel, ContractError


@pytest.fixture
def policy(tmp_path: Path) -> LoadedPolicy:
    return small_policy(tmp_path / "policy.onnx")


def altered(policy: LoadedPolicy, change) -> bytes:  # type: ignore[no-untyped-def]
    """The file's bytes after `change(model)`, its metadata left as it was."""
    model = onnx.load_model_from_string(policy.data)
    change(model)
    return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def test_what_is_read_is_what_was_written(policy: LoadedPolicy) -> None:
    read = load_policy(policy.origin)
    assert (read.spec, read.policy_hash, read.data) == (policy.spec, policy.policy_hash, policy.data)
    assert read.spec.self_test is not None
    assert len(read.spec.self_test.inputs) == 16
    assert read.spec.interface_hash == SPEC.interface_hash


def test_two_exports_give_the_same_bytes_and_another_seed_does_not(tmp_path: Path, policy: LoadedPolicy) -> None:
    assert small_policy(tmp_path / "again.onnx").data == policy.data
    assert small_policy(tmp_path / "other.onnx", seed=1).policy_hash != policy.policy_hash


def test_inputs_and_outputs_are_the_contracts_names(policy: LoadedPolicy) -> None:
    graph = policy.model.graph
    assert [v.name for v in graph.input] == ["position", "field", "setpoint", "applied_action", "state"]
    assert [v.name for v in graph.output] == ["action", "next_state"]
    assert {p.key: p.value for p in policy.model.metadata_props}["observation_names"] == "position,field,setpoint"


def test_a_file_truncated_anywhere_is_refused(policy: LoadedPolicy) -> None:
    for size in range(0, len(policy.data), 97):
        with pytest.raises(ContractError, match=r"cut\.onnx"):
            parse_policy(policy.data[:size], "cut.onnx")


def test_no_flipped_byte_changes_graph_or_interface_unnoticed(policy: LoadedPolicy) -> None:
    for at in range(0, len(policy.data), 97):
        data = bytearray(policy.data)
        data[at] ^= 0x15
        try:
            read = parse_policy(bytes(data), "flipped.onnx")
        except ContractError:
            continue
        assert read.policy_hash == policy.policy_hash
        assert read.model.graph == policy.model.graph


def test_a_tampered_weight_is_refused(policy: LoadedPolicy) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if len(t.dims) == 2)
        weights = onnx.numpy_helper.to_array(tensor).copy()
        weights[0, 0] *= 1.001
        tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))

    with pytest.raises(ContractError, match="altered after export"):
        parse_policy(altered(policy, change), "tampered.onnx")


def test_a_tampered_limit_is_refused(policy: LoadedPolicy) -> None:
    def change(model: onnx.ModelProto) -> None:
        held = next(p for p in model.metadata_props if p.key == export.SPEC_KEY)
        held.value = held.value.replace('"high":[10,200]', '"high":[10,2000]')

    with pytest.raises(ContractError, match="altered after export"):
        parse_policy(altered(policy, change), "tampered.onnx")


def test_a_spec_of_another_version_says_which_is_read(policy: LoadedPolicy) -> None:
    def change(model: onnx.ModelProto) -> None:
        held = next(p for p in model.metadata_props if p.key == export.SPEC_KEY)
        held.value = held.value.replace('"spec_version":1', '"spec_version":2')

    with pytest.raises(ContractError, match=r"newer\.onnx.*spec_version.*reads version 1"):
        parse_policy(altered(policy, change), "newer.onnx")


def foreign(path: Path, name: str = "position") -> Path:
    """A file of another exporter with SPEC's shapes, using an operator outside the profile."""
    shapes = {name: [3], "field": [2, 2], "setpoint": [3], "applied_action": [2], "state": [3]}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", *s]) for n, s in shapes.items()]
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", k]) for n, k in (("action", 2), ("next_state", 3))
    ]
    nodes = [
        helper.make_node("Relu", ["applied_action"], ["action"], name="rectify"),
        helper.make_node("Identity", ["state"], ["next_state"]),
    ]
    graph = helper.make_graph(nodes, "main", inputs, outputs)
    model = helper.make_model(graph, producer_name="pytorch", opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def test_a_foreign_file_names_its_maker_and_the_way_in(tmp_path: Path) -> None:
    path = foreign(tmp_path / "foreign.onnx")
    with pytest.raises(ContractError, match=r"foreign\.onnx.*by pytorch without a contract.*wrap_onnx"):
        load_policy(path)


def test_a_foreign_file_can_be_given_a_contract(tmp_path: Path) -> None:
    wrap_onnx(foreign(tmp_path / "foreign.onnx"), SPEC, tmp_path / "policy.onnx")
    runner = Runner(tmp_path / "policy.onnx")
    observation = {c.name: np.zeros(c.shape) for c in SPEC.observations}
    action, _ = runner.infer(observation, [-1.0, 2.0], runner.reset())
    assert action.tolist() == [0.0, 2.0]


def test_a_foreign_file_that_does_not_fit_is_not_wrapped(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"'obs'.*contract says.*'position'"):
        wrap_onnx(foreign(tmp_path / "foreign.onnx", name="obs"), SPEC, tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


def test_an_input_of_another_shape_is_refused(policy: LoadedPolicy) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4

    with pytest.raises(ContractError, match=r"input position is FLOAT .*4.* contract says FLOAT"):
        parse_policy(altered(policy, change), "shape.onnx")


def test_weights_in_another_file_are_refused(policy: LoadedPolicy) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")

    with pytest.raises(ContractError, match="lies in another file"):
        parse_policy(altered(policy, change), "external.onnx")


def test_what_could_bring_other_code_or_files_is_refused(policy: LoadedPolicy) -> None:
    def custom(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "com.example"

    def function(model: onnx.ModelProto) -> None:
        model.functions.add(name="f", domain="")

    def subgraph(model: onnx.ModelProto) -> None:
        model.graph.node[0].attribute.append(helper.make_attribute("body", model.graph))

    def subgraph_that_says_it_is_a_number(model: onnx.ModelProto) -> None:
        subgraph(model)
        model.graph.node[0].attribute[-1].type = onnx.AttributeProto.FLOAT

    def constant_elsewhere(model: onnx.ModelProto) -> None:
        tensor = model.graph.node[0].attribute.add(name="value").t
        tensor.external_data.add(key="location", value="/etc/passwd")

    def sparse_constant(model: onnx.ModelProto) -> None:
        held = model.graph.node[0].attribute.add(name="sparse_value").sparse_tensor
        held.values.external_data.add(key="location", value="/etc/passwd")

    def training(model: onnx.ModelProto) -> None:
        model.training_info.add().algorithm.CopyFrom(model.graph)

    for change, says in (
        (custom, "custom operators"),
        (function, "uses functions"),
        (subgraph, "subgraph"),
        (subgraph_that_says_it_is_a_number, "subgraph"),
        (constant_elsewhere, "lies in another file"),
        (sparse_constant, "sparse tensor"),
        (training, "training graph"),
    ):
        with pytest.raises(ContractError, match=says):
            parse_policy(altered(policy, change), "odd.onnx")


class Boom:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "w")


def test_a_pickle_or_a_graph_of_another_format_is_refused_and_not_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Boom(tmp_path / "armed"))).close()
    assert (tmp_path / "armed").exists()  # it would have
    torch_like = io.BytesIO()
    with zipfile.ZipFile(torch_like, "w") as archive:
        archive.writestr("policy/data.pkl", pickle.dumps(Boom(tmp_path / "boom")))
    of_onnxruntime = b"\x18\x00\x00\x00ORTM" + bytes(64)
    for data in (pickle.dumps(Boom(tmp_path / "boom")), torch_like.getvalue(), of_onnxruntime):
        (tmp_path / "policy.onnx").write_bytes(data)
        with pytest.raises(ContractError, match=r"policy\.onnx"):
            Runner(tmp_path / "policy.onnx")
    assert not (tmp_path / "boom").exists()


def test_nothing_between_a_file_and_an_actuator_imports_a_pickle_or_registers_operators() -> None:
    package = Path(export.__file__).parents[1]
    files = [*(package / "runtime").glob("*.py"), *(package / "export").glob("*.py"), package / "spec.py"]
    for file in files:
        text = file.read_text(encoding="utf-8")
        for word in ("pickle", "torch.load", "register_custom_ops", "allow_pickle=True", "eval(", "exec("):
            assert word not in text, f"{file}: {word}"


def test_a_missing_file_and_one_too_large_are_refused(policy: LoadedPolicy, monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ContractError, match=r"absent\.onnx: No such file"):
        load_policy(tmp_path / "absent.onnx")
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    with pytest.raises(ContractError, match="larger than"):
        load_policy(policy.origin)


def test_a_full_disk_leaves_the_old_file(policy: LoadedPolicy) -> None:
    here = str(Path(__file__).parent)
    script = (
        "import resource, sys\n"
        f"sys.path.insert(0, {here!r})\n"
        "from pathlib import Path\n"
        "from small_policy import small_policy\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        f"small_policy(Path({policy.origin!r}), seed=1)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no room for" in done.stderr
    assert Path(policy.origin).read_bytes() == policy.data
    assert [p.name for p in Path(policy.origin).parent.iterdir()] == ["policy.onnx"]


def test_an_actor_whose_nodes_differ_from_its_forward_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="compute different things"):
        export_onnx(SmallActor(0), SPEC, tmp_path / "policy.onnx", reference=SmallActor(1))
    assert not (tmp_path / "policy.onnx").exists()


def test_a_diverged_actor_is_not_exported(tmp_path: Path) -> None:
    actor = SmallActor(0)
    actor.layers[0][0][0, 0] = np.nan
    with pytest.raises(ContractError, match="diverged"):
        export_onnx(actor, SPEC, tmp_path / "policy.onnx", reference=actor)


def test_an_actor_of_another_size_is_not_exported(tmp_path: Path) -> None:
    class Wide(SmallActor):
        def onnx(self, graph: Graph, names: dict[str, str], applied: str, state: str | None) -> tuple[str, str | None]:
            action, next_state = super().onnx(graph, names, applied, state)
            return graph.op("Concat", action, action, axis=1), next_state

    with pytest.raises(ContractError, match=r"output action is FLOAT \['N', 4\].*'N', 2"):
        export_onnx(Wide(), SPEC, tmp_path / "policy.onnx", reference=Wide())


def test_a_channel_that_the_graph_lacks_is_named(policy: LoadedPolicy) -> None:
    more = SPEC.model_copy(update={"observations": (*SPEC.observations, Channel(name="battery", shape=(1,)))})
    with pytest.raises(ContractError, match="battery"):
        wrap_onnx(policy.origin, more, policy.origin)
