"""Where episodes begin, and that a seed says everything about them."""

from __future__ import annotations

import math

import pytest
import torch
from plant import ATTITUDE, POSITION, RATE, ROTOR, VELOCITY, command, span
from torch import Tensor

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2

N = 20_000


@pytest.fixture(scope="module")
def starts() -> Quadrotor:
    return Quadrotor(QuadrotorConfig(num_envs=N, moving_share=0.0), seed=3)


def angles(task: Quadrotor) -> Tensor:
    return 2.0 * task.state[:, ATTITUDE][:, 0].double().clamp(-1, 1).acos()


def test_a_tenth_of_the_starts_is_level_at_the_origin(starts: Quadrotor) -> None:
    centred = (starts.state[:, POSITION] == 0.0).all(1)
    assert centred.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (angles(starts)[centred] == 0.0).all()
    assert (starts.state[centred, VELOCITY] != 0.0).all()  # but not at rest


def test_the_angles_are_those_of_uniform_rotations_up_to_ninety_degrees(starts: Quadrotor) -> None:
    angle = angles(starts)
    angle = angle[angle > 0].sort().values
    assert angle[-1].item() <= math.pi / 2 + 1e-6
    expected = (angle - angle.sin()) / (math.pi / 2 - 1.0)
    found = torch.arange(1, len(angle) + 1) / len(angle)
    assert (expected - found).abs().max().item() < 1.95 / math.sqrt(len(angle))  # Kolmogorov-Smirnov, 0.1 %


def test_the_axes_of_the_rotations_point_everywhere_alike(starts: Quadrotor) -> None:
    tilted = starts.state[angles(starts) > 0.1][:, 4:7].double()
    axis = tilted / tilted.norm(dim=1, keepdim=True)
    limit = 4.5 / math.sqrt(len(axis))
    assert (axis.mean(0).abs() < limit).all()
    assert ((axis.T @ axis / len(axis)) - torch.eye(3) / 3).abs().max().item() < limit


def test_positions_velocities_and_rates_are_uniform_in_their_boxes(starts: Quadrotor) -> None:
    away = (starts.state[:, POSITION] != 0.0).any(1)
    for at, half in ((POSITION, 0.2), (VELOCITY, 1.0), (RATE, 1.0)):
        x = starts.state[away][:, at].double()
        assert x.abs().max().item() <= half
        assert x.std(0).tolist() == pytest.approx([half / math.sqrt(3.0)] * 3, rel=0.03)
    middle = 0.5 * (starts.vehicle.rotor_speed_min + starts.vehicle.rotor_speed_max)
    assert (starts.state[:, ROTOR] == middle).all()


def test_disturbances_are_shares_of_the_weight(starts: Quadrotor) -> None:
    weight = starts.vehicle.mass * GRAVITY_M_S2
    for at, share in ((P.FORCE, 0.05), (P.MOMENT, 1e-4)):
        drawn = starts.params[:, span(at, 3)].double()
        assert drawn.std(0).tolist() == pytest.approx([share * weight] * 3, rel=0.03)


def test_plants_are_drawn_within_their_ranges() -> None:
    ranges = {
        "mass_scale": (0.8, 1.2),
        "thrust_scale": (0.9, 1.1),
        "inertia_scale": (0.7, 1.3),
        "arm_scale": (0.9, 1.1),
    }
    task = Quadrotor(QuadrotorConfig(num_envs=4000, rotor_time_s=(0.05, 0.25), **ranges))
    v = task.vehicle
    nominal = {
        P.MASS: v.mass,
        P.THRUST_2: v.thrust_curve[2],
        P.INERTIA: v.inertia[0],
        P.ROTOR_X: v.rotor_x[0],
    }
    for (column, value), (low, high) in zip(nominal.items(), ranges.values(), strict=True):
        scale = task.params[:, column] / value
        assert scale.min().item() == pytest.approx(low, abs=0.003) and scale.min() >= low - 1e-6
        assert scale.max().item() == pytest.approx(high, abs=0.003) and scale.max() <= high + 1e-6
    rise = task.params[:, P.RISE]
    assert rise.min() >= 0.05 - 1e-6 and rise.max() <= 0.25 + 1e-6
    assert rise.log().mean().item() == pytest.approx(0.5 * math.log(0.05 * 0.25), abs=0.03)  # log-uniform


def flight(task: Quadrotor, steps: int, seed: int) -> Tensor:
    """Every observation and reward of `steps` random actions, (steps, num_envs, ...)."""
    draw = torch.Generator().manual_seed(seed)
    top = task.vehicle.rotor_speed_max
    seen = []
    for _ in range(steps):
        obs, reward, *_ = task.step(top * torch.rand(task.num_envs, 4, generator=draw))
        seen.append(torch.cat([obs.flat, reward[:, None]], 1).clone())
    return torch.stack(seen)


LIVELY = QuadrotorConfig(num_envs=64, gust_std=0.1, rate_bias_std=0.01, rotor_time_s=(0.05, 0.25), episode_s=0.3)


def test_one_seed_gives_the_same_bits_and_another_does_not() -> None:
    first, second, other = (flight(Quadrotor(LIVELY, seed), 60, 0) for seed in (5, 5, 6))
    assert torch.equal(first, second)  # autoresets among them
    assert not torch.equal(first, other)


def test_reset_with_a_seed_starts_the_same_history_again() -> None:
    task = Quadrotor(LIVELY, seed=5)
    first = flight(task, 40, 0)
    flight(task, 13, 1)
    task.reset(5)
    assert torch.equal(flight(task, 40, 0), first)


def test_a_kept_state_goes_on_to_the_bit_in_a_new_task() -> None:
    task = Quadrotor(LIVELY, seed=5)
    flight(task, 20, 0)
    kept = {name: value.clone() for name, value in task.state_dict().items()}
    onward = flight(task, 40, 1)
    resumed = Quadrotor(LIVELY, seed=99)
    resumed.load_state_dict(kept)
    assert torch.equal(flight(resumed, 40, 1), onward)


def test_restarting_some_does_not_disturb_the_others() -> None:
    task = Quadrotor(LIVELY, seed=5)
    flight(task, 7, 0)
    state, params, age = task.state.clone(), task.params.clone(), task.episode_length_buf.clone()
    mask = torch.arange(task.num_envs) % 3 == 0
    task.restart(mask)
    assert torch.equal(task.state[~mask], state[~mask])
    assert torch.equal(task.params[~mask], params[~mask])
    assert torch.equal(task.episode_length_buf[~mask], age[~mask])
    assert (task.state[mask] != state[mask]).any(1).all()
    assert (task.episode_length_buf[mask] == 0).all()


def test_every_environment_has_noise_and_a_plant_of_its_own() -> None:
    task = Quadrotor(LIVELY, seed=5)
    task.step(command(task, 1000.0))
    assert len(task.params[:, P.RISE].unique()) == task.num_envs
    assert len(task.observe()["position"][:, 0].unique()) == task.num_envs
