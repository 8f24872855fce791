"""Claims: judging is repeatable, is no part of training, and does not reward what is not finite."""

import math

import pytest
import torch
from ball import Ball, BallConfig

from robostack.learn.judge import judge
from robostack.learn.shac import SHAC, ShacLearner
from robostack.nets.actor import Actor, ActorConfig


class Global(Ball):
    """Draws from torch's global generator, as a careless task may."""

    def sense(self, state):
        torch.rand(3)
        return super().sense(state)


def trained(judged, task=Ball):
    torch.manual_seed(0)
    learner = ShacLearner(task(BallConfig(num_envs=8)), SHAC(iterations=4, horizon=5))
    evaluation = learner.task.evaluation(4)
    for _ in range(4):
        learner.iterate()
        if judged:
            judge(learner.actor, evaluation, seed=1)
    drawn = torch.rand(3)
    return torch.cat([p.flatten() for p in learner.actor.parameters()]), drawn


@pytest.mark.parametrize("task", [Ball, Global])
def test_judging_between_iterations_does_not_change_training(task):
    for judged, alone in zip(trained(True, task), trained(False, task), strict=True):
        assert torch.equal(judged, alone)


def test_one_policy_gets_one_judgement_however_often_it_is_asked():
    torch.manual_seed(0)
    task = Ball(BallConfig(num_envs=32))
    actor = Actor(task, ActorConfig((8,), 4))
    first = judge(actor, task, seed=1)
    task.step(torch.ones(32, 1))
    assert judge(actor, task, seed=1) == first
    assert judge(actor, task, seed=2) != first


class Breaking(Ball):
    """Its reward is NaN in the first environment from the third step on, and its end counts as a success."""

    def step(self, action):
        obs, reward, terminated, truncated, extras = super().step(action)
        reward[0] = torch.where(self.episode_length_buf[0] >= 3, math.nan, reward[0])
        return obs, reward, terminated, truncated, {**extras, "success": truncated}


def test_a_reward_that_is_not_finite_is_a_failure():
    task = Breaking(BallConfig(num_envs=4, wind_m_s2=0.0))
    verdict = judge(Actor(task, ActorConfig((8,))), task, seed=1)
    assert verdict.success_rate == 0.75
    assert math.isfinite(verdict.step_reward)


def test_only_the_first_episode_of_an_environment_counts():
    task = Ball(BallConfig(num_envs=16))
    actor = Actor(task, ActorConfig((8,)))
    with torch.no_grad():
        actor.head.bias.fill_(100.0)  # pushes every ball off the rail, from any start
    assert judge(actor, task, seed=1).success_rate == 0.0
