"""Claims: what only a simulator knows reaches a teacher and no export."""

import numpy as np
import pytest
import torch
from ball import Ball, BallConfig

from robostack import cli
from robostack.distill.aacd import AACD
from robostack.distill.dagger import Cloning, DAgger
from robostack.distill.teacher import TeacherRun
from robostack.learn.trained import as_reference, export_actor, policy_spec
from robostack.nets.actor import Actor, ActorConfig
from robostack.runtime.runner import Runner
from robostack.spec import ContractError


@pytest.mark.parametrize("kind", [Cloning, DAgger, AACD])
@pytest.mark.parametrize(
    ("student", "message"),
    [
        (ActorConfig(channels=("velocity", "true_state")), "true_state is privileged: an actor may not see it"),
        (ActorConfig(privileged=True), "leave actor.privileged off"),
    ],
)
def test_a_student_that_would_see_a_privileged_channel_is_refused(kind, student, message, expert):
    with pytest.raises(ContractError, match=message):
        kind(teacher=TeacherRun.of(expert), actor=student).learner(Ball())


def test_an_expert_sees_what_the_critic_sees_or_what_it_is_given():
    task = Ball()
    assert [c.name for c in Actor(task, ActorConfig(privileged=True)).channels] == ["setpoint", "true_state"]
    named = ActorConfig(privileged=True, channels=("true_state", "velocity"))
    assert [c.name for c in Actor(task, named).channels] == ["velocity", "true_state"]


def test_an_expert_is_not_exported_and_the_refusal_says_what_is(expert, capsys):
    with pytest.raises(ContractError, match=r"sees true_state, which no machine measures.*robostack distill RUN"):
        policy_spec(Ball(), Actor(Ball(), ActorConfig(privileged=True)), {})
    assert cli.main(["export", str(expert.path)]) == 1
    assert "robostack distill RUN" in capsys.readouterr().err
    assert not expert.policy.exists()


def test_privileged_channels_cannot_change_an_exported_action(expert, tmp_path):
    task = Ball(BallConfig(num_envs=32))
    config = DAgger(TeacherRun.of(expert), iterations=3, horizon=8, actor=ActorConfig((8,), recurrent=4))
    learner = config.learner(task)
    for _ in range(3):
        learner.iterate()
    actor = learner.actor.eval()
    obs, state = task.observe(), learner.state
    other = task.observe()
    other.flat.copy_(obs.flat)
    other["true_state"].add_(10.0 * torch.randn_like(other["true_state"]))
    with torch.no_grad():
        assert not torch.equal(learner.teacher(obs.flat, state[:, :0])[0], learner.teacher(other.flat, state[:, :0])[0])
        assert torch.equal(actor(obs.flat, state)[0], actor(other.flat, state)[0])
    policy = export_actor(task, actor, tmp_path / "policy.onnx")
    assert "true_state" not in {value.name for value in policy.model.graph.input}
    acted = []
    for seen in (obs, other):
        channels = {name: seen[name].numpy() for name in seen if name != "applied_action"}
        given = {c.name: channels[c.name] for c in policy.spec.observations}
        acted.append(Runner(policy).infer(given, seen["applied_action"].numpy(), state.numpy())[0])
        reference = as_reference(actor)(channels, seen["applied_action"].numpy(), state.numpy())[0]
        np.testing.assert_allclose(acted[-1], reference, atol=1e-5)
    assert np.array_equal(*acted)
