"""A task in the shape of Isaac Lab's DirectRLEnv, for code that is written against one.

Its order of a step is ours (robostack.task), its names too; quaternions are (x, y, z, w) from here on, as Isaac Lab has
them since 3.0. Isaac Lab's own wrappers ask for its class (isinstance): the trainers' adapters beside this file take
their place. The other way, an environment of Isaac Lab under our learners, is `isaac_lab_env`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor

from robostack.adapters import named_extra
from robostack.adapters.groups import GroupedTask, Groups, spaces
from robostack.features import Feature
from robostack.task import Task

with named_extra():
    from gymnasium.spaces import Dict
    from gymnasium.vector import AutoresetMode
    from gymnasium.vector.utils import batch_space


class DirectEnv:
    """Observations are a dict of `policy` and `critic`. `extras["final_obs"]` is there after a step that ended an
    episode and only then; its rows are valid where one did."""

    is_vector_env = True
    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": [None]}

    def __init__(self, task: Task, features: tuple[Feature, ...] = (), *, raw: bool = False) -> None:
        self.grouped = GroupedTask(task, features, raw=raw, quaternion="xyzw")
        self.task, self.num_envs, self.device = task, task.num_envs, task.device
        self.step_dt, self.max_episode_length = task.step_dt, task.max_episode_length
        self.max_episode_length_s = task.max_episode_length * task.step_dt
        policy, critic, self.single_action_space = spaces(self.grouped)
        self.single_observation_space = Dict({"policy": policy, "critic": critic})
        self.observation_space, self.state_space, self.action_space = (
            batch_space(space, self.num_envs) for space in (policy, critic, self.single_action_space)
        )
        self.cfg = SimpleNamespace(
            observation_space=self.grouped.policy_size,
            state_space=self.grouped.critic_size,
            action_space=self.grouped.action_size,
            episode_length_s=self.max_episode_length_s,
            compute_final_obs=True,
        )
        self.obs_buf: Groups = self.grouped.groups
        self.reward_buf = torch.zeros(self.num_envs, device=self.device)
        self.reset_terminated = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self.reset_time_outs = torch.zeros_like(self.reset_terminated)
        self.reset_buf = torch.zeros_like(self.reset_terminated)
        self.extras: dict[str, Any] = {}

    @property
    def unwrapped(self) -> DirectEnv:
        return self

    @property
    def episode_length_buf(self) -> Tensor:
        return self.task.episode_length_buf

    @episode_length_buf.setter
    def episode_length_buf(self, value: Tensor) -> None:
        self.task.episode_length_buf.copy_(value)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Groups, dict[str, Any]]:
        """Restarts every environment; there are no options."""
        self.obs_buf, self.extras = self.grouped.reset(seed), {}
        return self.obs_buf, self.extras

    def step(self, action: Tensor) -> tuple[Groups, Tensor, Tensor, Tensor, dict[str, Any]]:
        stepped = self.grouped.step(action)
        self.obs_buf, self.reward_buf = stepped.groups, stepped.reward
        self.reset_terminated, self.reset_time_outs = stepped.terminated, stepped.truncated
        self.reset_buf = stepped.done
        self.extras = {"log": stepped.log}
        if self.reset_buf.any():
            self.extras["final_obs"] = stepped.final
        return self.obs_buf, self.reward_buf, self.reset_terminated, self.reset_time_outs, self.extras

    def close(self) -> None:
        """Nothing to let go of."""
