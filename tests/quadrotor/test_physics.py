"""The quadrotor's physics against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import warp as wp
from plant import ATTITUDE, POSITION, RATE, ROTOR, VELOCITY, command, hover_speed, plant, rotate, span
from torch import Tensor

from robostack.lanes import as_lanes, columns, num_threads
from robostack_sim.quadrotor.mujoco_plant import MujocoPlant
from robostack_sim.quadrotor.physics import P, S, fly
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2


def coast(task: Quadrotor, seconds: float, command: Tensor) -> Tensor:
    """The state (num_envs, S.SIZE) after `seconds` under one command (num_envs, 4), with no sensors."""
    after = columns(task.num_envs, S.SIZE, task.device)
    held = columns(task.num_envs, 4, task.device)
    held.copy_(command)
    steps = round(seconds / task.step_dt)
    arrays = [as_lanes(task.params), task.step_dt, steps, as_lanes(task.state), as_lanes(held), as_lanes(after)]
    wp.launch(fly, num_threads(task.num_envs, task.device), arrays, device="cpu")
    return after


def test_with_rotors_stopped_it_falls_as_any_stone() -> None:
    task = plant()
    task.state[:, ROTOR] = 0.0
    after = coast(task, 2.0, command(task, 0.0))
    assert after[0, 2].item() == pytest.approx(-0.5 * GRAVITY_M_S2 * 4.0, rel=1e-5)
    assert after[0, 9].item() == pytest.approx(-GRAVITY_M_S2 * 2.0, rel=1e-5)


def test_with_drag_it_nears_its_terminal_speed_exponentially() -> None:
    task = plant()
    drag, mass = 0.03, task.params[0, P.MASS].item()
    task.params[:, P.DRAG + 2] = drag
    task.state[:, ROTOR] = 0.0
    for seconds in (0.2, 1.0, 5.0):
        speed = coast(task, seconds, command(task, 0.0))[0, 9].item()
        expected = -mass * GRAVITY_M_S2 / drag * (1 - math.exp(-drag * seconds / mass))
        assert speed == pytest.approx(expected, rel=6e-3)  # half a period of the drag's own time constant


def test_drag_acts_along_the_bodys_own_axes() -> None:
    task = plant()
    task.params[:, P.DRAG] = 0.01  # along body x, which points along world y
    task.state[:, ATTITUDE] = torch.tensor([math.cos(math.pi / 4), 0.0, 0.0, math.sin(math.pi / 4)])
    task.state[:, VELOCITY] = torch.tensor([1.0, 1.0, 0.0])
    task.state[:, ROTOR] = hover_speed(task)[:, None]
    after = coast(task, 0.1, hover_speed(task)[:, None].expand(-1, 4).contiguous())
    assert after[0, 7].item() == pytest.approx(1.0, abs=1e-5)
    decay = 0.01 / task.params[0, P.MASS].item()
    assert after[0, 8].item() == pytest.approx(math.exp(-decay * 0.1), rel=1e-3)


@pytest.mark.parametrize("vehicle", ["crazyflie_2_1", "crazyflie_l2f"])
def test_at_hover_speed_it_stays_for_a_minute(vehicle: str) -> None:
    task = plant(vehicle=vehicle)
    assert hover_speed(task).item() == pytest.approx(task.vehicle.hover_speed_rad_s, rel=1e-6)
    task.state[:, ROTOR] = hover_speed(task)[:, None]
    after = coast(task, 60.0, hover_speed(task)[:, None].expand(-1, 4).contiguous())
    # half an ulp of rotor speed is 1e-6 m/s2, and 2 mm after a minute
    assert after[0, POSITION].abs().max().item() < 0.02
    assert after[0, VELOCITY].abs().max().item() < 1e-3
    assert after[0, ATTITUDE].tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-6)


def spinning(inertia: tuple[float, float, float], rate: tuple[float, float, float]) -> Quadrotor:
    task = plant()
    task.params[:, span(P.INERTIA, 3)] = torch.tensor(inertia)
    task.state[:, ROTOR] = 0.0
    task.state[:, RATE] = torch.tensor(rate)
    return task


def test_a_symmetric_top_precesses_at_its_rate() -> None:
    ixx, izz = 1.4e-5, 2.2e-5
    task = spinning((ixx, ixx, izz), (2.0, 0.0, 8.0))
    seconds = 2.0
    after = coast(task, seconds, command(task, 0.0))
    angle = (izz - ixx) / ixx * 8.0 * seconds
    expected = [2.0 * math.cos(angle), 2.0 * math.sin(angle), 8.0]
    assert after[0, RATE].tolist() == pytest.approx(expected, abs=0.02)


def test_free_rotation_keeps_energy_and_angular_momentum() -> None:
    inertia = (1.4e-5, 1.8e-5, 2.2e-5)
    task = spinning(inertia, (3.0, 5.0, -4.0))
    moments = torch.tensor(inertia, dtype=torch.float64)

    def energy_and_momentum(state: Tensor) -> tuple[float, Tensor]:
        q, w = state[:, ATTITUDE].double(), state[:, RATE].double()
        return (moments * w * w).sum().item() / 2, rotate(q, moments * w)[0]

    energy, momentum = energy_and_momentum(task.state)
    later_energy, later_momentum = energy_and_momentum(coast(task, 3.0, command(task, 0.0)))
    assert later_energy == pytest.approx(energy, rel=2e-3)
    assert (later_momentum - momentum).norm() < 5e-3 * momentum.norm()


def test_the_quaternion_stays_a_unit_quaternion() -> None:
    after = coast(spinning((1.4e-5, 1.8e-5, 2.2e-5), (20.0, -15.0, 30.0)), 10.0, torch.zeros(1, 4))
    assert after[0, ATTITUDE].norm().item() == pytest.approx(1.0, abs=1e-6)


def test_turning_about_one_axis_turns_by_rate_times_time() -> None:
    task = spinning((1e-5, 1e-5, 2e-5), (0.0, 0.0, 10.0))
    after = coast(task, 1.0, command(task, 0.0))
    assert after[0, ATTITUDE].tolist() == pytest.approx([math.cos(5.0), 0.0, 0.0, math.sin(5.0)], abs=1e-4)


@pytest.mark.parametrize(("start", "goal", "tau"), [(0.0, 2000.0, P.RISE), (2000.0, 500.0, P.FALL)])
def test_a_rotor_follows_a_step_with_its_time_constant_exactly(start: float, goal: float, tau: P) -> None:
    task = plant()
    task.params[:, P.RISE], task.params[:, P.FALL] = 0.031, 0.173
    task.state[:, ROTOR] = start
    for k in range(1, 31):
        task.step(command(task, goal))
        share = math.exp(-k * task.step_dt / task.params[0, tau].item())
        assert task.state[0, S.ROTOR].item() == pytest.approx(goal + (start - goal) * share, rel=1e-5)


def test_thrust_is_the_vehicles_curve_of_rotor_speed() -> None:
    speed = torch.linspace(0.0, 2200.0, 12)
    task = plant(len(speed))
    task.params[:, span(P.THRUST_0, 3)] = torch.tensor([0.002, 3e-6, 2.5e-8])
    task.state[:, ROTOR] = speed[:, None]
    task.step(speed[:, None].expand(-1, 4).contiguous())
    lift = 4 * (0.002 + 3e-6 * speed + 2.5e-8 * speed**2)
    expected = (lift / task.params[:, P.MASS] - GRAVITY_M_S2) * task.step_dt
    torch.testing.assert_close(task.state[:, 9], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("asked", "done"), [(9e9, "rotor_speed_max"), (-500.0, "rotor_speed_min")])
def test_a_command_beyond_the_limits_acts_as_the_limit_and_is_reported_as_applied(asked: float, done: str) -> None:
    wild, tame = plant(), plant()
    limit = getattr(wild.vehicle, done)
    obs, *_ = wild.step(command(wild, asked))
    tame.step(command(tame, limit))
    assert torch.equal(wild.state, tame.state)
    assert obs["applied_action"][0].tolist() == pytest.approx([limit] * 4)


# FLU: more thrust in front lifts the nose (negative about y), more on the left rolls to the right (positive about x)
@pytest.mark.parametrize(
    ("rotor", "roll", "pitch", "yaw"),
    [(0, -1, -1, -1), (1, -1, 1, 1), (2, 1, 1, -1), (3, 1, -1, 1)],
    ids=["front_right", "back_right", "back_left", "front_left"],
)
@pytest.mark.parametrize("make", [Quadrotor, MujocoPlant])
def test_a_faster_rotor_turns_the_body_the_way_its_place_and_spin_say(
    make: type[Quadrotor], rotor: int, roll: int, pitch: int, yaw: int
) -> None:
    task = plant(make=make)
    speed = hover_speed(task)[:, None].repeat(1, 4)
    speed[:, rotor] *= 1.1
    task.state[:, ROTOR] = speed
    task.step(speed)
    p = task.params[0]
    excess = p[P.THRUST_2] * 0.21 * hover_speed(task)[0] ** 2
    lever = torch.stack([p[P.ROTOR_Y + rotor].abs(), p[P.ROTOR_X + rotor].abs(), p[P.TORQUE]])
    expected = torch.tensor([roll, pitch, yaw]) * excess * lever / p[span(P.INERTIA, 3)] * task.step_dt
    torch.testing.assert_close(task.state[0, RATE], expected, rtol=2e-2, atol=0.0)


def test_the_reaction_of_a_rotor_turns_the_body_against_the_rotor() -> None:
    # front right and back left spin with +z (counter-clockwise) and push the body clockwise, the others the reverse
    task = plant()
    speed = hover_speed(task)[:, None] * torch.tensor([[1.1, 0.9, 1.1, 0.9]])
    task.state[:, ROTOR] = speed
    task.step(speed)
    assert task.state[0, 12].item() < -0.1
    assert task.state[0, RATE][:2].abs().max().item() < 1e-3


def test_a_constant_force_and_moment_push_as_newton_says() -> None:
    task = plant()
    force, moment = torch.tensor([0.01, -0.02, 0.03]), torch.tensor([0.0, 0.0, 1e-6])
    task.params[:, span(P.FORCE, 3)], task.params[:, span(P.MOMENT, 3)] = force, moment
    task.state[:, ROTOR] = hover_speed(task)[:, None]
    after = coast(task, 0.5, hover_speed(task)[:, None].expand(-1, 4).contiguous())
    torch.testing.assert_close(after[0, VELOCITY], force / task.params[0, P.MASS] * 0.5, rtol=1e-3, atol=1e-5)
    assert after[0, 12].item() == pytest.approx(1e-6 / task.params[0, P.INERTIA + 2].item() * 0.5, rel=1e-4)


def test_under_load_the_battery_sags_and_the_rotors_turn_slower() -> None:
    task = plant()
    task.params[:, P.SAG] = 0.2
    task.state[:, S.BATTERY] = 0.9
    high = task.vehicle.rotor_speed_max
    for speed in (0.5 * high, high):
        turns = coast(task, 3.0, command(task, speed))[0, S.ROTOR].item()
        assert turns == pytest.approx(0.9 * (1 - 0.2 * (turns / high) ** 2) * speed, rel=1e-5)


def test_the_battery_empties_at_its_rate_and_never_below_nothing() -> None:
    task = plant(2)
    task.params[:, P.DISCHARGE] = torch.tensor([0.05, 3.0])
    for _ in range(50):
        task.step(command(task, 1000.0))
    assert task.state[0, S.BATTERY].item() == pytest.approx(1.0 - 0.05 * 0.5, rel=1e-5)
    assert task.state[1, S.BATTERY].item() == 0.0


def test_the_bare_simulator_and_the_task_are_one_physics() -> None:
    task = plant(8, origin_share=0.0, rate_max_rad_s=5.0, velocity_max_m_s=2.0)
    u = command(task, 1400.0, 1500.0, 1450.0, 1600.0)
    bare = coast(task, 0.2, u)
    for _ in range(20):
        task.step(u)
    torch.testing.assert_close(task.state[:, : S.COMMAND_1], bare[:, : S.COMMAND_1], rtol=1e-5, atol=1e-5)
