"""A task under rl_games: its vectorised environment, under a name that its config then uses.

    register("quadrotor", lambda num_envs: robostack.make("quadrotor", num_envs=num_envs))
    runner = Runner()
    runner.load({"params": {..., "config": {"env_name": "quadrotor", "num_actors": 1024, ...}}})

`obs` is the `policy` group, `states`, for a central value, the `critic` group. At a time limit rl_games goes on with
the value of the observation one step before (`value_bootstrap`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from robostack.adapters import named_extra
from robostack.adapters.groups import GroupedTask, Groups, spaces
from robostack.features import Feature
from robostack.spec import ContractError
from robostack.task import Task

with named_extra():
    from rl_games.common import env_configurations, vecenv
    from rl_games.common.ivecenv import IVecEnv


class RlGamesEnv(IVecEnv):
    """Observations are a dict of `obs` and `states`; `infos` has `time_outs`."""

    def __init__(self, task: Task, features: tuple[Feature, ...] = (), *, raw: bool = False) -> None:
        self.grouped = GroupedTask(task, features, raw=raw)

    def reset(self) -> dict[str, Tensor]:
        return _named(self.grouped.reset())

    def step(self, actions: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor, dict[str, Any]]:
        stepped = self.grouped.step(actions)
        infos = {"time_outs": stepped.truncated, "episode": stepped.log}
        return _named(stepped.groups), stepped.reward, stepped.done, infos

    def seed(self, seed: int) -> None:
        self.grouped.reset(seed)

    def get_env_info(self) -> dict[str, Any]:
        policy, critic, action = spaces(self.grouped)
        return {"observation_space": policy, "state_space": critic, "action_space": action, "agents": 1}


def register(name: str, make: Callable[[int], Task], features: tuple[Feature, ...] = (), *, raw: bool = False) -> None:
    """`env_name: NAME` in an rl_games config then is the task that `make(num_actors)` gives."""

    def create(config_name: str, num_actors: int, **kwargs: Any) -> RlGamesEnv:
        task = make(num_actors)
        if task.num_envs != num_actors:
            raise ContractError(f"num_actors is {num_actors}, the task has {task.num_envs} environments")
        env = RlGamesEnv(task, features, raw=raw)
        if "seed" in kwargs:
            env.seed(kwargs["seed"])
        return env

    kind = f"robostack:{name}"
    vecenv.register(kind, create)
    env_configurations.register(name, {"vecenv_type": kind, "env_creator": create})


def _named(groups: Groups) -> dict[str, Tensor]:
    return {"obs": groups["policy"], "states": groups["critic"]}
