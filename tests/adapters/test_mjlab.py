"""Claims: an ONNX file with mjlab's metadata becomes our policy: the same joint targets from channels in SI."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from robostack.adapters.mjlab import import_mjlab
from robostack.cli import main
from robostack.export.onnx import load_policy
from robostack.export.verify import verify
from robostack.runtime.runner import Runner
from robostack.spec import ActionChannel, Channel, ContractError, Cut, Envelope, PolicySpec

JOINTS = ("FL_hip", "FL_knee", "FR_hip")
DEFAULT, SCALE = (0.1, -0.5, 0.25), (0.25, 0.5, 0.25)
METADATA = {
    "run_path": "team/walk/7",
    "joint_names": ",".join(JOINTS),
    "joint_stiffness": "20.000,20.000,30.000",
    "joint_damping": "1.000,1.000,1.500",
    "default_joint_pos": ",".join(f"{v:.3f}" for v in DEFAULT),
    "command_names": "twist",
    "observation_names": "base_ang_vel,joint_pos,joint_vel,actions,command",
    "observation_terms_scale": "0.200,1.000,0.050,1.000,1.000",
    "observation_terms_clip": "-inf;inf,-2.0;2.0,-inf;inf,-inf;inf,-inf;inf",
    "observation_terms_history_length": "0,0,0,0,0",
    "observation_terms_flatten_history_dim": "1,1,1,1,1",
    "action_scale": ",".join(f"{v:.3f}" for v in SCALE),
}
WIDTH = 3 + 3 + 3 + 3 + 2


def contract(**changes):
    names = tuple(n.lower() for n in JOINTS)
    fields = {
        "task": "walk",
        "control_dt_s": 0.02,
        "observations": (
            Channel(name="joint_pos", shape=(3,), elements=names, unit="rad", low=(-3.0,), high=(3.0,)),
            Channel(name="joint_vel", shape=(3,), elements=names, unit="rad/s", low=(-30.0,), high=(30.0,)),
            Channel(name="base_ang_vel", shape=(3,), unit="rad/s", frame="body FLU", low=(-20.0,), high=(20.0,)),
            Channel(name="command", shape=(2,), unit="m/s, rad/s", source="command", low=(-2.0,), high=(2.0,)),
        ),
        "actions": (
            ActionChannel(
                name="joint_target", elements=names, unit="rad", low=(-2.0,) * 3, high=(2.0,) * 3, neutral=DEFAULT
            ),
        ),
        "envelope": Envelope(fallback=(Cut(value=DEFAULT),)),
    }
    return PolicySpec(**{**fields, **changes})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """What rsl_rl's own exporter writes, weights beside it, and mjlab's metadata added as mjlab does."""
    torch.manual_seed(0)
    obs = TensorDict({"actor": torch.zeros(1, WIDTH)}, batch_size=[1])
    gaussian = {"class_name": "GaussianDistribution"}
    model = MLPModel(obs, {"actor": ["actor"]}, "actor", 3, (32, 16), "elu", True, gaussian)
    model.train()
    model.update_normalization(TensorDict({"actor": 2 * torch.randn(500, WIDTH) + 0.3}, batch_size=[500]))
    inner = model.eval().as_onnx(verbose=False)
    path = tmp_path_factory.mktemp("mjlab") / "walk.onnx"
    torch.onnx.export(inner, inner.get_dummy_inputs(), str(path), opset_version=18,
                      input_names=inner.input_names, output_names=inner.output_names)  # fmt: skip
    return with_metadata(path, path, METADATA), inner


def with_metadata(source, path, metadata):
    model = onnx.load(source, load_external_data=False)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


def test_joint_targets_are_those_of_mjlabs_vector_and_scale(exported, tmp_path):
    path, inner = exported
    policy = import_mjlab(path, contract(), tmp_path / "policy.onnx")
    rng = np.random.default_rng(1)
    seen = {c.name: rng.uniform(c.low[0], c.high[0], (20, c.size)).astype(np.float32)
            for c in policy.spec.observations}  # fmt: skip
    applied = rng.uniform(-1, 1, (20, 3)).astype(np.float32)
    default, scale = np.array(DEFAULT, np.float32), np.array(SCALE, np.float32)
    vector = np.concatenate(
        [0.2 * seen["base_ang_vel"], (seen["joint_pos"] - default).clip(-2, 2), 0.05 * seen["joint_vel"],
         (applied - default) / scale, seen["command"]], 1,
    ).astype(np.float32)  # fmt: skip
    wanted = default + scale * inner(torch.from_numpy(vector)).detach().numpy()
    action, _ = Runner(policy).infer(seen, applied, None)
    np.testing.assert_allclose(action, wanted, atol=2e-5)
    theirs = onnxruntime.InferenceSession(str(path)).run(None, {"obs": vector[:1]})[0]
    np.testing.assert_allclose(action[:1], default + scale * theirs, atol=2e-5)


def test_the_file_has_a_c_port_and_remembers_where_it_came_from(exported, tmp_path, capsys):
    (tmp_path / "walk.json").write_bytes(contract().canonical_json())
    out = tmp_path / "policy.onnx"
    words = ["import", str(exported[0]), "--contract", str(tmp_path / "walk.json"), "--output", str(out)]
    assert main(words) == 0, capsys.readouterr().err
    policy = load_policy(out)
    assert policy.spec.provenance["mjlab"]["joint_stiffness"] == "20.000,20.000,30.000"
    results = verify(policy, ("onnxruntime", "c_host"), random_rows=50)
    assert {r.status for r in results} <= {"passed", "missing"}


@pytest.mark.parametrize(
    ("metadata", "changes", "message"),
    [
        ({"joint_names": None}, {}, "no joint_names: not exported by mjlab"),
        ({"joint_names": "FL_knee,FL_hip,FR_hip"}, {}, "name and order them alike"),
        ({"observation_terms_history_length": "0,5,0,0,0"}, {}, "has a history of observations"),
        ({"action_scale": "0.25,0.5"}, {}, "action_scale has 2 values; needed are 3"),
        ({"default_joint_pos": "0.1,x,0"}, {}, "default_joint_pos: could not convert"),
        (
            {"observation_names": "base_ang_vel,joint_pos,joint_vel,command", "observation_terms_history_length": None},
            {},
            "takes 14 numbers; .* make up 11",
        ),
        ({"observation_terms_clip": "-1;1"}, {}, "needed is low;high for each term"),
        ({}, {"observations": contract().observations[:3]}, "observation_names are .*'command'"),
    ],
)
def test_what_does_not_fit_is_named(metadata, changes, message, exported, tmp_path):
    given = {k: v for k, v in (METADATA | metadata).items() if v is not None}
    path = with_metadata(exported[0], exported[0].with_name(f"{tmp_path.name}.onnx"), given)
    with pytest.raises(ContractError, match=message):
        import_mjlab(path, contract(**changes), tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


def test_a_file_that_is_no_onnx_is_named(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"not this")
    with pytest.raises(ContractError, match=r"a\.onnx: "):
        import_mjlab(tmp_path / "a.onnx", contract(), tmp_path / "policy.onnx")
    with pytest.raises(ContractError, match="no ONNX file"):
        import_mjlab(tmp_path / "b.onnx", contract(), tmp_path / "policy.onnx")
