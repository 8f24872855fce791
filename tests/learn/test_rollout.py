"""Claims: a rollout holds what happened, goes on where the last one ended, and credits each step what followed it."""

import numpy as np
import pytest
import torch
from ball import Ball, BallConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from robostack.features import FirstOrderLag, Pick, Scale
from robostack.learn.rollout import Rollout, gae
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.critic import critic_index
from robostack.spec import ContractError


class Remembering(Ball):
    """Its features remember."""

    features = (Scale(Pick("image")), FirstOrderLag(Pick("velocity"), 0.2, reset=0.3), Scale(Pick("setpoint")))


def rollout(steps=12, terms=(), recurrent=4, task=Remembering, **settings):
    torch.manual_seed(0)
    plant = task(BallConfig(**{"num_envs": 6, "episode_s": 0.4, **settings}))
    actor = Actor(plant, ActorConfig(hidden=(8,), recurrent=recurrent))
    return Rollout(plant, actor, critic_index(plant, ()), steps, terms)


def slow_advantages(reward, value, ahead, ended, gamma, lam):
    """sum_k (gamma lam)^k delta_{t+k}, written out."""
    found = np.zeros_like(reward)
    for t, n in np.ndindex(reward.shape[:2]):
        for k in range(t, len(reward)):
            delta = reward[k, n] + gamma * ahead[k, n] - value[k, n]
            found[t, n] += (gamma * lam) ** (k - t) * delta
            if ended[k, n]:
                break
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.6, 1.0]),
    st.sampled_from([0.0, 0.7, 1.0]),
    st.floats(0.0, 1.0),
)
def test_advantages_are_the_discounted_sum_of_errors_up_to_the_episodes_end(seed, steps, gamma, lam, share):
    random = np.random.default_rng(seed)
    reward, value, ahead = random.normal(size=(3, steps, 4, 2))
    ended = random.random((steps, 4)) < share
    found = gae(*(torch.from_numpy(v) for v in (reward, value, ahead, ended)), gamma, lam)
    np.testing.assert_allclose(found.numpy(), slow_advantages(reward, value, ahead, ended, gamma, lam), atol=1e-12)


def test_nothing_follows_a_termination_and_what_a_time_out_cut_off_follows_it():
    held = rollout(steps=3)
    value = torch.arange(4 * 6 * 1.0).reshape(4, 6, 1)
    held.terminated[0, 1] = held.truncated[1, 2] = held.terminated[2, 3] = held.truncated[2, 3] = True
    ahead = held.ahead(value, torch.tensor([[-7.0]]))
    expected = value[1:].clone()
    expected[0, 1], expected[1, 2], expected[2, 3] = 0.0, -7.0, 0.0
    assert torch.equal(ahead, expected)


@pytest.mark.parametrize("recurrent", [0, 4])
def test_what_was_explored_is_the_policy_of_many_steps_at_once_plus_its_noise(recurrent):
    """So that stepping and learning see one policy: features that remember, units, and where both start anew."""
    held, std = rollout(recurrent=recurrent), torch.tensor([0.7])
    with torch.no_grad():
        held.actor.head.weight.mul_(20.0)
    for _ in range(2):
        held.collect(std)
        assert held.begins[1:].any()
        mean = held.actor.head(held.actor.unroll(held.features, held.units, held.begins))
        torch.testing.assert_close(mean + std * held.noise, held.explored, atol=1e-5, rtol=1e-5)


def test_a_gradient_through_a_rollout_ends_where_an_episode_begins():
    held = rollout()
    held.collect(torch.ones(1))
    features = held.features.clone().requires_grad_()
    latent = held.actor.unroll(features, held.units, held.begins)
    first = int(held.begins[:, 0].nonzero()[0])
    latent[first, 0].sum().backward()
    reached = features.grad[:, 0].abs().sum(-1) > 0
    assert reached[first]
    assert not reached[:first].any()


def test_the_next_rollout_goes_on_where_the_last_one_ended():
    held = rollout()
    held.collect(torch.ones(1))
    last, state = held.seen[-1].clone(), held.state.clone()
    held.collect(torch.ones(1))
    assert torch.equal(held.seen[0], last)
    assert torch.equal(held.units, state[:, 1:])


def test_memory_starts_anew_with_an_episode_and_only_there():
    held = rollout(steps=8)
    held.task.episode_length_buf[:3] = 4  # of 8 steps: these begin anew in the middle, the others at the very end
    held.collect(torch.ones(1))
    begun = (held.terminated | held.truncated)[-1]
    fresh = (held.state == held.initial).all(-1)
    assert torch.equal(fresh, begun)
    assert begun[3:].all()
    assert not begun[:3].all()


def test_the_end_of_an_episode_is_kept_as_it_was_before_its_reset():
    held = rollout(wind_m_s2=60.0)
    held.collect(torch.ones(1))
    assert held.terminated.any()
    position = held.final[..., held.task.layout.channel["setpoint"].size]  # critic channels: setpoint, true_state
    assert (position[held.terminated].abs() >= 1.2).all()
    assert (held.seen[1:][held.terminated][:, 1].abs() < 1.2).all()


def test_reward_terms_are_kept_by_name_and_an_unknown_one_is_named():
    whole, parts = rollout(), rollout(terms=("effort", "near"))
    for held in (whole, parts):
        torch.manual_seed(1)
        held.collect(torch.ones(1))
    torch.testing.assert_close(parts.reward.sum(-1, keepdim=True), whole.reward)
    assert (parts.reward[..., 0] <= 0.0).all()
    with pytest.raises(ContractError, match=r"ball has no reward term 'speed'; there are near, effort"):
        rollout(terms=("speed",)).collect(torch.ones(1))
