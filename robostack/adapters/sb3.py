"""A task as Stable-Baselines3's VecEnv: `PPO("MlpPolicy", Sb3Env(task)).learn(100_000)`.

Its learners have one observation for actor and critic: the `policy` group. At a time limit they go on with the value of
`terminal_observation`, which is right. Numpy in and out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from robostack.adapters import named_extra
from robostack.adapters.groups import GroupedTask, spaces
from robostack.features import Feature
from robostack.task import Task

with named_extra():
    from stable_baselines3.common.vec_env import VecEnv


class Sb3Env(VecEnv):
    """`infos[i]` of an episode that ended has `terminal_observation`, `TimeLimit.truncated` and Monitor's `episode`
    (return and length)."""

    def __init__(self, task: Task, features: tuple[Feature, ...] = (), *, raw: bool = False) -> None:
        self.grouped = GroupedTask(task, features, raw=raw)
        policy, _, action = spaces(self.grouped)
        self._sum = np.zeros(task.num_envs)
        self._steps = np.zeros(task.num_envs, int)
        super().__init__(task.num_envs, policy, action)

    def reset(self) -> np.ndarray:
        """With the seed that `seed()` set, once."""
        groups = self.grouped.reset(self._seeds[0])
        self._reset_seeds()
        self._sum[:], self._steps[:] = 0.0, 0
        return groups["policy"].cpu().numpy()

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = torch.from_numpy(np.asarray(actions, np.float32))

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        stepped = self.grouped.step(self._actions)
        reward, done, truncated, final = (
            t.cpu().numpy() for t in (stepped.reward, stepped.done, stepped.truncated, stepped.final["policy"])
        )
        self._sum += reward
        self._steps += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            episode = {"r": self._sum[i], "l": int(self._steps[i])}
            infos[i] = {
                "terminal_observation": final[i],
                "TimeLimit.truncated": bool(truncated[i]),
                "episode": episode,
            }
        self._sum[done], self._steps[done] = 0.0, 0
        return stepped.groups["policy"].cpu().numpy(), reward, done, infos

    def close(self) -> None:
        """Nothing to let go of."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        value = None if attr_name == "render_mode" else getattr(self.grouped.task, attr_name)
        return [value] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError(f"{attr_name}: the environments of a task are one object; set it on the task")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        raise NotImplementedError(f"{method_name}: the environments of a task are one object; call it on the task")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))
