"""Noise, bias, gusts and references: their statistics, and what the critic is told of them."""

from __future__ import annotations

import math

import pytest
import torch
from plant import ATTITUDE, GUST, POSITION, RATE, VELOCITY, command, hover_speed, plant, span
from torch import Tensor

from robostack.lanes import columns
from robostack_sim.quadrotor.physics import NUM_NOISE, P, S
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2

MEASURED = {"position": POSITION, "velocity": VELOCITY, "attitude": ATTITUDE, "body_rate": RATE}


def noise_of(task: Quadrotor, looks: int) -> dict[str, Tensor]:
    """(looks * num_envs, size) measured minus true, by channel."""
    found: dict[str, list[Tensor]] = {name: [] for name in MEASURED}
    for _ in range(looks):
        obs = task.observe()
        for name, at in MEASURED.items():
            found[name].append((obs[name] - task.state[:, at]).double())
    return {name: torch.cat(parts) for name, parts in found.items()}


def test_each_measurement_has_its_noise_and_no_bias() -> None:
    task = plant(2048, noise_scale=1.0)
    v = task.vehicle
    stds = (v.position_noise, v.velocity_noise, v.attitude_noise, v.rate_noise)
    for (name, noise), std in zip(noise_of(task, 10).items(), stds, strict=True):
        # level: the length of the quaternion takes the noise of its first element
        drawn = noise[:, 1:] if name == "attitude" else noise
        assert drawn.std(0).tolist() == pytest.approx([std] * drawn.shape[1], rel=0.03), name
        assert (drawn.mean(0).abs() < 4.5 * std / math.sqrt(len(drawn))).all(), name


def test_noise_is_independent_between_elements_environments_and_periods() -> None:
    task = plant(2048)
    noise = columns(10 * 2048, NUM_NOISE, task.device)
    task.draw_noise(noise)
    limit = 4.5 / math.sqrt(len(noise))
    between_elements = noise.T.corrcoef() - torch.eye(NUM_NOISE)
    assert between_elements.abs().max() < limit
    by_period = noise.unflatten(0, (10, 2048))
    assert abs((by_period[1:] * by_period[:-1]).mean().item()) < limit
    assert abs((by_period[:, 1:] * by_period[:, :-1]).mean().item()) < limit
    again = columns(10 * 2048, NUM_NOISE, task.device)
    task.draw_noise(again)
    assert abs((noise * again).mean().item()) < limit / 4


def test_noise_is_close_to_normal() -> None:
    task = plant(1)
    noise = columns(20_000, NUM_NOISE, task.device)
    task.draw_noise(noise)
    x = noise.double().flatten()
    assert x.mean().item() == pytest.approx(0.0, abs=0.01)
    assert x.std().item() == pytest.approx(1.0, rel=0.01)
    assert (x**3).mean().item() == pytest.approx(0.0, abs=0.02)
    assert (x**4).mean().item() == pytest.approx(2.7, abs=0.1)  # a normal number has 3
    within = [(x.abs() < k).double().mean().item() for k in (1, 2)]
    assert within == pytest.approx([0.683, 0.954], abs=0.015)


def test_a_gyro_bias_is_drawn_once_an_episode_and_shows_in_the_rate_alone() -> None:
    task = plant(512, rate_bias_std=0.05)
    found = noise_of(task, 2)
    bias = task.params[:, span(P.RATE_BIAS, 3)].double()
    torch.testing.assert_close(found["body_rate"], bias.repeat(2, 1), rtol=1e-4, atol=1e-6)
    assert bias.std().item() == pytest.approx(0.05, rel=0.1)
    assert all(found[name].abs().max() < 1e-6 for name in ("position", "velocity", "attitude"))


def test_a_gust_has_its_standard_deviation_and_correlation_time() -> None:
    share, time_s = 0.1, 0.4
    task = plant(8192, gust_std=share, gust_time_s=time_s)
    newtons = share * task.vehicle.mass * GRAVITY_M_S2
    start = task.state[:, GUST].clone()
    assert start.std().item() == pytest.approx(newtons, rel=0.03)
    periods = round(time_s / task.step_dt)
    for _ in range(periods):
        task.step(command(task, 1000.0))
    end = task.state[:, GUST]
    assert end.std().item() == pytest.approx(newtons, rel=0.03)
    correlation = torch.stack([start.flatten(), end.flatten()]).corrcoef()[0, 1].item()
    assert correlation == pytest.approx(math.exp(-1.0), abs=0.03)


