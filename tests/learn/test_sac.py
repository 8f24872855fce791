"""Claims: SAC's density is torch.distributions', its targets hold the entropy, its temperature finds the target."""

import math

import pytest
import torch
from ball import Ball, BallConfig
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from robostack.learn.sac import LOG_STD, SAC
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig

CONFIG = SAC(iterations=10, steps=2, updates=4, batch_size=32, warmup=20, gamma=0.9, actor=ActorConfig(hidden=(16,)))


def rows_of(learner):
    return learner._normalised(learner.replay.draw(4 * 32))[0]


def policy(learner, features):
    """The policy as torch.distributions has it, of normalised features."""
    latent = torch.tanh(learner.actor.hidden[0](features))
    mean, std = learner.actor.head(latent), learner.std_head(latent).clamp(*LOG_STD).exp()
    return mean, std, TransformedDistribution(Independent(Normal(mean, std), 1), [TanhTransform(cache_size=1)])


def test_the_log_density_is_that_of_a_squashed_gaussian(learner):
    features = 3.0 * torch.randn(200, learner.columns.actor)
    noise = torch.randn(200, 1)
    action, log_density = learner.sample(learner.actor.normalised_latent(features), noise)
    mean, std, distribution = policy(learner, features)
    raw = mean + std * noise
    distribution.transforms[0]._cached_x_y = raw, torch.tanh(raw)
    assert torch.allclose(action, torch.tanh(raw), atol=1e-5)
    assert torch.allclose(log_density, distribution.log_prob(torch.tanh(raw)), atol=1e-4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_saturated_action_has_a_finite_log_density(learner, sign):
    with torch.no_grad():
        learner.actor.head.bias.fill_(40.0 * sign)
        action, log_density = learner.sample(torch.zeros(1, 16), torch.zeros(1, 1))
    assert action.item() == sign
    # log(1 - tanh(x)^2) -> log 4 - 2 |x|
    std = learner.std_head.bias.clamp(*LOG_STD).item()
    assert log_density.item() == pytest.approx(-std - 0.5 * math.log(2 * math.pi) - math.log(4.0) + 80.0, rel=1e-4)


def test_targets_are_the_smaller_value_and_the_entropy(learner):
    rows, noise = rows_of(learner), torch.randn(32, 1)
    rows[:5, -1] = 0.0
    _, _, _, critic, actor, reward, discount = rows.split(learner.columns.sizes, -1)
    with torch.no_grad():
        mean, std, distribution = policy(learner, actor)
        action = torch.tanh(mean + std * noise)
        soft = learner.target(torch.cat([critic, action], -1)).min(0).values
        soft = soft - learner.log_alpha.exp() * distribution.log_prob(action)
        wanted = reward[:, 0] + discount[:, 0] * soft
    assert torch.allclose(learner.goals(rows, noise), wanted, atol=1e-4)
    assert torch.equal(learner.goals(rows, noise)[:5], reward[:5, 0])


def test_the_policys_gradient_is_the_slope_of_its_loss(learner):
    """Finite differences in double precision, with the temperature and the noise held."""
    rows, noise = rows_of(learner), torch.randn(32, 1)
    learner.actor.double(), learner.std_head.double(), learner.critics.double()
    rows, noise = rows.double(), noise.double()
    held = [p for p in learner.policy_parameters if p is not learner.log_alpha]
    slopes = torch.autograd.grad(learner.policy_loss(rows, noise)[0], held)
    length = math.sqrt(sum(g.square().sum().item() for g in slopes))

    @torch.no_grad()
    def loss(step):
        for p, g in zip(held, slopes, strict=True):
            p.add_(g, alpha=step / length)
        critic, _, actor, *_ = rows.split(learner.columns.sizes, -1)
        action, log_density = learner.sample(learner.actor.normalised_latent(actor), noise)
        value = learner.critics(torch.cat([critic, action], -1)).min(0).values
        for p, g in zip(held, slopes, strict=True):
            p.add_(g, alpha=-step / length)
        return (learner.log_alpha.exp() * log_density - value).mean().item()

    assert (loss(1e-5) - loss(-1e-5)) / 2e-5 == pytest.approx(length, rel=1e-4)


@pytest.mark.parametrize(("target", "rises"), [(5.0, True), (-20.0, False)])
def test_the_temperature_rises_where_entropy_is_wanting_and_falls_where_it_is_not(learner, target, rises):
    learner.target_entropy = target
    before = learner.log_alpha.item()
    for _ in range(10):
        learner.update()
    assert (learner.log_alpha.item() > before) == rises


def test_the_entropy_goes_to_its_target():
    torch.manual_seed(0)
    task = Ball(BallConfig(num_envs=16))
    task.reset(0)
    learner = SAC(
        iterations=90, steps=2, updates=8, batch_size=32, warmup=200, learning_rate=1e-2, gamma=0.5,
        target_entropy=0.2, initial_temperature=0.05,
        actor=ActorConfig(hidden=(16,), channels=("velocity", "setpoint")), critic=CriticConfig(hidden=(32,)),
    ).learner(task)  # fmt: skip
    entropy = [learner.iterate().get("entropy", 0.0) for _ in range(90)]
    assert sum(entropy[-20:]) / 20 == pytest.approx(0.2, abs=0.15)


def test_the_exported_actor_is_the_mean(learner):
    features, state = learner.task.observe().flat, learner.actor.initial_state(8)
    y, _, hidden = learner.actor.perceive(features, state)
    with torch.no_grad():
        mean = learner.sample(learner.actor.latent(y, hidden), torch.zeros(8, 1))[0]
        assert torch.allclose(learner.actor.share(learner.actor(features, state)[0]), mean, atol=1e-5)
