"""my_task: a cart on a rail is to stand where it is told, in a wind that nobody measures.

`advance` is the physics, `sense` the sensors, `judge` the reward; all of it in SI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from robostack.spec import ActionChannel, Channel, Cut, Envelope
from robostack.task import Layout, Obs, Scenario, Task, Unroll

PUSH = ActionChannel(name="push", elements=("push",), unit="m/s2", low=(-3.0,), high=(3.0,), neutral=(0.0,))
END_M = 1.5
"""of the rail, to each side"""
CLOSE_M = 0.05
NOISE = (0.002, 0.01)
"""of position, m, and velocity, m/s"""


@dataclass(frozen=True)
class MyTaskConfig:
    """What an episode may look like; the command line is made from it."""

    num_envs: int = 64
    device: str = "cpu"
    episode_s: float = 3.0
    wind_m_s2: float = 0.3
    """the strongest, either way"""


class MyTask(Task):
    """`state` is (num_envs, 5): position m, velocity m/s, wind m/s2, setpoint m, the push that was applied m/s2."""

    name = "my_task"
    Config = MyTaskConfig
    step_dt = 0.05
    channels = (
        Channel(name="position", shape=(1,), unit="m", low=(-2.0,), high=(2.0,), noise_std=NOISE[:1], max_age_s=0.2),
        Channel(name="velocity", shape=(1,), unit="m/s", low=(-9.0,), high=(9.0,), noise_std=NOISE[1:], max_age_s=0.2),
        Channel(name="setpoint", shape=(1,), unit="m", source="command", low=(-1.0,), high=(1.0,), max_age_s=1.0),
        Channel(name="applied_action", shape=(1,), unit="m/s2", low=PUSH.low, high=PUSH.high),
        Channel(name="wind", shape=(1,), unit="m/s2", privileged=True),
    )
    actions = (PUSH,)
    envelope = Envelope(fallback=(Cut(value=(0.0,)),))
    features = ()
    critic_channels = ("position", "velocity", "setpoint", "wind")

    def __init__(self, config: MyTaskConfig | None = None, seed: int = 0) -> None:
        self.config = config or MyTaskConfig()
        self.num_envs, self.device = self.config.num_envs, torch.device(self.config.device)
        self.max_episode_length = round(self.config.episode_s / self.step_dt)
        self.layout = Layout(self.channels)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.state = torch.zeros(self.num_envs, 5, device=self.device)
        self._noise = torch.tensor(NOISE, device=self.device)
        self._generator = torch.Generator(self.device)
        self.reset(seed)

    def advance(self, state: Tensor, action: Tensor) -> Tensor:
        """One period on, the envelope's limits first. Differentiable."""
        x, v, wind, target, _ = state.split(1, 1)
        push = action.clamp(PUSH.low[0], PUSH.high[0])
        v = v + (push + wind) * self.step_dt
        return torch.cat([x + v * self.step_dt, v, wind, target, push], 1)

    def sense(self, state: Tensor) -> Obs:
        """What is measured, with fresh noise. Differentiable."""
        noise = self._noise * torch.randn(self.num_envs, 2, generator=self._generator, device=self.device)
        return Obs(torch.cat([state[:, :2] + noise, state[:, 3:5], state[:, 2:3]], 1), self.layout)

    def judge(self, state: Tensor) -> dict[str, Tensor]:
        """The reward's terms, (num_envs,) each. Differentiable."""
        near = 1.0 / (1.0 + ((state[:, 0] - state[:, 3]) / 0.2).square())
        return {"near": near, "still": -0.05 * state[:, 1].square(), "effort": -0.01 * state[:, 4].square()}

    def off_the_rail(self, state: Tensor) -> Tensor:
        return ~(state[:, 0].abs() < END_M)

    def there(self, state: Tensor) -> Tensor:
        return (state[:, 0] - state[:, 3]).abs() < CLOSE_M

    def over(self) -> Tensor:
        return self.episode_length_buf >= self.max_episode_length

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
        self.restart(torch.ones_like(self.episode_length_buf, dtype=torch.bool))
        return self.observe(), {}

    def restart(self, mask: Tensor) -> None:
        """Draws a start for the environments in `mask` (num_envs,) bool."""
        u = 2.0 * torch.rand(self.num_envs, 5, generator=self._generator, device=self.device) - 1.0
        start = u * torch.tensor([0.8, 0.5, self.config.wind_m_s2, 0.8, 0.0], device=self.device)
        self.state = torch.where(mask[:, None], start, self.state)
        self.episode_length_buf.masked_fill_(mask, 0)

    def observe(self) -> Obs:
        return self.sense(self.state)

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.state = self.advance(self.state, action)
        self.episode_length_buf += 1
        terms = self.judge(self.state)
        terminated = self.off_the_rail(self.state)
        truncated = self.over() & ~terminated
        extras = {"final_obs": self.observe(), "reward_terms": terms, "success": truncated & self.there(self.state)}
        self.restart(terminated | truncated)
        return self.observe(), torch.stack([*terms.values()]).sum(0), terminated, truncated, extras

    def unroll(self, horizon: int) -> Unroll:
        return MyTaskUnroll(self)

    def evaluation(self, num_envs: int) -> MyTask:
        return MyTask(replace(self.config, num_envs=num_envs))

    def scenarios(self) -> Sequence[Scenario]:
        one = replace(self.config, num_envs=1, episode_s=1e4)
        return [Scenario(f"start_{k}", "start", self.config.episode_s, lambda: MyTask(one), seed=k) for k in range(4)]

    def snapshot(self) -> Mapping[str, Tensor]:
        return {"position": self.state[:, 0:1], "velocity": self.state[:, 1:2], "reference": self.state[:, 3:4]}

    def snapshot_units(self) -> Mapping[str, str]:
        return {"position": "m", "velocity": "m/s", "reference": "m"}

    def state_dict(self) -> dict[str, Tensor]:
        generator = self._generator.get_state()
        return {"state": self.state, "age": self.episode_length_buf, "generator": generator}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self.state.copy_(kept["state"])
        self.episode_length_buf.copy_(kept["age"])
        self._generator.set_state(kept["generator"])


class MyTaskUnroll(Unroll):
    """A window through which gradients pass; resets happen in `begin` alone."""

    def __init__(self, task: MyTask) -> None:
        self.task = task
        self.restarted = self.success = torch.zeros(task.num_envs, dtype=torch.bool, device=task.device)

    def begin(self) -> Obs:
        task = self.task
        gone, over = task.off_the_rail(task.state), task.over()
        self.restarted, self.success = gone | over, over & ~gone & task.there(task.state)
        task.restart(self.restarted)
        self._state, self._alive, self._count = task.state, ~torch.zeros_like(gone), 0
        return task.observe()

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor]:
        task = self.task
        self._state, self._count = task.advance(self._state, action), self._count + 1
        self._alive = self._alive & ~task.off_the_rail(self._state)
        reward = torch.stack([*task.judge(self._state).values()]).sum(0)
        return task.sense(self._state), reward, self._alive

    def commit(self) -> None:
        self.task.state = self._state.detach()
        self.task.episode_length_buf += self._count