def test_a_gust_pushes_the_machine_and_without_one_there_is_none() -> None:
    task = plant(2, gust_std=0.1)
    task.params[1, P.GUST_STD], task.state[1, GUST] = 0.0, torch.zeros(3)
    task.state[0, GUST] = torch.tensor([0.05, 0.0, 0.0])
    speed = hover_speed(task)[:, None].expand(-1, 4).contiguous()
    task.state[:, S.ROTOR : S.GUST] = speed.repeat(1, 3)
    task.step(speed)
    assert task.state[0, 7].item() == pytest.approx(0.05 / task.vehicle.mass * task.step_dt, rel=1e-4)
    assert task.state[1, 7].item() == 0.0 and (task.state[1, GUST] == 0.0).all()


def test_the_critic_is_told_the_truth() -> None:
    task = plant(
        16, noise_scale=1.0, force_std=0.05, moment_std=1e-4, gust_std=0.05, mass_scale=(0.8, 1.2),
        thrust_scale=(0.9, 1.1), rotor_time_s=(0.05, 0.25), delay_s=(0.0, 0.02), battery=(0.8, 1.0),
    )  # fmt: skip
    obs, *_ = task.step(command(task, 1500.0))
    p, s = task.params, task.state
    assert torch.equal(obs["true_state"], s[:, :13])
    assert torch.equal(obs["rotor_speed"], s[:, span(S.ROTOR, 4)])
    force = p[:, span(P.FORCE, 3)] + s[:, GUST]
    torch.testing.assert_close(obs["disturbance"], torch.cat([force, p[:, span(P.MOMENT, 3)]], 1))
    plant_row = [P.MASS, P.THRUST_2, P.RISE, P.FALL, P.ACTION_DELAY, P.OBS_DELAY]
    assert torch.equal(obs["plant"], torch.cat([p[:, plant_row], s[:, [S.BATTERY]]], 1))


def test_a_references_velocity_and_acceleration_are_the_derivatives_of_its_position() -> None:
    task = plant(256, moving_share=1.0)
    task.params[::2, P.REF_RAMP] = 1.0
    reference = columns(task.num_envs, 9, task.device, 300)
    task.look_ahead(reference)
    dt = task.step_dt
    position, velocity, acceleration = reference.double().split(3, 2)
    inner = (slice(1, -1),)
    smooth = ((torch.arange(1, 299) - 100).abs() > 1)[:, None, None].expand(-1, 256, 3)  # the ramp ends at 1 s
    slope = (position[2:] - position[:-2]) / (2 * dt)
    bend = (velocity[2:] - velocity[:-2]) / (2 * dt)
    torch.testing.assert_close(slope[smooth], velocity[inner][smooth], rtol=0.0, atol=3e-3)
    torch.testing.assert_close(bend[smooth], acceleration[inner][smooth], rtol=0.0, atol=2e-2)
    assert (position[0].abs() < 1e-6).all()  # every reference begins at the origin
    assert (velocity[0, ::2] == 0.0).all()  # and with a ramp at rest
    assert velocity[0, 1::2].abs().max() > 0.5


def test_a_drawn_reference_keeps_within_the_asked_acceleration() -> None:
    task = plant(512, moving_share=1.0, reference_acceleration_m_s2=(0.0, 5.0))
    reference = columns(task.num_envs, 9, task.device, 400)
    task.look_ahead(reference)
    assert reference[..., 6:].abs().max().item() <= 5.0 + 1e-3
    assert (reference[..., 8].abs().max() < reference[..., 6].abs().max()).item()  # less of it upwards


def test_the_setpoint_of_a_hovering_episode_is_the_origin_at_rest() -> None:
    task = plant(8, moving_share=0.0, origin_share=0.0, position_max_m=0.2)
    assert (task.observe()["setpoint"] == 0.0).all()
