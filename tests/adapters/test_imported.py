"""Claims: weights from elsewhere become our policy, the C generator's operators only; code in a file is never run."""

import pickle
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from robostack.adapters.elementwise import Activation, activation
from robostack.adapters.groups import GroupedTask
from robostack.adapters.imported import ImportedActor, Network, read_network
from robostack.cli import main
from robostack.export.graph import Graph
from robostack.export.onnx import load_policy
from robostack.export.verify import verify
from robostack.learn.trained import export_actor
from robostack.runtime.runner import Runner
from robostack.spec import ContractError

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "selu": nn.SELU, "leaky_relu": nn.LeakyReLU,
           "silu": nn.SiLU, "sigmoid": nn.Sigmoid}  # fmt: skip


def mlp(inputs, outputs, kind=nn.ELU, last=()):
    return nn.Sequential(nn.Linear(inputs, 12), kind(), nn.Linear(12, 8), kind(), nn.Linear(8, outputs), *last)


def in_onnxruntime(graph):
    from onnx import helper

    model = helper.make_model(graph.proto("test"), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return onnxruntime.InferenceSession(model.SerializeToString())


@pytest.mark.parametrize("name", get_args(Activation))
def test_an_activation_of_the_profile_is_torchs_far_out_and_close_to_zero(name):
    graph = Graph()
    graph.output("y", activation(graph, name, graph.input("x", (1,))))
    x = np.concatenate([np.linspace(-30, 30, 4001), np.logspace(-7, 0, 50), -np.logspace(-7, 0, 50)])
    x = x.astype(np.float32)[:, None]
    wanted = MODULES[name]()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(in_onnxruntime(graph).run(None, {"x": x})[0], wanted, rtol=3e-6, atol=2e-6)


@pytest.mark.parametrize("name", ["elu", "silu"])
def test_torchscript_says_its_activation_itself_and_acts_as_it_did(name, quadrotor, tmp_path):
    size = GroupedTask(quadrotor).policy_size
    module = mlp(size, 4, MODULES[name])
    torch.jit.script(module).save(str(tmp_path / "net.pt"))
    actor = ImportedActor(quadrotor, read_network(tmp_path / "net.pt"))
    policy = export_actor(quadrotor, actor, tmp_path / "policy.onnx")
    obs, _ = quadrotor.reset(0)
    state = actor.initial_state(16)
    seen, _, _ = actor.perceive(obs.flat, state)
    wanted = actor.low + actor.half_range * (1 + module(seen).detach().clamp(-1, 1))
    channels = {n: obs[n].numpy() for n in policy.inputs if n not in ("applied_action", "state")}
    action, _ = Runner(policy).infer(channels, obs["applied_action"].numpy(), state.numpy())
    assert ((torch.from_numpy(action) - wanted).abs() / actor.half_range).max() < 1e-5


def test_a_last_tanh_of_torchscript_is_kept(ball, tmp_path):
    torch.jit.script(mlp(66, 1, nn.ReLU, (nn.Tanh(),))).save(str(tmp_path / "net.pt"))
    with pytest.raises(ContractError, match="one kind between linear layers"):
        read_network(tmp_path / "net.pt")
    module = mlp(66, 1, nn.Tanh, (nn.Tanh(),))
    torch.jit.script(module).save(str(tmp_path / "net.pt"))
    network = read_network(tmp_path / "net.pt")
    x = torch.randn(5, 66)
    torch.testing.assert_close(network(x), module(x).detach())


def test_torchscript_that_does_more_than_its_layers_is_refused(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp(66, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2.0 * self.net(x)

    torch.jit.script(Odd()).save(str(tmp_path / "odd.pt"))
    with pytest.raises(ContractError, match="computes something else than its linear layers with elu"):
        read_network(tmp_path / "odd.pt")


def test_a_policy_on_raw_channels_with_xyzw_quaternions_is_imported_with_them(quadrotor, tmp_path):
    grouped = GroupedTask(quadrotor, raw=True, quaternion="xyzw")
    module = mlp(grouped.policy_size, 4)
    torch.save(module.state_dict(), tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt", "elu")
    policy = export_actor(
        quadrotor, ImportedActor(quadrotor, network, raw=True, quaternion="xyzw"), tmp_path / "policy.onnx"
    )
    obs, _ = quadrotor.reset(0)
    seen, _ = grouped._see(obs, grouped._reset_state)
    share = module(seen["policy"]).detach().clamp(-1, 1).numpy()
    channels = {n: obs[n].numpy() for n in policy.inputs if n != "applied_action"}
    action, _ = Runner(policy).infer(channels, obs["applied_action"].numpy(), None)
    top = quadrotor.actions[0].high[0]
    np.testing.assert_allclose(action, 0.5 * top * (1 + share), rtol=0, atol=1e-5 * top)


class Harm:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (self.mark, "w")


def test_a_pickled_module_is_refused_without_running_it(tmp_path):
    mark = tmp_path / "was-run"
    torch.save(mlp(66, 1), tmp_path / "module.pt")
    (tmp_path / "harm.pt").write_bytes(pickle.dumps(Harm(str(mark)), protocol=2))
    torch.save({"actor_state_dict": Harm(str(mark))}, tmp_path / "inside.pt")
    for name in ("module.pt", "harm.pt", "inside.pt"):
        with pytest.raises(ContractError, match="a pickled module would run code when it is read"):
            read_network(tmp_path / name, "elu")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"rnn.weight_ih_l0": torch.zeros(4, 4), "mlp.0.weight": torch.zeros(1, 4)}, "recurrent network"),
        ({"0.weight": torch.zeros(1, 3, 3, 3)}, "only linear layers are imported"),
        ({"a.weight": torch.zeros(8, 66), "b.weight": torch.zeros(1, 9)}, "do not follow each other"),
        ({"std": torch.zeros(3)}, "no weights under ''"),
        ([1, 2], "neither an rsl_rl checkpoint nor a state_dict"),
    ],
)
def test_weights_that_are_no_such_network_are_named(state, message, tmp_path):
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(ContractError, match=message):
        read_network(tmp_path / "net.pt", "elu")


