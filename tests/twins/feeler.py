"""A ball on a rail that is felt by a magnetic skin: 100 uT a metre along the middle magnetometer's z."""

from __future__ import annotations

import torch
from ball import Ball, BallConfig
from torch import Tensor

from robostack.spec import Channel
from robostack.task import Obs, Scenario


class Feeler(Ball):
    name = "feeler"
    step_dt = 0.02
    channels = (
        Channel(name="anyskin", shape=(5, 3), unit="uT", low=(-1e4,), high=(1e4,), max_age_s=0.1),
        Channel(name="velocity", shape=(1,), unit="m/s", low=(-10.0,), high=(10.0,)),
        Channel(name="setpoint", shape=(1,), unit="m", source="command", low=(-1.0,), high=(1.0,)),
        Channel(name="applied_action", shape=(1,), unit="m/s2", low=(-3.0,), high=(3.0,)),
        Channel(name="true_state", shape=(3,), elements=("x", "v", "wind"), privileged=True),
    )

    def sense(self, state: Tensor) -> Obs:
        skin = torch.zeros(self.num_envs, 15)
        skin[:, 2] = 100.0 * state[:, 0]
        return Obs(torch.cat([skin, state[:, 1:2], state[:, 3:5], state[:, :3]], 1), self.layout)

    def snapshot(self) -> dict[str, Tensor]:
        return {"x": self.state[:, :1]}

    def scenarios(self) -> list[Scenario]:
        one = BallConfig(num_envs=1, episode_s=1e6, wind_m_s2=0.0)
        return [Scenario("rail", "hold", 2.0, lambda: Feeler(one))]
