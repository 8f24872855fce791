"""Claims: TD3's targets are those of its paper, and its policy climbs Q1."""

import numpy as np
import pytest
import torch

from robostack.learn.td3 import TD3
from robostack.nets.actor import ActorConfig
from robostack.spec import ContractError

CONFIG = TD3(iterations=10, steps=2, updates=4, batch_size=32, warmup=20, gamma=0.9, actor=ActorConfig(hidden=(16,)))


def mlp(x, layers, hidden, out):
    """Written out in numpy, double precision; `layers` are (weight in x out, bias)."""
    for weight, bias in layers[:-1]:
        x = hidden(x @ weight + bias)
    return out(x @ layers[-1][0] + layers[-1][1])


def numbers(*tensors):
    return [t.detach().double().numpy() for t in tensors]


def q_layers(critic, k):
    hidden = [numbers(w[k], b[k, 0]) for w, b in zip(critic.weight, critic.bias, strict=True)]
    return [*hidden, numbers(critic.out_weight[k].T, critic.out_bias[k])]


def actor_layers(actor):
    return [numbers(layer.weight.T, layer.bias) for layer in (*actor.hidden, actor.head)]


def test_targets_equal_those_computed_by_hand(learner):
    rows = learner._normalised(learner.replay.draw(4 * 32)).flatten(0, 1)
    rows[:5, -1] = 0.0  # terminated
    noise = torch.randn(128, 1).mul_(2.0).clamp_(-0.5, 0.5)
    _, _, _, critic, actor, reward, discount = numbers(*rows.split(learner.columns.sizes, -1))
    action = np.clip(mlp(actor, actor_layers(learner.target_actor), np.tanh, np.tanh) + noise.numpy(), -1.0, 1.0)
    x = np.concatenate([critic, action], -1)
    values = [mlp(x, q_layers(learner.target, k), lambda h: np.maximum(h, 0), lambda h: h)[:, 0] for k in (0, 1)]
    wanted = reward[:, 0] + discount[:, 0] * np.minimum(*values)
    assert learner.goals(rows, noise).numpy() == pytest.approx(wanted, abs=1e-5)
    assert wanted[:5] == pytest.approx(reward[:5, 0])


def test_the_policy_climbs_the_slope_of_q1(learner):
    """Finite differences, in double precision, along the gradient that is followed."""
    rows = learner._normalised(learner.replay.draw(4 * 32))[0]
    slopes = torch.autograd.grad(learner.policy_loss(rows), learner.actor_parameters)
    length = np.sqrt(sum(float(g.double().square().sum()) for g in slopes))
    critic, _, actor, *_ = numbers(*rows.split(learner.columns.sizes, -1))
    moves = {id(p): g.double().numpy() / length for p, g in zip(learner.actor_parameters, slopes, strict=True)}

    def loss(step):
        layers = [
            ((layer.weight.detach().double().numpy() + step * moves[id(layer.weight)]).T,
             layer.bias.detach().double().numpy() + step * moves[id(layer.bias)])
            for layer in (*learner.actor.hidden, learner.actor.head)
        ]  # fmt: skip
        x = np.concatenate([critic, mlp(actor, layers, np.tanh, np.tanh)], -1)
        return -mlp(x, q_layers(learner.critics, 0), lambda h: np.maximum(h, 0), lambda h: h).mean()

    assert (loss(1e-5) - loss(-1e-5)) / 2e-5 == pytest.approx(length, rel=1e-3)


def test_the_policy_and_the_targets_move_every_second_update(learner):
    steps = learner.critic_optimiser.steps.item(), learner.actor_optimiser.steps.item()
    slow = learner.target.out_bias.clone()
    learner.update()
    assert learner.critic_optimiser.steps.item() - steps[0] == 4
    assert learner.actor_optimiser.steps.item() - steps[1] == 2
    gap = (learner.target.out_bias - slow).abs().max()
    assert 0 < gap < 2.1 * CONFIG.target_rate * (learner.critics.out_bias - slow).abs().max()


def test_exploration_stays_within_the_actions_range(learner):
    with torch.no_grad():
        share = torch.cat([learner.explore(learner.features + 100.0) for _ in range(20)])
    assert share.abs().max() <= 1.0
    assert share.std() > 0.01


def test_updates_that_do_not_fit_the_delay_are_refused():
    with pytest.raises(ContractError, match="updates = 5: must be a multiple of policy_delay = 2"):
        TD3(updates=5)
