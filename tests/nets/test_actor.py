"""Claims: an actor computes the same from packed observations, from channels by name, and as ONNX."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from ball import Ball, BallConfig

from robostack.export.onnx import export_onnx
from robostack.features import Difference, FirstOrderLag, History, Integral, Pick, Scale
from robostack.learn.trained import as_reference, policy_spec
from robostack.nets.actor import Actor, ActorConfig
from robostack.runtime.runner import Runner
from robostack.spec import ContractError

REMEMBERING = (
    Scale(Pick("image", 24, 8)),
    Difference(Pick("velocity"), Pick("setpoint"), limit=0.5),
    Integral(Pick("velocity"), Pick("setpoint"), error_limit=0.3, limit=0.4),
    FirstOrderLag(Pick("applied_action"), 0.1, reset=0.2),
    History(Pick("applied_action"), 2),
)
SHAPES = [
    pytest.param(recurrent, normalise, features, id=f"gru{recurrent}-{normalise}-{len(features)}features")
    for recurrent in (0, 5)
    for normalise in (True, False)
    for features in ((), REMEMBERING)
]


def make(recurrent=5, normalise=True, features=(), rows=7, fused=0):
    """An actor with weights and moments of no special value, with a batch of observations and states."""
    torch.manual_seed(1)
    task = Ball(BallConfig(num_envs=rows))
    actor = Actor(task, ActorConfig((9, 8), recurrent, normalise), features, fused)
    with torch.no_grad():
        actor.head.weight.mul_(20.0)
        actor.normaliser.update(0.5 + torch.randn(100, actor.features.output_size))
    obs = task.observe()
    obs.flat.add_(0.5 * torch.randn_like(obs.flat))
    return actor, task, obs, actor.initial_state(rows) + 0.3 * torch.randn(rows, actor.state_size)


@pytest.mark.parametrize(("recurrent", "normalise", "features"), SHAPES)
def test_the_exported_graph_is_the_torch_actor(tmp_path, recurrent, normalise, features):
    actor, task, obs, state = make(recurrent, normalise, features)
    spec = policy_spec(task, actor, {})
    runner = Runner(export_onnx(actor, spec, tmp_path / "policy.onnx", reference=as_reference(actor)))
    channels = {c.name: obs[c.name].numpy() for c in task.actor_channels}
    memory = state.numpy() if actor.state_size else None
    action, following = runner.infer(channels, obs["applied_action"].numpy(), memory)
    with torch.no_grad():
        wanted, wanted_following = actor(obs.flat, state)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(action, wanted, atol=1e-5)
    if following is not None:
        np.testing.assert_allclose(following, wanted_following, atol=1e-5)


@pytest.mark.parametrize(("recurrent", "normalise", "features"), SHAPES)
def test_step_by_names_equals_forward_on_the_packed_row(recurrent, normalise, features):
    actor, _, obs, state = make(recurrent, normalise, features)
    for by_name, packed in zip(actor.step(obs, state), actor(obs.flat, state), strict=True):
        assert torch.equal(by_name, packed)


@pytest.mark.parametrize("recurrent", [0, 5])
def test_the_fused_features_give_the_same_action_and_gradient(recurrent):
    eager, _, obs, state = make(recurrent, features=REMEMBERING)
    fused, *_ = make(recurrent, features=REMEMBERING, fused=2)
    fused.load_state_dict(eager.state_dict())
    found = []
    for actor in (eager, fused):
        flat = obs.flat.clone().requires_grad_()
        action, following = actor(flat, state)
        gradient = torch.autograd.grad(action.sum() + following.square().sum(), flat)[0]
        found.append((action, following, gradient))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_within_a_window_the_action_is_the_same_and_weights_still_get_gradients():
    actor, _, obs, state = make()
    outside = actor(obs.flat, state)[0]
    with actor.window():
        inside = actor(obs.flat, state)[0]
        inside.sum().backward()
    torch.testing.assert_close(inside, outside)
    assert actor.hidden[0].weight.grad.abs().sum() > 0
    with torch.no_grad():
        actor.hidden[0].weight.zero_()
        assert not torch.allclose(actor(obs.flat, state)[0], outside)


def test_actions_stay_in_their_limits_however_large_the_network_shouts():
    actor, task, obs, state = make()
    with torch.no_grad():
        actor.head.weight.mul_(1e4)
        action, _ = actor(obs.flat, state)
    (limits,) = task.actions
    assert action.min() >= limits.low[0]
    assert action.max() <= limits.high[0]
    assert action.abs().max() > 2.9


def test_a_disabled_normaliser_adds_no_node(tmp_path):
    nodes = []
    for normalise in (True, False):
        actor, task, *_ = make(normalise=normalise)
        spec = policy_spec(task, actor, {})
        policy = export_onnx(actor, spec, tmp_path / "policy.onnx", reference=as_reference(actor))
        nodes.append([n.op_type for n in policy.model.graph.node])
    assert len(nodes[0]) == len(nodes[1]) + 2


def test_a_missing_channel_is_named_and_does_not_count_as_zero():
    actor, _, obs, state = make()
    with pytest.raises(ContractError, match="channel setpoint is missing"):
        actor.step({k: v for k, v in obs.items() if k != "setpoint"}, state)


@dataclass(frozen=True)
class Pair(Scale):
    """A feature that hides its channels in a tuple."""

    others: tuple[Pick, ...] = ()


def test_a_privileged_channel_is_refused_however_deep_it_hides():
    with pytest.raises(ContractError, match="true_state is privileged"):
        make(features=(Pair(Pick("velocity"), others=(Pick("setpoint"), Pick("true_state"))),))


def test_an_unknown_channel_and_an_empty_network_are_named():
    with pytest.raises(ContractError, match="no channel 'imag'; there are image, velocity, setpoint"):
        make(features=(Scale(Pick("imag")),))
    with pytest.raises(ContractError, match="hidden is empty"):
        Actor(Ball(), ActorConfig(hidden=()))


def test_an_actor_of_chosen_channels_sees_these_alone_and_its_contract_names_them(tmp_path):
    task = Ball(BallConfig(num_envs=3))
    actor = Actor(task, ActorConfig((8,), channels=("velocity", "setpoint")))
    obs = task.observe()
    with torch.no_grad():
        before = actor(obs.flat, actor.initial_state(3))[0]
        obs["image"].add_(1.0)
        obs["true_state"].add_(1.0)
        assert torch.equal(actor(obs.flat, actor.initial_state(3))[0], before)
        obs["velocity"].add_(1.0)
        assert not torch.equal(actor(obs.flat, actor.initial_state(3))[0], before)
    spec = policy_spec(task, actor, {})
    policy = export_onnx(actor, spec, tmp_path / "policy.onnx", reference=as_reference(actor))
    assert [c.name for c in policy.spec.observations] == ["velocity", "setpoint"]


@pytest.mark.parametrize(("name", "message"), [("true_state", "privileged"), ("speed", "there is no channel 'speed'")])
def test_a_channel_that_an_actor_may_not_choose_is_named(name, message):
    with pytest.raises(ContractError, match=message):
        Actor(Ball(BallConfig(num_envs=3)), ActorConfig(channels=("velocity", name)))


def test_the_parts_that_learners_call_make_up_the_whole():
    actor, _, obs, state = make(features=REMEMBERING)
    features, memory, hidden = actor.perceive(obs.flat, state)
    latent = actor.latent(features, hidden)
    action, following = actor(obs.flat, state)
    torch.testing.assert_close(actor.scale(actor.head(latent)), action)
    torch.testing.assert_close(torch.cat([memory, latent], -1), following)
    torch.testing.assert_close(actor.share(action), torch.tanh(actor.head(latent)))