def test_sizes_that_are_not_the_tasks_are_named(ball):
    network = Network(((torch.zeros(1, 30), torch.zeros(1)),), "elu")
    with pytest.raises(ContractError, match="takes 30 and gives 1 numbers; ball by its features has 66 and 1"):
        ImportedActor(ball, network)


def test_an_old_checkpoint_of_rsl_rl_is_read_with_its_normaliser(tmp_path):
    module = mlp(66, 1)
    state = {f"actor.{k}": v for k, v in module.state_dict().items()}
    state |= {f"critic.{k}": v for k, v in mlp(9, 1).state_dict().items()}
    state |= {"std": torch.ones(1), "actor_obs_normalizer._mean": torch.full((1, 66), 0.5),
              "actor_obs_normalizer._std": torch.full((1, 66), 1.99)}  # fmt: skip
    torch.save({"model_state_dict": state, "iter": 3}, tmp_path / "model.pt")
    network, x = read_network(tmp_path / "model.pt", "elu"), torch.randn(4, 66)
    torch.testing.assert_close(network.raw(x), module((x - 0.5) / 2.0).detach())


def test_the_verb_writes_a_policy_of_the_task_that_verify_takes(tmp_path, capsys):
    from robostack_sim.quadrotor.config import QuadrotorConfig
    from robostack_sim.quadrotor.task import Quadrotor

    size = GroupedTask(Quadrotor(QuadrotorConfig(num_envs=1))).policy_size
    torch.save(mlp(size, 4).state_dict(), tmp_path / "net.pt")
    out = tmp_path / "policy.onnx"
    words = ["import", str(tmp_path / "net.pt"), "--task", "quadrotor", "--output", str(out)]
    assert main(words) == 1
    assert "do not say what is between them; add --activation" in capsys.readouterr().err
    assert main([*words, "--activation", "elu"]) == 0
    assert "next: robostack verify" in capsys.readouterr().out
    policy = load_policy(out)
    assert (policy.spec.task, policy.spec.provenance["imported"]) == ("quadrotor", "net.pt")
    assert main(["import", str(tmp_path / "net.pt")]) == 1
    assert "say one of: --task" in capsys.readouterr().err


def test_an_imported_policy_has_a_c_port_that_computes_the_same(quadrotor, tmp_path, need_tool):
    need_tool("gcc")
    size = GroupedTask(quadrotor).policy_size
    network = Network(
        ((0.1 * torch.randn(8, size), torch.randn(8)), (torch.randn(4, 8), torch.randn(4))),
        "elu", (torch.randn(size), torch.rand(size) + 0.5),
    )  # fmt: skip
    policy = export_actor(quadrotor, ImportedActor(quadrotor, network), tmp_path / "policy.onnx")
    results = verify(policy, ("onnxruntime", "c_host"), random_rows=200)
    assert {r.port for r in results} == {"onnxruntime", "c_host"}
    assert [str(r) for r in results if r.status != "passed"] == []
