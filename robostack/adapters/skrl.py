"""A task under skrl: its torch Wrapper, and its PPO with the right value at a time limit.

    env = SkrlEnv(task)
    agent = FinalObsPPO(models=..., memory=..., cfg=PPO_CFG(time_limit_bootstrap=True), action_space=env.action_space,
                        observation_space=env.observation_space, state_space=env.state_space)
    SequentialTrainer(cfg={"timesteps": 4800, "headless": True}, env=env, agents=agent).train()

`observation_space` is the `policy` group, `state_space` the `critic` group.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from robostack.adapters import named_extra
from robostack.adapters.groups import GroupedTask, spaces
from robostack.features import Feature
from robostack.task import Task

with named_extra():
    from skrl.agents.torch.ppo import PPO
    from skrl.envs.wrappers.torch import Wrapper


class SkrlEnv(Wrapper):
    """`infos` has `final_obs` and `final_states`, what the ended episodes ended on, and skrl's `log`."""

    def __init__(self, task: Task, features: tuple[Feature, ...] = (), *, raw: bool = False) -> None:
        super().__init__(task)
        self.grouped = GroupedTask(task, features, raw=raw)
        self._spaces = spaces(self.grouped)

    @property
    def observation_space(self) -> Any:
        return self._spaces[0]

    @property
    def state_space(self) -> Any:
        return self._spaces[1]

    @property
    def action_space(self) -> Any:
        return self._spaces[2]

    def reset(self) -> tuple[Tensor, dict[str, Any]]:
        """What is seen now: every environment restarts by itself, and skrl asks more than once."""
        return self.grouped.groups["policy"], {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        stepped = self.grouped.step(actions)
        column = [t.view(-1, 1) for t in (stepped.reward, stepped.terminated, stepped.truncated)]
        infos = {
            "final_obs": stepped.final["policy"],
            "final_states": stepped.final["critic"],
            "log": stepped.log,
        }
        return stepped.groups["policy"], *column, infos

    def state(self) -> Tensor:
        return self.grouped.groups["critic"]

    def render(self, *args: Any, **kwargs: Any) -> None:
        return None

    def close(self) -> None:
        return None


class FinalObsPPO(PPO):
    """skrl's PPO, but with `time_limit_bootstrap` an episode cut off by its time limit goes on with gamma V(what it
    ended on), where the original takes V of the next episode's first observation."""

    def record_transition(
        self, *, next_observations: Tensor, next_states: Tensor, truncated: Tensor, infos: Any, **kept: Any
    ) -> None:
        following = {"next_observations": next_observations, "next_states": next_states}
        final = {
            "next_observations": next_observations.where(~truncated, infos["final_obs"]),
            "next_states": next_states.where(~truncated, infos["final_states"]),
        }
        super().record_transition(**final, truncated=truncated, infos=infos, **kept)
        self._current_next_observations, self._current_next_states = following.values()
