"""A cart on a ridge in a wind that nobody measures: the task of `distillation.py`.

The further it is from the middle, the faster it falls off. It is told a place to stay at, and feels its position alone;
the expert sees speed and wind too. A student has to find both out from what its position does, and drifts meanwhile;
how to come back from there an expert that never drifts does not show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from robostack.spec import ActionChannel, Channel, Cut, Envelope
from robostack.task import Layout, Obs, Task

PUSH = ActionChannel(name="push", elements=("push",), unit="m/s2", low=(-4.0,), high=(4.0,), neutral=(0.0,))
END_M = 1.0
SLOPE_S2 = 4.0
"""acceleration away from the middle for each metre from it"""
CLOSE_M = 0.05


@dataclass(frozen=True)
class RidgeConfig:
    """What an episode may look like."""

    num_envs: int = 256
    device: str = "cpu"
    episode_s: float = 3.0
    wind_m_s2: float = 1.5


class Ridge(Task):
    """`state` is (num_envs, 5): position, velocity, wind, target, applied push."""

    name = "ridge"
    Config = RidgeConfig
    step_dt = 0.05
    channels = (
        Channel(name="position", shape=(1,), unit="m", low=(-2.0,), high=(2.0,), noise_std=(0.005,)),
        Channel(name="setpoint", shape=(1,), unit="m", source="command", low=(-1.0,), high=(1.0,)),
        Channel(name="applied_action", shape=(1,), unit="m/s2", low=PUSH.low, high=PUSH.high),
        Channel(name="true_state", shape=(3,), elements=("x", "v", "wind"), privileged=True),
    )
    actions = (PUSH,)
    envelope = Envelope(fallback=(Cut(value=(0.0,)),))
    features = ()
    critic_channels = ("setpoint", "true_state")

    def __init__(self, config: RidgeConfig | None = None, seed: int = 0) -> None:
        self.config = config or RidgeConfig()
        self.num_envs, self.device = self.config.num_envs, torch.device(self.config.device)
        self.max_episode_length = round(self.config.episode_s / self.step_dt)
        self.layout = Layout(self.channels)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.state = torch.zeros(self.num_envs, 5)
        self._generator = torch.Generator()
        self.reset(seed)

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
        self._restart(torch.ones(self.num_envs, dtype=torch.bool))
        return self.observe(), {}

    def _restart(self, mask: Tensor) -> None:
        u = 2.0 * torch.rand(self.num_envs, 5, generator=self._generator) - 1.0
        fresh = u * torch.tensor([0.4, 0.3, self.config.wind_m_s2, 0.4, 0.0])
        self.state = torch.where(mask[:, None], fresh, self.state)
        self.episode_length_buf[mask] = 0

    def observe(self) -> Obs:
        x, _, _, target, push = self.state.split(1, 1)
        noise = 0.005 * torch.randn(self.num_envs, 1, generator=self._generator)
        return Obs(torch.cat([x + noise, target, push, self.state[:, :3]], 1), self.layout)

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        x, v, wind, target, _ = self.state.split(1, 1)
        push = action.clamp(PUSH.low[0], PUSH.high[0])
        v = v + (SLOPE_S2 * x + push + wind) * self.step_dt
        x = x + v * self.step_dt
        self.state = torch.cat([x, v, wind, target, push], 1)
        self.episode_length_buf += 1
        off = (x - target)[:, 0].abs()
        terminated = ~(x[:, 0].abs() < END_M)
        truncated = (self.episode_length_buf >= self.max_episode_length) & ~terminated
        final = self.observe()
        self._restart(terminated | truncated)
        reward = 1.0 / (1.0 + (off / CLOSE_M).square())
        extras = {"final_obs": final, "reward_terms": {"near": reward}, "success": truncated & (off < CLOSE_M)}
        return self.observe(), reward, terminated, truncated, extras

    def evaluation(self, num_envs: int) -> Task:
        return Ridge(replace(self.config, num_envs=num_envs))

    def state_dict(self) -> dict[str, Tensor]:
        return {"state": self.state, "age": self.episode_length_buf, "generator": self._generator.get_state()}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self.state.copy_(kept["state"])
        self.episode_length_buf.copy_(kept["age"])
        self._generator.set_state(kept["generator"])
