"""Claims of SAC and TD3 alike: they learn without a gradient of the task, resume to the bit, remember what they saw,
and let nothing that is not finite into a network."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from ball import Ball, BallConfig
from resuming import assert_resumes_to_the_bit

from robostack.learn.judge import judge
from robostack.learn.learner import DivergedError
from robostack.learn.off_policy import OffPolicyLearner
from robostack.learn.sac import SAC
from robostack.learn.td3 import TD3
from robostack.learn.trained import export_actor
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig
from robostack.spec import ContractError

ACTOR = ActorConfig(hidden=(32, 32), channels=("velocity", "setpoint", "image"))
SHORT = {"iterations": 8, "steps": 2, "updates": 2, "batch_size": 16, "warmup": 20, "actor": ActorConfig(hidden=(8,))}
pytestmark = pytest.mark.parametrize("kind", [SAC, TD3])


def ball(task=Ball, **settings):
    torch.manual_seed(0)
    plant = task(BallConfig(**{"num_envs": 8, "episode_s": 0.5, **settings}))
    plant.reset(0)
    return plant


def test_it_learns_the_ball_from_an_image(kind):
    config = kind(
        iterations=60, steps=4, updates=16, batch_size=64, warmup=1000, gamma=0.95, target_rate=0.02, actor=ACTOR
    )
    learner = config.learner(ball(num_envs=32, episode_s=2.0))
    evaluation = learner.task.evaluation(256)
    before = judge(learner.actor, evaluation, 5)
    rewards = [learner.iterate()["reward"] for _ in range(60)]
    after = judge(learner.actor, evaluation, 5)
    assert after.success_rate > 0.9 > before.success_rate + 0.6
    assert sum(rewards[-10:]) > sum(rewards[:10]) + 2.0
    foretold, returns = expected_and_met(learner)
    assert torch.corrcoef(torch.stack([foretold, returns]))[0, 1] > 0.9


@torch.no_grad()
def expected_and_met(learner):
    """(num_envs,) of episodes from their start: what the critics expect, and the discounted return."""
    task, gamma = learner.task, learner.config.gamma
    obs, _ = task.reset(7)
    state, returns = learner.actor.initial_state(task.num_envs), torch.zeros(task.num_envs)
    foretold = learner.value(obs.flat)
    for t in range(task.max_episode_length):
        action, state = learner.actor(obs.flat, state)
        obs, reward, *_ = task.step(action)
        returns += gamma**t * reward
    return foretold, returns


def test_a_value_is_the_lower_one_of_what_the_exported_policy_does_and_of_the_tasks_own_reward_only(kind):
    learner = kind(**SHORT).learner(ball())
    for _ in range(4):
        learner.iterate()
    obs = learner.task.observe().flat
    with torch.no_grad():
        action, _ = learner.actor(obs, learner.memory)
        seen = learner.normaliser(obs[:, learner.index])
        first, second = learner.critics(torch.cat([seen, learner.actor.share(action)], -1))
    assert (first != second).all()
    torch.testing.assert_close(learner.value(obs), torch.minimum(first, second))
    learner.replay.reweigh({"near": 2.0})
    assert learner.value(obs) is None


def test_it_resumes_to_the_bit(kind, tmp_path, ball_installed, monkeypatch):
    config = kind(**SHORT, n_step=2, replay_size=60)  # the ring has gone round when it is stopped
    assert_resumes_to_the_bit(ball, config, OffPolicyLearner, 6, tmp_path, monkeypatch)


def test_it_remembers_where_an_episode_ended_and_not_where_the_next_began(kind):
    """What a step led to is `final_obs` at an end, and what the next step starts from elsewhere."""
    learner = kind(**SHORT).learner(ball(wind_m_s2=30.0))
    finals, step = [], learner.task.step

    def recorded(action):
        out = step(action)
        finals.append((out[2] | out[3], out[4]["final_obs"].flat[:, learner.index].clone()))
        return out

    learner.task.step = recorded
    for _ in range(8):
        learner.iterate()
    rows, _ = learner.replay.newest(16)
    before, _, _, after, _, _, discount = rows.split(learner.columns.sizes, -1)
    ended = torch.stack([done for done, _ in finals])
    assert 0 < (discount == 0).sum() < ended.sum()  # some fall off the rail, some run out of time
    assert torch.equal(after[ended], torch.stack([seen for _, seen in finals])[ended])
    assert torch.equal(after[:-1][~ended[:-1]], before[1:][~ended[:-1]])
    assert not torch.equal(after[:-1][ended[:-1]], before[1:][ended[:-1]])


def test_privileged_channels_reach_the_critics_and_never_the_action(kind, tmp_path):
    learner = kind(**SHORT).learner(ball())
    for _ in range(8):
        learner.iterate()
    obs = learner.task.observe()
    other = obs.flat.clone()
    other[:, obs.layout.indices(("true_state",))] += 5.0
    state = learner.actor.initial_state(8)
    assert torch.equal(learner.actor(obs.flat, state)[0], learner.actor(other, state)[0])
    value = lambda x: learner.critics(torch.cat([x[:, learner.index], torch.zeros(8, 1)], -1))  # noqa: E731
    assert not torch.allclose(value(obs.flat), value(other))
    spec = export_actor(learner.task, learner.actor, tmp_path / "policy.onnx").spec
    assert "true_state" not in {c.name for c in spec.observations}


class Poisoned(Ball):
    """One reward term becomes NaN in an environment when `broken`."""

    broken = False

    def advance(self, state, action):
        state, terms = super().advance(state, action)
        if self.broken:
            terms["effort"][3] = math.nan
        return state, terms


def test_a_reward_that_is_not_finite_ends_the_training_and_changes_no_weight(kind):
    learner = kind(**SHORT).learner(ball(Poisoned))
    for _ in range(4):
        learner.iterate()
    good = deepcopy([t.detach().clone() for t in learner.changed()])
    moments = learner.actor.normaliser.mean.clone()
    learner.task.broken = True
    with pytest.raises(DivergedError, match="iteration 4: reward term effort is not finite in 1 of 8 environments"):
        learner.iterate()
    assert all(torch.equal(a, b) for a, b in zip(learner.changed(), good, strict=True))
    assert torch.equal(learner.actor.normaliser.mean, moments)


def test_updates_that_diverge_are_undone_and_enough_of_them_end_the_training(kind):
    learner = kind(**SHORT).learner(ball())
    for _ in range(4):
        learner.iterate()
    good = [t.detach().clone() for t in learner.changed()]
    fit, calls = learner.fit_critics, []

    def spoil(rows, goal):
        calls.append(1)
        return fit(rows, goal * math.nan if len(calls) % 2 else goal)

    learner.fit_critics = spoil
    with pytest.raises(DivergedError, match="not finite for 21 updates in a row"):
        [learner.iterate() for _ in range(50)]
    assert all(torch.equal(a, b) for a, b in zip(learner.changed(), good, strict=True))


def test_one_bad_call_is_forgotten(kind):
    learner = kind(**SHORT).learner(ball())
    fit = learner.fit_critics
    for _ in range(4):
        learner.iterate()
    learner.fit_critics = lambda rows, goal: fit(rows, goal * math.inf)
    learner.iterate()
    learner.fit_critics = fit
    before = learner.actor.head.weight.clone()
    assert all(math.isfinite(v) for v in learner.iterate().values())
    assert not torch.equal(before, learner.actor.head.weight)


def test_a_curriculum_changes_what_is_remembered_and_what_comes(kind):
    learner = kind(**SHORT).learner(ball())
    learner.iterate()
    learner.replay.reweigh({"near": 0.0, "effort": 100.0})
    learner.iterate()
    rows, terms = learner.replay.newest(4)
    effort = terms[..., learner.replay.terms.index("effort")]
    assert torch.allclose(rows[..., -2], 100.0 * effort, atol=1e-5)


def test_no_more_is_kept_than_a_run_makes(kind):
    assert kind(**SHORT).learner(ball()).replay.slots == 8 * 2
    assert kind(**{**SHORT, "replay_size": 20}).learner(ball()).replay.slots == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"actor": ActorConfig(hidden=(8,), recurrent=4)}, "feed-forward actors only; PPO and SHAC"),
        ({"updates": 0}, "updates = 0: must be 1 at least"),
        ({"critic": CriticConfig(hidden=())}, "critic.hidden is empty"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(kind, settings, words):
    with pytest.raises(ContractError, match=words):
        kind(**settings)


def test_a_replay_that_does_not_fit_is_refused_before_training(kind):
    config = kind(**{**SHORT, "iterations": 10**12, "replay_size": 10**14})
    with pytest.raises(ContractError, match=r"GB are free on cpu; lower replay_size"):
        config.learner(ball())


def test_an_unknown_critic_channel_is_named(kind):
    with pytest.raises(ContractError, match="no channel 'wind'"):
        kind(**SHORT, critic=CriticConfig(channels=("wind",))).learner(ball())
    assert len(replace(kind(**SHORT), critic=CriticConfig(channels=("velocity",))).learner(ball()).index) == 1
