"""Claims: SHAC follows the gradient of what it says it maximises, and its critic is fitted to TD(lambda)."""

import math
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from ball import Ball, BallConfig

from robostack.learn.judge import judge
from robostack.learn.learner import DivergedError
from robostack.learn.shac import SHAC, ShacLearner
from robostack.nets.actor import ActorConfig

SMALL = SHAC(iterations=40, horizon=10, normaliser_iterations=5, actor=ActorConfig(hidden=(16,), recurrent=4))


def learner(config=SMALL, task=Ball, **settings):
    torch.manual_seed(0)
    plant = task(BallConfig(**{"num_envs": 16, **settings}))
    plant.reset(0)
    return ShacLearner(plant, config)


def recorded(shac):
    """Keeps what the next window gives: obs (H+1, N, size), reward and alive (H, N)."""
    window, kept = shac.window, {"obs": [], "reward": [], "alive": []}
    begin, step = window.begin, window.step

    def new_begin():
        obs = begin()
        kept["obs"].append(obs.flat.detach().clone())
        return obs

    def new_step(action):
        obs, reward, alive = step(action)
        kept["obs"].append(obs.flat.detach().clone())
        kept["reward"].append(reward.detach().clone())
        kept["alive"].append(alive.clone())
        return obs, reward, alive

    window.begin, window.step = new_begin, new_step
    return kept


class Noiseless(Ball):
    """So that one window can be flown twice."""

    def sense(self, state):
        self._generator.manual_seed(1)
        return super().sense(state)


def test_the_update_follows_the_gradient_of_the_discounted_return():
    """Finite differences, in double precision, along the gradient that the learner takes."""
    shac = learner(replace(SMALL, gamma=0.9, gradient_clip=1e9), Noiseless)
    task, actor, clean = shac.task, shac.actor, deepcopy(shac.actor)
    state = task.state.clone()
    shac.iterate()
    gradient = [p.grad.double() for p in actor.parameters()]
    length = math.sqrt(sum(float(g.square().sum()) for g in gradient))

    def loss(step):
        moved = deepcopy(clean).double()
        with torch.no_grad():
            for p, g in zip(moved.parameters(), gradient, strict=True):
                p.add_(g / length, alpha=step)
            world, memory, total = state.double(), torch.zeros(16, 4, dtype=torch.float64), 0.0
            moved.features._fused = None
            alive = torch.ones(16, dtype=torch.bool)
            for t in range(10):
                action, memory = moved(task.sense(world).flat, memory)
                world, terms = task.advance(world, action)
                reward = sum(terms.values())
                total = total - 0.9**t * float(reward[alive].sum()) / (16 * 10)
                alive &= ~task.gone(world)
        return total

    slope = (loss(1e-4) - loss(-1e-4)) / 2e-4
    assert slope == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_the_critic_is_fitted_to_td_lambda_targets(lam):
    config = replace(SMALL, gamma=0.9, critic=True, critic_lambda=lam, critic_updates=1, critic_warmup=0)
    shac = learner(config)
    shac.iterate()
    kept, critic, target = recorded(shac), deepcopy(shac.critic), deepcopy(shac.target)
    loss = shac.iterate()["critic_loss"]
    obs, reward = torch.stack(kept["obs"]), torch.stack(kept["reward"]).double().numpy()
    assert torch.stack(kept["alive"]).all()
    critic.normaliser.update(obs[..., critic.index])
    target.normaliser.load_state_dict(critic.normaliser.state_dict())
    with torch.no_grad():
        value, guess = target(obs).double().numpy(), critic(obs[:-1]).double().numpy()
    assert loss == pytest.approx(np.mean((guess - slow_targets(reward, value, 0.9, lam)) ** 2), rel=1e-4)


