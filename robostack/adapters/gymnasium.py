"""A task as Gymnasium's VectorEnv, and one of its environments as Gymnasium's Env.

    env = TaskVectorEnv(robostack.make("quadrotor", num_envs=64))

Autoreset is in the same step: what an episode ended on is in `info["final_obs"]`, masked by `info["_final_obs"]`.
Numpy in and out; on a GPU that is a copy each way.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from robostack.adapters import named_extra
from robostack.adapters.groups import GroupedTask, Groups, spaces
from robostack.features import Feature
from robostack.spec import ContractError
from robostack.task import Task

with named_extra():
    import gymnasium
    from gymnasium.vector import AutoresetMode
    from gymnasium.vector.utils import batch_space


class TaskVectorEnv(gymnasium.vector.VectorEnv):
    """Observations are (num_envs, policy_size); with `critic` a dict of `policy` and `critic`."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(
        self, task: Task, features: tuple[Feature, ...] = (), *, raw: bool = False, critic: bool = False
    ) -> None:
        self.grouped = GroupedTask(task, features, raw=raw)
        self.num_envs, self.critic = task.num_envs, critic
        self.single_observation_space, self.single_action_space = _spaces(self.grouped, critic)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """`seed` makes everything that follows reproducible; there are no options."""
        super().reset(seed=seed)
        return _numpy(self.grouped.reset(seed), self.critic), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        stepped = self.grouped.step(torch.as_tensor(np.asarray(actions, np.float32)))
        info: dict[str, Any] = {}
        done = stepped.done.cpu().numpy()
        if done.any():
            final = _numpy(stepped.final, self.critic)
            rows = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(done):
                rows[i] = {name: value[i] for name, value in final.items()} if self.critic else final[i]
            info = {"final_obs": rows, "_final_obs": done, "final_info": {}, "_final_info": done}
        ends = (stepped.reward, stepped.terminated, stepped.truncated)
        reward, terminated, truncated = (t.cpu().numpy() for t in ends)
        return _numpy(stepped.groups, self.critic), reward, terminated, truncated, info


class TaskEnv(gymnasium.Env):
    """A task of one environment; its episode stays over until `reset`."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self, task: Task, features: tuple[Feature, ...] = (), *, raw: bool = False, critic: bool = False
    ) -> None:
        if task.num_envs != 1:
            raise ContractError(f"TaskEnv takes a task of one environment, not {task.num_envs}; use TaskVectorEnv")
        self.grouped, self.critic = GroupedTask(task, features, raw=raw), critic
        self.observation_space, self.action_space = _spaces(self.grouped, critic)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._first(self.grouped.reset(seed)), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        stepped = self.grouped.step(torch.as_tensor(np.asarray(action, np.float32))[None])
        ended = bool(stepped.done)
        obs = self._first(stepped.final if ended else stepped.groups)
        return obs, float(stepped.reward), bool(stepped.terminated), bool(stepped.truncated), {}

    def _first(self, groups: Groups) -> Any:
        obs = _numpy(groups, self.critic)
        return {name: value[0] for name, value in obs.items()} if self.critic else obs[0]


def _spaces(grouped: GroupedTask, critic: bool) -> tuple[Any, Any]:
    policy_space, critic_space, action_space = spaces(grouped)
    if critic:
        policy_space = gymnasium.spaces.Dict({"policy": policy_space, "critic": critic_space})
    return policy_space, action_space


def _numpy(groups: Groups, critic: bool) -> Any:
    arrays = {name: value.cpu().numpy() for name, value in groups.items()}
    return arrays if critic else arrays["policy"]
