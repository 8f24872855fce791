"""A ball on a rail, seen by a camera, in plain torch: as little like a quadrotor as the contract allows.

The actor gets an image and a velocity, no position; the wind is hidden, so that a memory pays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from robostack.spec import ActionChannel, Channel, Cut, Envelope
from robostack.task import Layout, Obs, Parameter, ParameterSource, Task, Unroll

FORCE = ActionChannel(name="push", elements=("push",), unit="m/s2", low=(-3.0,), high=(3.0,), neutral=(0.0,))
END_M = 1.2


@dataclass(frozen=True)
class BallConfig:
    """What an episode may look like."""

    num_envs: int = 64
    device: str = "cpu"
    episode_s: float = 2.0
    wind_m_s2: float = 0.5


class Ball(Task):
    """`state` is (num_envs, 5): position, velocity, wind, target, applied push."""

    name = "ball"
    Config = BallConfig
    step_dt = 0.05
    channels = (
        Channel(name="image", shape=(1, 8, 8), frame="rail along the columns", low=(-0.5,), high=(1.5,)),
        Channel(name="velocity", shape=(1,), unit="m/s", low=(-10.0,), high=(10.0,), noise_std=(0.01,)),
        Channel(name="setpoint", shape=(1,), unit="m", source="command", low=(-1.0,), high=(1.0,)),
        Channel(name="applied_action", shape=(1,), unit="m/s2", low=FORCE.low, high=FORCE.high),
        Channel(name="true_state", shape=(3,), elements=("x", "v", "wind"), privileged=True),
    )
    actions = (FORCE,)
    envelope = Envelope(fallback=(Cut(value=(0.0,)),))
    features = ()
    critic_channels = ("setpoint", "true_state")

    def __init__(self, config: BallConfig | None = None, seed: int = 0) -> None:
        self.config = config or BallConfig()
        self.num_envs, self.device = self.config.num_envs, torch.device(self.config.device)
        self.max_episode_length = round(self.config.episode_s / self.step_dt)
        self.layout = Layout(self.channels)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.state = torch.zeros(self.num_envs, 5, device=self.device)
        self._generator = torch.Generator(self.device)
        wind = self.config.wind_m_s2
        self.parameters = (Parameter("wind_m_s2", -wind, wind, "m/s2"),)
        self._source: ParameterSource = lambda mask: {}
        self.reset(seed)

    def draw_parameters_from(self, source: ParameterSource) -> None:
        self._source = source

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
        self.restart(torch.ones_like(self.episode_length_buf, dtype=torch.bool))
        return self.observe(), {}

    def restart(self, mask: Tensor) -> None:
        u = 2.0 * torch.rand(self.num_envs, 5, generator=self._generator, device=self.device) - 1.0
        fresh = u * torch.tensor([0.6, 0.3, self.config.wind_m_s2, 0.6, 0.0], device=self.device)
        fresh[:, 2] = self._source(mask).get("wind_m_s2", fresh[:, 2])
        self.state = torch.where(mask[:, None], fresh, self.state)
        self.episode_length_buf[mask] = 0

    def observe(self) -> Obs:
        return self.sense(self.state)

    def sense(self, state: Tensor) -> Obs:
        """Differentiable in the state."""
        axis = torch.linspace(-1.0, 1.0, 8, device=self.device)
        far = (axis - state[:, :1])[:, None, :].square() + axis[:, None].square()
        image = torch.exp(-far / (2 * 0.35**2)).flatten(1)
        noise = 0.01 * torch.randn(self.num_envs, 1, generator=self._generator, device=self.device)
        return Obs(
            torch.cat([image, state[:, 1:2] + noise, state[:, 3:5], state[:, :3]], 1),
            self.layout,
        )

    def advance(self, state: Tensor, action: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Envelope, then physics; the reward's terms after the step."""
        push = action.clamp(FORCE.low[0], FORCE.high[0])
        x, v, wind, target, _ = state.split(1, 1)
        v = v + (push + wind) * self.step_dt
        state = torch.cat([x + v * self.step_dt, v, wind, target, push], 1)
        near = 1.0 / (1.0 + (4.0 * (state[:, 0] - target[:, 0])).square())
        return state, {"near": near, "effort": -0.01 * push[:, 0].square()}

    def gone(self, state: Tensor) -> Tensor:
        return ~(state[:, 0].abs() < END_M)

    def over(self) -> Tensor:
        return self.episode_length_buf >= self.max_episode_length

    def there(self) -> Tensor:
        return (self.state[:, 0] - self.state[:, 3]).abs() < 0.1

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.state, terms = self.advance(self.state, action)
        self.episode_length_buf += 1
        terminated = self.gone(self.state)
        truncated = self.over() & ~terminated
        success = truncated & self.there()
        final = self.observe()
        self.restart(terminated | truncated)
        extras = {"final_obs": final, "reward_terms": terms, "success": success}
        return self.observe(), sum(terms.values(), torch.zeros(())), terminated, truncated, extras

    def evaluation(self, num_envs: int) -> Task:
        return type(self)(replace(self.config, num_envs=num_envs))

    def unroll(self, horizon: int) -> Unroll:
        return BallUnroll(self)

    def state_dict(self) -> dict[str, Tensor]:
        generator = self._generator.get_state()
        return {"state": self.state, "age": self.episode_length_buf, "generator": generator}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self.state.copy_(kept["state"])
        self.episode_length_buf.copy_(kept["age"])
        self._generator.set_state(kept["generator"])


class BallUnroll(Unroll):
    def __init__(self, task: Ball) -> None:
        self.task = task
        self.restarted = torch.zeros(task.num_envs, dtype=torch.bool, device=task.device)

    def begin(self) -> Obs:
        task = self.task
        self.restarted = task.gone(task.state) | task.over()
        self.success = task.over() & ~task.gone(task.state) & task.there()
        task.restart(self.restarted)
        self._state, self._alive = task.state, torch.ones_like(self.restarted)
        self._count = 0
        return task.observe()

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor]:
        self._count += 1
        self._state, terms = self.task.advance(self._state, action)
        self._alive = self._alive & ~self.task.gone(self._state)
        return self.task.sense(self._state), sum(terms.values(), torch.zeros(())), self._alive

    def commit(self) -> None:
        self.task.state = self._state.detach()
        self.task.episode_length_buf += self._count
