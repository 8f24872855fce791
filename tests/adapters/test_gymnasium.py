"""Claims: a task is a Gymnasium environment, by Gymnasium's own checker and wrappers, one or many at once."""

import sys
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import NormalizeReward, RecordEpisodeStatistics

from robostack.adapters.gymnasium import TaskEnv, TaskVectorEnv
from robostack.registry import MissingExtraError
from robostack.spec import ContractError


def one(task):
    from dataclasses import replace

    return type(task)(replace(task.config, num_envs=1))


@pytest.mark.parametrize("critic", [False, True])
@pytest.mark.parametrize("name", ["quadrotor", "ball"])
def test_gymnasiums_checker_finds_nothing_wrong(name, critic, request):
    env = TaskEnv(one(request.getfixturevalue(name)), critic=critic)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_env(env)
    ours = [str(w.message) for w in said if "infinity" not in str(w.message) and "spec" not in str(w.message)]
    assert ours == []  # features have no bounds, and an environment that is not registered has no spec


def test_an_episode_of_one_stays_over_and_shows_what_it_ended_on(ball):
    env = TaskEnv(one(ball))
    first, _ = env.reset(seed=0)
    for _ in range(9):
        assert env.step(np.zeros(1, np.float32))[2:4] == (False, False)
    obs, _, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
    assert (terminated, truncated) == (False, True)
    setpoint = [float(x[65]) for x in (first, obs, env.grouped.groups["policy"][0])]
    assert setpoint[0] == setpoint[1] != setpoint[2]  # the task's next episode has begun, this one shows its own
    with pytest.raises(ContractError, match="one environment, not 8"):
        TaskEnv(ball)


@pytest.mark.parametrize("critic", [False, True])
def test_the_vector_environment_keeps_what_episodes_ended_on_as_gymnasium_says(quadrotor, critic):
    env = TaskVectorEnv(quadrotor, critic=critic)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, info = env.reset(seed=1)
    assert obs in env.observation_space
    env.action_space.seed(0)
    ended = 0
    for _ in range(60):
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert obs in env.observation_space
        assert reward.shape == terminated.shape == truncated.shape == (16,)
        done = terminated | truncated
        assert ("final_obs" in info) == done.any()
        if done.any():
            ended += done.sum()
            assert (info["_final_obs"] == done).all()
            for i in range(16):
                assert (info["final_obs"][i] is not None) == done[i]
                if done[i]:
                    assert info["final_obs"][i] in env.single_observation_space
    assert ended >= 16


def test_one_seed_gives_one_run_to_the_bit(quadrotor):
    runs = []
    env = TaskVectorEnv(quadrotor)
    for _ in range(2):
        env.action_space.seed(7)
        rows = [env.reset(seed=5)[0]]
        rows += [env.step(env.action_space.sample())[0] for _ in range(60)]
        runs.append(np.stack(rows))
    assert (runs[0] == runs[1]).all()


def test_gymnasiums_vector_wrappers_take_it(ball):
    env = NormalizeReward(RecordEpisodeStatistics(TaskVectorEnv(ball)))
    env.reset(seed=0)
    lengths = []
    for _ in range(25):
        *_, info = env.step(env.action_space.sample())
        lengths += list(info["episode"]["l"][info["_episode"]]) if "episode" in info else []
    assert len(lengths) >= 16
    assert max(lengths) == 10


def test_a_few_updates_of_a_policy_gradient_on_it_change_the_policy_for_the_better(ball):
    """REINFORCE in twenty lines, on numpy in and out."""
    env = TaskVectorEnv(ball)
    net = torch.nn.Linear(env.single_observation_space.shape[0], 1)
    torch.nn.init.zeros_(net.weight)
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    obs, _ = env.reset(seed=0)
    returns = []
    for _ in range(40):
        logs, rewards = [], []
        for _ in range(10):
            policy = torch.distributions.Normal(net(torch.from_numpy(obs)), 0.5)
            action = policy.sample()
            logs.append(policy.log_prob(action).sum(1))
            obs, reward, *_ = env.step(action.numpy())
            rewards.append(torch.from_numpy(reward))
        to_go = torch.stack(rewards).flip(0).cumsum(0).flip(0)
        optimiser.zero_grad()
        (-(torch.stack(logs) * (to_go - to_go.mean(1, keepdim=True))).mean()).backward()
        optimiser.step()
        returns.append(torch.stack(rewards).sum(0).mean().item())
    assert net.weight.abs().max() > 0.05
    assert all(np.isfinite(returns))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "robostack.adapters.gymnasium")
    with pytest.raises(MissingExtraError, match=r"needs 'gymnasium': pip install 'robostack\[trainers\]'"):
        import robostack.adapters.gymnasium  # noqa: F401
    assert gymnasium
