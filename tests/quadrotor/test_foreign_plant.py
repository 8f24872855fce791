"""Claims: over another simulator's body the task stays the task, so that a gap is a gap in physics."""

from __future__ import annotations

import pytest
import torch
from plant import command, plant
from torch import Tensor

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.foreign_plant import BODY, Drive, ForeignPlant
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.task import Quadrotor

LIVELY = QuadrotorConfig(num_envs=64, gust_std=0.1, rate_bias_std=0.01, rotor_time_s=(0.05, 0.25), episode_s=0.3)


class Ourselves(ForeignPlant):
    """Our own physics, called from outside."""

    def step(self, action: Tensor):  # type: ignore[no-untyped-def]
        self.asked = action
        return super().step(action)

    def fly(self, drive: Drive) -> Tensor:
        return self._step(self.state, self.asked)[0][:, BODY].clone()


def test_our_own_physics_from_outside_is_our_own_task() -> None:
    ours, foreign = Quadrotor(LIVELY, seed=5), Ourselves(LIVELY, seed=5)
    draw = torch.Generator().manual_seed(0)
    ended = 0
    for _ in range(60):
        action = 2500.0 * torch.rand(64, 4, generator=draw)
        obs, reward, terminated, truncated, extras = ours.step(action)
        obs2, reward2, terminated2, truncated2, extras2 = foreign.step(action)
        torch.testing.assert_close(obs2.flat, obs.flat, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(reward2, reward, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(extras2["final_obs"].flat, extras["final_obs"].flat, rtol=1e-6, atol=1e-6)
        for name, term in extras["reward_terms"].items():
            torch.testing.assert_close(extras2["reward_terms"][name], term, rtol=1e-5, atol=1e-6)
        assert torch.equal(terminated, terminated2) and torch.equal(truncated, truncated2)
        ended += int((terminated | truncated).sum())
    assert ended > 64  # episodes that began again are among them
    torch.testing.assert_close(foreign.state, ours.state, rtol=1e-6, atol=1e-6)


class Listener(ForeignPlant):
    """Goes nowhere and keeps what it was told."""

    def fly(self, drive: Drive) -> Tensor:
        self.drive = drive
        return self.state[:, BODY]


@pytest.mark.parametrize(
    ("delay", "older", "newer", "switch"),
    [(0.0, 2, 3, 0.0), (0.003, 2, 3, 0.003), (0.01, 1, 2, 0.0), (0.0137, 1, 2, 0.0037), (0.02, 1, 2, 0.01)],
)
def test_a_plant_is_told_which_commands_act_and_when_they_switch(
    delay: float, older: int, newer: int, switch: float
) -> None:
    task = plant(make=Listener)
    task.params[:, P.ACTION_DELAY] = delay
    for k in (1, 2, 3):
        task.step(command(task, 1000.0 + k))
    assert task.drive.older[0].tolist() == [1000.0 + older] * 4
    assert task.drive.newer[0].tolist() == [1000.0 + newer] * 4
    assert task.drive.switch_s[0].item() == pytest.approx(switch, abs=1e-7)


def test_the_mean_commands_of_substeps_add_up_to_what_acts() -> None:
    older, newer = torch.full((3, 4), 1000.0), torch.full((3, 4), 2000.0)
    drive = Drive(older, newer, torch.tensor([0.0, 0.0037, 0.01]), torch.zeros(3, 3))
    assert drive.mean_commands(5, 0.01)[:, 1, 0].tolist() == pytest.approx([1000.0, 1150.0, 2000.0, 2000.0, 2000.0])
    for substeps in (1, 5, 7):
        mean = drive.mean_commands(substeps, 0.01).mean(0)[:, 0]
        assert mean.tolist() == pytest.approx([2000.0, 1630.0, 1000.0], rel=1e-5)


def test_commands_are_limited_and_weakened_by_the_battery_before_they_reach_a_plant() -> None:
    task = plant(make=Listener)
    task.params[:, P.SAG] = 0.2
    task.state[:, S.BATTERY] = 0.9
    top = task.vehicle.rotor_speed_max
    task.step(command(task, 9e9, -5.0, top, 0.0))
    expected = 0.9 * (1 - 0.2 * 0.5**2) * top  # its rotors turn at half speed
    assert task.drive.newer[0].tolist() == pytest.approx([expected, 0.0, expected, 0.0], rel=1e-6)


def test_what_cannot_be_trained_on_says_so() -> None:
    with pytest.raises(NotImplementedError, match="train on Quadrotor"):
        plant(make=Listener).unroll(4)
