"""Claims: the trend network is TBSAC's convolutions, sees its channel alone, and is the same in torch, ONNX and C."""

import numpy as np
import pytest
import torch
from ball import Ball, BallConfig
from torch.nn.functional import conv2d

from robostack.export.host import HostPolicy
from robostack.learn.sac import SAC
from robostack.learn.trained import export_actor
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.trend import TrendConfig, TrendConvolution
from robostack.runtime.runner import Runner

SEEN = TrendConfig("image", gain=2.0, filters=2)


def test_it_is_a_convolution_of_each_width_and_learns_no_more_than_their_filters():
    torch.manual_seed(0)
    layer, x = TrendConvolution(10, TrendConfig("bpm_position")), torch.randn(5, 30)
    with torch.no_grad():
        layer.offset.normal_()
    taps = [t.view(4, 1, 3, w) for t, w in zip(layer.taps.split([12, 24, 36]), (1, 2, 3), strict=True)]
    pairs = zip(taps, layer.offset.split(4), strict=True)
    each = [conv2d(x.view(5, 1, 3, 10), tap, offset)[:, :, 0].mT.flatten(1) for tap, offset in pairs]
    wanted, found = torch.cat(each, 1), layer(x)
    torch.testing.assert_close(found, wanted)
    assert found.shape == (5, layer.out_features) and layer.out_features == 4 * (10 + 9 + 8)
    learned, along = tuple(layer.parameters()), torch.randn(5, layer.out_features)
    assert sum(p.numel() for p in learned) == 4 * 3 * (1 + 2 + 3) + 12
    slopes = (torch.autograd.grad((y * along).sum(), learned, retain_graph=True) for y in (found, wanted))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def trained():
    """A learner that has moved every weight, and its task."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    task = Ball(BallConfig(num_envs=8, episode_s=0.5))
    learner = SAC(
        iterations=6, steps=2, updates=2, batch_size=16, warmup=20, learning_rate=1e-2,
        actor=ActorConfig(hidden=(8,), trend=SEEN),
    ).learner(task)  # fmt: skip
    before = learner.actor.hidden[0].taps.detach().clone()
    for _ in range(6):
        learner.iterate()
    assert not torch.equal(before, learner.actor.hidden[0].taps)
    return learner


@pytest.mark.parametrize(("port", "within"), [(Runner, 1e-5), (HostPolicy, 1e-4)])
def test_the_exported_file_and_its_c_follow_the_trend_as_the_actor_does(trained, tmp_path, port, within):
    actor, task = trained.actor, trained.task
    policy = export_actor(task, actor, tmp_path / "policy.onnx")
    other = port(policy)
    assert [c.name for c in policy.spec.observations] == ["image"]
    obs, _ = task.reset(3)
    state = actor.initial_state(8)
    memory, actions = state.numpy(), []
    for _ in range(4):
        image, applied = obs["image"].numpy().copy(), obs["applied_action"].numpy().copy()
        with torch.no_grad():
            action, state = actor(obs.flat, state)
        found, memory = other.infer({"image": image}, applied, memory)
        np.testing.assert_allclose(found, action, atol=6.0 * within)
        np.testing.assert_allclose(memory, state, atol=1e-5)
        actions.append(action)
        obs = task.step(action)[0]
    assert torch.stack(actions).std() > 0.02


def test_it_sees_its_channel_alone(trained):
    obs, actor = trained.task.observe(), trained.actor
    before = actor(obs.flat, actor.initial_state(8))[0]
    for name in ("velocity", "setpoint", "applied_action", "true_state"):
        obs[name].add_(1.0)
    assert torch.equal(actor(obs.flat, actor.initial_state(8))[0], before)
    obs["image"].mul_(2.0)
    assert not torch.equal(actor(obs.flat, actor.initial_state(8))[0], before)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TrendConfig(first="velocity"), "trend.first = 'velocity' .* trend.channel"),
        (lambda: TrendConfig("image", filters=0), "0 filters"),
        (lambda: TrendConfig("image", widths=()), r"widths \(\)"),
        (lambda: ActorConfig(trend=SEEN, channels=("velocity",)), "sees trend.channel alone"),
        (lambda: Actor(Ball(), ActorConfig(trend=TrendConfig("velocity"))), "velocity has 1 elements only"),
        (lambda: Actor(Ball(), ActorConfig(trend=TrendConfig("speed"))), "trend: there is no channel 'speed'"),
        (lambda: Actor(Ball(), ActorConfig(trend=TrendConfig("true_state"))), "trend: true_state is privileged"),
        (lambda: Actor(Ball(), ActorConfig(trend=TrendConfig("image", "velocity"))), "sizes differ"),
    ],
)
def test_a_trend_network_that_cannot_be_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
