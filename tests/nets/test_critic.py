"""Claims: the critic sees exactly the channels that the task gives it."""

import pytest
import torch
from ball import Ball, BallConfig

from robostack.nets.critic import Critic, CriticConfig
from robostack.spec import ContractError


class Unlimited(Ball):
    critic_channels = ()


def seen(task: Ball) -> set[str]:
    """Channels whose change moves the value."""
    torch.manual_seed(0)
    critic, obs = Critic(task), task.observe()
    obs.flat.requires_grad_()
    critic(obs.flat).sum().backward()
    moved = obs.flat.grad.abs().sum(0) > 0
    spans = {n: (o, o + task.layout.channel[n].size) for n, o in task.layout.offset.items()}
    assert all(moved[a:b].all() or not moved[a:b].any() for a, b in spans.values())
    return {n for n, (a, _) in spans.items() if moved[a]}


def test_it_sees_the_critic_channels_and_no_other():
    assert seen(Ball()) == {"setpoint", "true_state"}


def test_without_a_list_it_sees_everything():
    assert seen(Unlimited()) == set(Ball().layout.channel)


def test_it_takes_windows_as_well_as_rows():
    critic, obs = Critic(Ball()), Ball().observe().flat
    window = torch.stack([obs, 2.0 * obs])
    torch.testing.assert_close(critic(window)[1], critic(2.0 * obs))
    assert critic(window).shape == (2, len(obs))


def test_a_critic_sees_the_channels_it_is_given_and_names_one_that_is_not_there():
    task = Ball(BallConfig(num_envs=3))
    critic = Critic(task, CriticConfig(channels=("velocity",)), outputs=2)
    x = task.observe().flat
    assert critic(x).shape == (3, 2)
    moved = x.clone()
    moved[:, -3:] += 1.0
    assert torch.equal(critic(moved), critic(x))
    with pytest.raises(ContractError, match="there is no channel 'speed'"):
        Critic(task, CriticConfig(channels=("speed",)))
