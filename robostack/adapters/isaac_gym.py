"""A task in the shape of IsaacGymEnvs' VecTask, its late autoreset said aloud.

There an episode that ends is reset inside the *next* step. So the observation of the step that ends it is its last, and
the transition after it joins two episodes and means nothing: `extras["reset_step"]` marks it, its reward is zero, and
its action is not used (the actuators get the middle of their range). With `autoreset="same_step"` there is no such
transition: the observation is the new episode's, and `extras["final_obs"]` has what the old one ended on.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from robostack.adapters.groups import GroupedTask, Groups, spaces
from robostack.features import Feature
from robostack.task import Task


class VecTask:
    """`step` gives {"obs", "states"}, reward, reset (long) and extras with `time_outs`. Every buffer that `reset` shows
    is zero until the first step, which resets all environments; `reset` itself resets nothing. Quaternions are
    (x, y, z, w)."""

    def __init__(
        self,
        task: Task,
        features: tuple[Feature, ...] = (),
        *,
        raw: bool = False,
        autoreset: Literal["late", "same_step"] = "late",
        clip_observations: float = math.inf,
    ) -> None:
        self.grouped = GroupedTask(task, features, raw=raw, quaternion="xyzw")
        self.task, self.num_envs, self.autoreset = task, task.num_envs, autoreset
        self.device = self.rl_device = str(task.device)
        self.num_obs = self.num_observations = self.grouped.policy_size
        self.num_states, self.num_acts = self.grouped.critic_size, self.grouped.action_size
        self.num_actions, self.num_agents = self.num_acts, 1
        self.max_episode_length, self.clip_obs, self.clip_actions = task.max_episode_length, clip_observations, 1.0
        zeros = torch.zeros(self.num_envs, device=task.device)
        self.obs_buf = zeros.new_zeros(self.num_envs, self.num_obs)
        self.states_buf = zeros.new_zeros(self.num_envs, self.num_states)
        self.rew_buf = zeros
        self.reset_buf = torch.ones(self.num_envs, dtype=torch.long, device=task.device)
        self.timeout_buf = torch.zeros_like(self.reset_buf)
        self.extras: dict[str, Any] = {}

    @property
    def observation_space(self) -> Any:
        return spaces(self.grouped)[0]

    @property
    def state_space(self) -> Any:
        return spaces(self.grouped)[1]

    @property
    def action_space(self) -> Any:
        return spaces(self.grouped)[2]

    @property
    def progress_buf(self) -> Tensor:
        """(num_envs,) steps of each episode so far."""
        return self.task.episode_length_buf

    def reset(self) -> dict[str, Tensor]:
        """The buffers as they are."""
        return {"obs": self._clipped(self.obs_buf), "states": self._clipped(self.states_buf)}

    def step(self, actions: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor, dict[str, Any]]:
        begins = self.reset_buf.bool()
        if self.autoreset == "late":
            actions = torch.where(begins[:, None], 0.0, actions)
        stepped = self.grouped.step(actions)
        shown: Groups = stepped.groups
        self.rew_buf, self.extras = stepped.reward, {}
        if self.autoreset == "late":
            done = stepped.done[:, None]
            shown = {name: torch.where(done, stepped.final[name], value) for name, value in shown.items()}
            self.rew_buf = torch.where(begins, 0.0, stepped.reward)
            self.extras["reset_step"] = begins
        else:
            self.extras["final_obs"] = {"obs": stepped.final["policy"], "states": stepped.final["critic"]}
        self.obs_buf, self.states_buf = shown["policy"], shown["critic"]
        self.reset_buf, self.timeout_buf = stepped.done.long(), stepped.truncated.long()
        self.extras["time_outs"] = stepped.truncated
        return self.reset(), self.rew_buf, self.reset_buf, self.extras

    def _clipped(self, x: Tensor) -> Tensor:
        return x.clamp(-self.clip_obs, self.clip_obs)
