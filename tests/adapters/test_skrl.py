"""Claims: skrl's PPO trains on our tasks with an asymmetric critic, and bootstraps from what an episode ended on."""

import pytest
import torch
from skrl.agents.torch.ppo import PPO_CFG
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from skrl.trainers.torch import SequentialTrainer
from torch import nn

from robostack.adapters.imported import ImportedActor, read_network
from robostack.adapters.skrl import FinalObsPPO, SkrlEnv


class Policy(GaussianMixin, Model):
    def __init__(self, env):
        Model.__init__(self, observation_space=env.observation_space, action_space=env.action_space, device="cpu")
        GaussianMixin.__init__(self)
        self.net = nn.Sequential(nn.Linear(self.num_observations, 32), nn.ELU(), nn.Linear(32, self.num_actions))
        self.log_std = nn.Parameter(torch.full((self.num_actions,), -0.7))

    def compute(self, inputs, role):
        return self.net(inputs["observations"]), {"log_std": self.log_std}


class Value(DeterministicMixin, Model):
    def __init__(self, env):
        spaces = {"observation_space": env.observation_space, "state_space": env.state_space}
        Model.__init__(self, **spaces, action_space=env.action_space, device="cpu")
        DeterministicMixin.__init__(self)
        self.net = nn.Sequential(nn.Linear(self.num_states, 32), nn.ELU(), nn.Linear(32, 1))

    def compute(self, inputs, role):
        return self.net(inputs["states"]), {}


def agent_on(env, folder, rollouts=16):
    experiment = {"directory": str(folder), "write_interval": 0, "checkpoint_interval": 0}
    return FinalObsPPO(
        models={"policy": Policy(env), "value": Value(env)},
        memory=RandomMemory(memory_size=rollouts, num_envs=env.num_envs, device="cpu"),
        observation_space=env.observation_space,
        state_space=env.state_space,
        action_space=env.action_space,
        device="cpu",
        cfg=PPO_CFG(rollouts=rollouts, time_limit_bootstrap=True, experiment=experiment),
    )


@pytest.mark.parametrize("name", ["quadrotor", "ball"])
def test_a_few_updates_change_both_networks_and_the_policy_can_be_imported(name, request, tmp_path):
    task = request.getfixturevalue(name)
    env = SkrlEnv(task)
    agent = agent_on(env, tmp_path)
    before = {k: [p.clone() for p in m.parameters()] for k, m in agent.models.items()}
    trainer = {"timesteps": 48, "headless": True, "disable_progressbar": True, "close_environment_at_exit": False}
    SequentialTrainer(env=env, agents=agent, cfg=trainer).train()
    for name_, model in agent.models.items():
        now = list(model.parameters())
        assert any(not torch.equal(a, b) for a, b in zip(before[name_], now, strict=True))
        assert all(p.isfinite().all() for p in now)
    policy = agent.models["policy"]
    torch.save(policy.state_dict(), tmp_path / "policy.pt")
    actor = ImportedActor(task, read_network(tmp_path / "policy.pt", "elu", layers=("net.",)))
    obs = task.observe()
    seen, _ = env.grouped._see(obs, env.grouped._reset_state)
    share = policy.net(seen["policy"]).clamp(-1, 1)
    action, _ = actor(obs.flat, actor.initial_state(task.num_envs))
    torch.testing.assert_close(action, actor.low + actor.half_range * (1 + share))


def test_at_a_time_limit_the_value_is_that_of_what_the_episode_ended_on(ball, tmp_path):
    env = SkrlEnv(ball)
    agent = agent_on(env, tmp_path)
    agent.init()
    agent.enable_training_mode(True)
    obs, _ = env.reset()
    states = env.state()
    for t in range(10):
        with torch.no_grad():
            actions, _ = agent.act(obs, states, timestep=t, timesteps=10)
        following, reward, terminated, truncated, infos = env.step(actions)
        given = reward.clone()
        agent.record_transition(
            observations=obs, states=states, actions=actions, rewards=reward, next_observations=following,
            next_states=env.state(), terminated=terminated, truncated=truncated, infos=infos, timestep=t, timesteps=10,
        )  # fmt: skip
        obs, states = following, env.state()
    assert truncated.any()
    value = agent.value.net(infos["final_states"])
    wanted = torch.where(truncated, given + 0.99 * value, given)
    torch.testing.assert_close(agent.memory.get_tensor_by_name("rewards")[9], wanted)
    assert torch.equal(agent._current_next_states, states)