def test_td_lambda_targets_end_with_the_episode():
    config = replace(SMALL, gamma=0.9, critic=True, critic_updates=1, critic_warmup=0)
    shac = learner(config, wind_m_s2=30.0)
    kept, critic, target = recorded(shac), deepcopy(shac.critic), deepcopy(shac.target)
    loss = shac.iterate()["critic_loss"]
    obs, reward = torch.stack(kept["obs"]), torch.stack(kept["reward"]).double().numpy()
    alive = torch.stack(kept["alive"]).numpy()
    assert 0.1 < alive[-1].mean() < 0.9
    critic.normaliser.update(obs[..., critic.index])
    target.normaliser.load_state_dict(critic.normaliser.state_dict())
    with torch.no_grad():
        value, guess = target(obs).double().numpy(), critic(obs[:-1]).double().numpy()
    errors = []
    for env in range(16):
        steps = min(10, alive[:, env].sum() + 1)  # the step that ends it counts, nothing after it does
        ahead = value[: steps + 1, env : env + 1].copy()
        ahead[-1] *= alive[steps - 1, env]
        wanted = slow_targets(reward[:steps, env : env + 1], ahead, 0.9, config.critic_lambda)
        errors += list((guess[:steps, env] - wanted[:, 0]) ** 2)
    assert loss == pytest.approx(np.mean(errors), rel=1e-4)


def slow_targets(reward, value, gamma, lam):
    """Weighted n-step returns, written out: (1 - lam) sum_n lam^(n-1) G_n, the longest with what is left."""
    horizon, targets = len(reward), np.zeros_like(reward)
    for t in range(horizon):
        longest = horizon - t
        for n in range(1, longest + 1):
            rewards = sum(gamma**k * reward[t + k] for k in range(n))
            weight = lam ** (n - 1) * (1.0 if n == longest else 1.0 - lam)
            targets[t] += weight * (rewards + gamma**n * value[t + n])
    return targets


def test_with_a_privileged_critic_it_learns_too():
    shac = learner(replace(SMALL, gamma=0.95, critic=True, critic_warmup=3), num_envs=64)
    evaluation = shac.task.evaluation(256)
    before = judge(shac.actor, evaluation, 5)
    losses = [shac.iterate()["critic_loss"] for _ in range(40)]
    assert judge(shac.actor, evaluation, 5).score > before.score + 0.3
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_a_policys_memory_starts_anew_where_an_episode_does_and_only_there():
    shac = learner(num_envs=8)
    shac.iterate()
    shac.state.fill_(0.5)
    shac.task.episode_length_buf[:3] = shac.task.max_episode_length
    given = []
    forward = shac.actor.forward
    shac.actor.forward = lambda x, state: (given.append(state.clone()), forward(x, state))[1]
    shac.iterate()
    assert (given[0][:3] == 0.0).all()
    assert (given[0][3:] == 0.5).all()


class Poisoned(Ball):
    """One reward term becomes NaN when `broken`."""

    broken = False

    def advance(self, state, action):
        state, terms = super().advance(state, action)
        if self.broken:
            terms["effort"] = terms["effort"] * math.nan
        return state, terms


def test_updates_that_are_not_finite_are_left_out_and_enough_of_them_end_the_training():
    shac = learner(task=Poisoned)
    shac.iterate()
    good = deepcopy(shac.actor.state_dict())
    shac.task.broken = True
    with pytest.raises(DivergedError, match="not finite"):
        [shac.iterate() for _ in range(50)]
    parameters = dict(shac.actor.named_parameters())
    assert all(torch.equal(parameters[k], good[k]) for k in parameters)


def test_training_recovers_from_a_few_bad_updates():
    shac = learner(task=Poisoned)
    for broken in (False, True, True, False):
        shac.task.broken = broken
        before = deepcopy(shac.actor.head.weight)
        shac.iterate()
        assert torch.equal(before, shac.actor.head.weight) == broken


@pytest.mark.parametrize("critic", [False, True])
def test_a_state_that_is_not_finite_does_not_outlive_its_window(critic):
    shac = learner(replace(SMALL, critic=critic))
    shac.iterate()
    window_step = shac.window.step

    def spoil(action):
        shac.window._state = shac.window._state.clone()
        shac.window._state[0, 1] = math.nan
        return window_step(action)

    shac.window.step = spoil
    shac.iterate()
    shac.window.step = window_step
    before = deepcopy(shac.actor.head.weight)
    assert all(math.isfinite(v) for v in shac.iterate().values())
    assert not torch.equal(before, shac.actor.head.weight)
