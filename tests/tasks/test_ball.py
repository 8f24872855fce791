"""Claims: a task with an image, a hidden wind and a recurrent actor goes the whole way, so nothing in the
contract is quadrotor-shaped; and what a deployed policy may not see, it cannot.
"""

import json

import numpy as np
import pytest
import torch
from ball import Ball, BallConfig

from robostack import cli
from robostack.export.firmware import generate_firmware
from robostack.export.onnx import export_onnx
from robostack.export.verify import check, verify
from robostack.features import Pick, Scale
from robostack.learn.judge import judge
from robostack.learn.shac import SHAC, ShacLearner
from robostack.learn.trained import as_reference, load_run, policy_spec
from robostack.nets.actor import Actor, ActorConfig
from robostack.run_folder import RunFolder
from robostack.runtime.runner import Runner
from robostack.spec import ContractError

RECURRENT = ActorConfig(hidden=(32,), recurrent=16)
SETTINGS = "--learner.iterations 40 --learner.horizon 20 --learner.actor.hidden 32 --learner.actor.recurrent 16"


@pytest.fixture(scope="module")
def trained():
    """An actor before, and after a few dozen iterations."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = Ball()
    learner = ShacLearner(task, SHAC(iterations=40, horizon=20, actor=RECURRENT))
    before = judge(learner.actor, task.evaluation(256), seed=5)
    for _ in range(40):
        learner.iterate()
    actor = Actor(task, RECURRENT)
    actor.load_state_dict(learner.actor.state_dict())
    return before, judge(learner.actor, task.evaluation(256), seed=5), actor


@pytest.fixture(scope="module")
def policy(trained, tmp_path_factory):
    actor = trained[2]
    spec = policy_spec(Ball(), actor, {})
    path = tmp_path_factory.mktemp("exported") / "policy.onnx"
    return export_onnx(actor, spec, path, reference=as_reference(actor))


def test_a_few_dozen_iterations_teach_the_ball_to_go_where_it_is_told(trained):
    before, after, _ = trained
    assert before.success_rate < 0.2
    assert after.success_rate > 0.9
    assert after.step_reward > 1.5 * before.step_reward


def test_the_contract_has_the_image_and_the_memory_and_nothing_privileged(policy):
    assert policy.inputs == {
        "image": (1, 8, 8),
        "velocity": (1,),
        "setpoint": (1,),
        "applied_action": (1,),
        "state": (16,),
    }


def test_every_port_computes_the_same_from_an_image_and_a_state(policy, need_tool):
    need_tool("cc")
    results = verify(policy, ("onnxruntime", "c_host"), random_rows=200)
    check(results, missing_is_failure=True)
    assert {(r.port, r.vectors) for r in results} == {
        ("onnxruntime", "self_test"),
        ("c_host", "self_test"),
        ("c_host", "random"),
    }


def test_the_emulated_board_computes_the_same_bits_as_the_host(policy, need_tool):
    for tool in ("cc", "arm-none-eabi-gcc", "qemu-system-arm"):
        need_tool(tool)
    results = verify(policy, ("c_host", "c_board"), random_rows=100)
    check(results, missing_is_failure=True)
    assert all(r.bit_identical for r in results)


def flight(infer, state):
    """(40, 8, 5) states of the task under a policy, always from one seed."""
    task, visited = Ball(BallConfig(num_envs=8)), []
    obs, _ = task.reset(3)
    for _ in range(40):
        channels = {c.name: obs[c.name].numpy() for c in task.actor_channels}
        action, state = infer(channels, obs["applied_action"].numpy(), state)
        obs, *_ = task.step(torch.from_numpy(action))
        visited.append(task.state.numpy())
    return np.stack(visited)


def test_the_exported_policy_flies_the_same_trajectory_as_torch(trained, policy):
    actor, runner = trained[2], Runner(policy)
    in_torch = flight(as_reference(actor), actor.initial_state(8).numpy())
    exported = flight(runner.infer, runner.reset(8))
    assert np.abs(in_torch[-2, :, 0] - in_torch[0, :, 0]).max() > 0.2
    assert np.abs(in_torch - exported).max() < 1e-4


def test_the_exported_policy_remembers_the_wind(policy):
    """After two seconds in a wind the same image, velocity and setpoint ask for another push."""
    runner = Runner(policy)
    pushes = []
    for wind in (-0.5, 0.5):
        task, state = Ball(BallConfig(num_envs=1)), runner.reset(1)
        task.reset(0)
        task.state = torch.tensor([[0.0, 0.0, wind, 0.0, 0.0]])
        obs = task.observe()
        for _ in range(39):
            channels = {c.name: obs[c.name].numpy() for c in task.actor_channels}
            action, state = runner.infer(channels, obs["applied_action"].numpy(), state)
            obs, *_ = task.step(torch.from_numpy(action))
        still = {"image": obs["image"].numpy(), "velocity": [[0.0]], "setpoint": [[0.0]]}
        pushes.append(float(runner.infer(still, [[0.0]], state)[0][0, 0]))
    assert pushes[0] > pushes[1] + 0.1


class ConvActor(Actor):
    """Looks at the image through a convolution, which is outside the operator profile."""

    def __init__(self, task: Ball) -> None:
        super().__init__(task, RECURRENT)
        self.conv = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, state):
        image = self.conv(x[:, :64].unflatten(1, (1, 8, 8))).flatten(1)
        return super().forward(torch.cat([image, x[:, 64:]], 1), state)

    def onnx(self, graph, inputs, applied_action, state):
        weights = [graph.constant(p.detach().numpy()) for p in (self.conv.weight, self.conv.bias)]
        image = graph.op_outside_profile("Conv", inputs["image"], *weights, shape=(1, 8, 8), pads=[1, 1, 1, 1])
        return super().onnx(graph, {**inputs, "image": image}, applied_action, state)


def test_a_convolution_runs_in_onnx_runtime_and_the_c_generator_names_its_node(tmp_path):
    actor = ConvActor(Ball())
    spec = policy_spec(Ball(), actor, {})
    policy = export_onnx(actor, spec, tmp_path / "conv.onnx", reference=as_reference(actor))
    with pytest.raises(ContractError, match=r"Conv_0.*not in the profile"):
        generate_firmware(policy, tmp_path / "firmware")
    in_runtime, in_c = verify(policy, ("onnxruntime", "c_host"), random_rows=10)
    assert (in_runtime.status, in_c.status) == ("passed", "failed")
    assert "Conv_0" in str(in_c)


def test_an_actor_that_names_a_privileged_channel_is_refused_at_construction():
    with pytest.raises(ContractError, match="true_state is privileged"):
        Actor(Ball(), RECURRENT, (Scale(Pick("image")), Scale(Pick("true_state", 2, 1))))


def test_privileged_channels_cannot_move_the_actor(trained, policy):
    actor, task = trained[2], Ball(BallConfig(num_envs=8))
    obs, state = task.observe(), actor.initial_state(8)
    told = obs.flat.clone()
    told[:, task.layout.offset["true_state"] :] = 100.0 * torch.randn(8, 3)
    for kind in (actor, Actor(task, RECURRENT, fused_slots=1)):
        assert torch.equal(torch.cat(kind(obs.flat, state), 1), torch.cat(kind(told, state), 1))
    with pytest.raises(ContractError, match="unknown: \\['true_state'\\]"):
        Runner(policy).infer({n: v.numpy() for n, v in obs.items()}, np.zeros((8, 1)), state.numpy())


def test_the_whole_way_on_the_command_line(ball_installed, tmp_path, capsys, need_tool):
    need_tool("cc")
    root = ["--root", str(tmp_path)]
    assert cli.main(["train", "ball", *SETTINGS.split(), "--num-envs", "64", "--json", *root]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["iterations"] == 40
    assert cli.main(["export", "ball", *root]) == 0
    assert cli.main(["verify", "ball", *root]) == 0
    assert cli.main(["explain", "ball", *root]) == 0
    assert "image" in capsys.readouterr().out
    run = RunFolder.latest("ball", tmp_path)
    task, actor = load_run(run)
    assert judge(actor, task.evaluation(256), seed=5).success_rate > 0.9
    assert list((run.exported / "firmware").rglob("policy.c"))
