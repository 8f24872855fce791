"""The fallback's gains, made from a vehicle file: a policy that fails at a hover must not end in a crash."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from robostack.spec import LevelDescend
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import S
from robostack_sim.quadrotor.task import Quadrotor

FALLS = 1000


def _tilt_rad(attitude: torch.Tensor) -> torch.Tensor:
    _, x, y, _ = attitude.unbind(1)
    return torch.arccos((1 - 2 * (x * x + y * y)).clamp(-1, 1))


@pytest.mark.parametrize(
    ("vehicle", "action"),
    [("crazyflie_2_1", "rotor_speed"), ("crazyflie_l2f", "rotor_speed"), ("crazyflie_2_1", "thrust_and_rates")],
)
def test_from_a_disturbed_hover_it_never_passes_60_degrees_and_lands_below_3_m_s(
    vehicle: str, action: Literal["rotor_speed", "thrust_and_rates"]
) -> None:
    """A thousand falls from one metre, constant force and moment, sensor to motor up to 20 ms."""
    config = QuadrotorConfig(
        num_envs=FALLS, vehicle=vehicle, action=action, delay_s=(0.0, 0.02), box_m=100.0, episode_s=100.0,
        moving_share=0.0, origin_share=1.0, velocity_max_m_s=0.01, rate_max_rad_s=0.01,
    )  # fmt: skip
    task = Quadrotor(config, seed=3)
    task.state[:, S.ROTOR : S.COMMAND_1] = task.vehicle.hover_speed_rad_s
    task.state[:, S.COMMAND_1 : S.GUST] = torch.tensor(task.envelope.fallback[0].base * 2)  # type: ignore[union-attr]
    rung = task.envelope.fallback[0]
    assert isinstance(rung, LevelDescend)
    base, gain = torch.tensor(rung.base), torch.tensor(rung.gain)
    low, high = (torch.tensor([v for a in task.actions for v in getattr(a, end)]) for end in ("low", "high"))
    down = torch.zeros(FALLS, dtype=torch.bool)
    impact_m_s, tilt = torch.zeros(FALLS), torch.zeros(FALLS)
    for _ in range(round(rung.max_s / task.step_dt)):
        now = task.snapshot()
        w, x, y, z = now["attitude"].unbind(1)
        up = torch.stack([2 * (y * z + w * x), -2 * (x * z - w * y)], 1)
        signals = torch.cat([up, now["body_rate"], now["velocity"][:, 2:]], 1)
        task.step((base + signals @ gain.T).clamp(low, high))
        now = task.snapshot()
        tilt = torch.where(down, tilt, torch.maximum(tilt, _tilt_rad(now["attitude"])))
        landing = ~down & (now["position"][:, 2] < -1.0)
        impact_m_s[landing] = now["velocity"][landing].norm(dim=1)
        down |= landing
    assert math.degrees(tilt.max()) < 60.0
    assert down.float().mean() > 0.5
    assert impact_m_s[down].mean() < 3.0
