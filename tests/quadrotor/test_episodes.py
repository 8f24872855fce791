"""Isaac Lab's order of a step: physics, count, who is done, rewards, reset, observation."""

from __future__ import annotations

import pytest
import torch
from plant import POSITION, command, hover_speed, plant

from robostack_sim.quadrotor.config import Costs, QuadrotorConfig
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.task import Quadrotor


def test_leaving_the_box_terminates_and_final_obs_keeps_where_it_ended() -> None:
    task = plant(4, box_m=0.6, noise_scale=0.0)
    speed = hover_speed(task)[:, None].repeat(1, 4)
    task.state[:, S.ROTOR : S.GUST] = speed.repeat(1, 3)
    task.state[1, 0] = 0.599
    task.state[1, 7] = 1.0  # m/s, outwards
    obs, _, terminated, truncated, extras = task.step(speed)
    assert terminated.tolist() == [False, True, False, False]
    assert not truncated.any() and not extras["success"].any()
    assert extras["final_obs"]["true_state"][1, 0].item() == pytest.approx(0.609, abs=1e-4)
    assert obs["true_state"][1, :3].tolist() == [0.0, 0.0, 0.0]  # the next episode has begun
    assert task.episode_length_buf.tolist() == [1, 0, 1, 1]
    assert torch.equal(obs["true_state"][[0, 2, 3]], extras["final_obs"]["true_state"][[0, 2, 3]])


def test_the_box_moves_with_the_reference() -> None:
    task = plant(2, box_m=0.6)
    task.params[:, P.REF_AMPLITUDE] = 2.0
    task.state[:, S.TIME] = torch.pi / 2 - 0.01  # the reference is 2 m away by now
    task.state[1, 0] = 2.0
    *_, terminated, _, _ = task.step(command(task, 1000.0))
    assert terminated.tolist() == [True, False]


def test_an_episode_over_its_time_is_truncated_and_a_success() -> None:
    task = plant(3, episode_s=0.05)
    for k in range(1, 5):
        _, _, terminated, truncated, _ = task.step(command(task, 1450.0))
        assert not truncated.any() and not terminated.any(), k
    before = task.state.clone()
    obs, _, terminated, truncated, extras = task.step(command(task, 1450.0))
    assert truncated.all() and extras["success"].all() and not terminated.any()
    assert (task.episode_length_buf == 0).all()
    assert (extras["final_obs"]["true_state"][:, 2] != before[:, 2]).all()
    assert (obs["true_state"][:, POSITION] == 0.0).all()


def test_an_episode_that_leaves_in_its_last_step_is_terminated_not_truncated() -> None:
    task = plant(2, episode_s=0.01, box_m=0.6)
    task.state[0, 0] = 1.0
    _, _, terminated, truncated, _ = task.step(command(task, 1450.0))
    assert terminated.tolist() == [True, False]
    assert truncated.tolist() == [False, True]


def test_the_reward_is_the_sum_of_its_named_terms_and_belongs_to_the_step_that_ended() -> None:
    task = Quadrotor(QuadrotorConfig(num_envs=32, box_m=0.15))
    _, reward, terminated, _, extras = task.step(command(task, 2000.0, 1000.0, 1500.0, 1200.0))
    assert 0 < terminated.sum() < 32
    total = torch.stack(list(extras["reward_terms"].values())).sum(0)
    torch.testing.assert_close(total, reward)
    ended = extras["final_obs"]
    error = (ended["true_state"][:, POSITION] - ended["setpoint"][:, :3]).abs()
    costs = task.config.costs
    near = torch.where(
        error < costs.position_width_m, error**2 / (2 * costs.position_width_m), error - 0.5 * costs.position_width_m
    )
    torch.testing.assert_close(extras["reward_terms"]["position"], -costs.position * near.sum(1))


def test_a_crash_costs_once_where_an_episode_leaves_the_box_and_not_where_it_times_out() -> None:
    rewards = {}
    for crash in (0.0, 50.0):
        task = Quadrotor(QuadrotorConfig(num_envs=32, box_m=0.15, episode_s=0.01, costs=Costs(crash=crash)))
        _, rewards[crash], terminated, truncated, extras = task.step(command(task, 2000.0, 1000.0, 1500.0, 1200.0))
        assert terminated.any() and truncated.any()
        torch.testing.assert_close(extras["reward_terms"]["crash"], -crash * terminated)
    torch.testing.assert_close(rewards[50.0], rewards[0.0] - 50.0 * terminated)


def test_a_machine_at_rest_on_its_setpoint_at_hover_speed_is_the_best_there_is() -> None:
    task = plant(2)
    speed = hover_speed(task)[:, None].repeat(1, 4)
    task.state[:, S.ROTOR : S.GUST] = speed.repeat(1, 3)
    _, reward, *_ = task.step(speed)
    assert reward.abs().max().item() < 1e-3
    task.state[0, 0] += 0.05
    _, reward, *_ = task.step(speed)
    assert reward[0] < reward[1] - 0.01


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_a_command_that_is_no_number_harms_one_environment_at_most(poison: float) -> None:
    sick, well = plant(4), plant(4)
    action = command(sick, 1450.0).clone()
    action[2, 1] = poison
    for _ in range(3):
        obs, reward, *_ = sick.step(action)
        well.step(command(well, 1450.0))
    others = [0, 1, 3]
    assert torch.equal(sick.state[others], well.state[others])
    assert torch.isfinite(sick.state).all() and torch.isfinite(obs.flat).all()
    assert torch.isfinite(reward[others]).all()


def test_observations_alias_a_buffer_until_the_next_step_as_documented() -> None:
    task = plant(2)
    first, *_ = task.step(command(task, 1450.0))
    kept = first.flat.clone()
    task.step(command(task, 2000.0))
    assert not torch.equal(first.flat, kept)


def test_an_unroll_takes_the_steps_that_step_takes() -> None:
    free, window = (Quadrotor(QuadrotorConfig(num_envs=16, noise_scale=0.0, gust_std=0.0), seed=4) for _ in range(2))
    unroll = window.unroll(20)
    unroll.begin()
    for k in range(20):
        action = command(free, 1400.0 + 10 * k, 1500.0, 1450.0, 1440.0)
        _, expected, *_ = free.step(action)
        _, reward, alive = unroll.step(action)
        if torch.equal(free.episode_length_buf, torch.full((16,), k + 1)):
            torch.testing.assert_close(reward, expected)
        assert alive.all()
    unroll.commit()
    lasted = free.episode_length_buf == 20
    assert lasted.sum() > 8
    torch.testing.assert_close(window.state[lasted], free.state[lasted])
    assert (window.episode_length_buf == 20).all()
    with pytest.raises(RuntimeError, match="begin"):
        unroll.step(action)
