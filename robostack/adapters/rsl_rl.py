"""A task as rsl_rl's VecEnv, and rsl_rl's PPO with the right value at a time limit.

    runner = OnPolicyRunner(RslRlEnv(task), ppo_config(), log_dir="logs/rsl_rl")
    runner.learn(300)

then `robostack import logs/rsl_rl/model_299.pt --task quadrotor`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robostack.adapters import named_extra
from robostack.adapters.groups import GroupedTask, Groups
from robostack.features import Feature
from robostack.task import Task

with named_extra():
    from rsl_rl.algorithms import PPO
    from rsl_rl.env import VecEnv
    from tensordict import TensorDict


class RslRlEnv(VecEnv):
    """Groups `policy` and `critic`; `extras` has `time_outs`, `final_obs` and `log`."""

    def __init__(self, task: Task, features: tuple[Feature, ...] = (), *, raw: bool = False) -> None:
        self.grouped = GroupedTask(task, features, raw=raw)
        self.task, self.cfg, self.device = task, task.config, task.device
        self.num_envs, self.num_actions = task.num_envs, task.action_size
        self.max_episode_length = task.max_episode_length

    @property
    def episode_length_buf(self) -> Tensor:
        """(num_envs,) steps of each episode so far; the runner may spread them out before it starts."""
        return self.task.episode_length_buf

    @episode_length_buf.setter
    def episode_length_buf(self, value: Tensor) -> None:
        self.task.episode_length_buf.copy_(value)

    def get_observations(self) -> TensorDict:
        return self._packed(self.grouped.groups)

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        stepped = self.grouped.step(actions)
        extras = {
            "time_outs": stepped.truncated,
            "final_obs": self._packed(stepped.final),
            "log": {f"/{name}": value for name, value in stepped.log.items()},
        }
        return self._packed(stepped.groups), stepped.reward, stepped.done.long(), extras

    def _packed(self, groups: Groups) -> TensorDict:
        return TensorDict(dict(groups), batch_size=[self.num_envs])


class FinalObsPPO(PPO):
    """rsl_rl's PPO, but an episode cut off by its time limit goes on with gamma V(what it ended on), where the original
    takes V of the observation one step before."""

    def process_env_step(self, obs: TensorDict, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        time_outs = extras["time_outs"].to(self.device)
        if time_outs.any():
            kept = self.critic.get_hidden_state()
            value = self.critic(extras["final_obs"].to(self.device)).detach().squeeze(1)
            self.critic.reset(hidden_state=kept)
            rewards = rewards + self.gamma * torch.where(time_outs, value, 0.0)
        super().process_env_step(obs, rewards, dones, {k: v for k, v in extras.items() if k != "time_outs"})


def ppo_config(
    hidden: tuple[int, ...] = (64, 64), steps: int = 24, activation: str = "tanh", init_std: float = 0.5
) -> dict[str, Any]:
    """A train_cfg for rsl_rl's OnPolicyRunner that fits these groups: the actor sees `policy`, the critic both."""
    net = {"class_name": "MLPModel", "hidden_dims": list(hidden), "activation": activation, "obs_normalization": True}
    gaussian = {"class_name": "GaussianDistribution", "init_std": init_std, "std_type": "log"}
    return {
        "num_steps_per_env": steps,
        "save_interval": 100,
        "obs_groups": {"actor": ["policy"], "critic": ["policy", "critic"]},
        "algorithm": {"class_name": f"{__name__}:FinalObsPPO", "entropy_coef": 0.0, "learning_rate": 1e-3},
        "actor": {**net, "distribution_cfg": gaussian},
        "critic": dict(net),
    }
