"""The quadrotor in MuJoCo: against closed forms, against a fine reference, and against our own physics."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from plant import ATTITUDE, POSITION, RATE, ROTOR, VELOCITY, command, fine_flight, hover_speed, plant, rotate, span
from torch import Tensor

from robostack.task import Obs
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.mujoco_plant import MujocoPlant, build
from robostack_sim.quadrotor.physics import GRAVITY_M_S2, P, S
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import figure_eight_rmse_m, survival
from robostack_sim.quadrotor.vehicle import load_vehicle

mujoco_plant = partial(plant, make=MujocoPlant)
SIDEWAYS = torch.tensor([math.cos(0.6), math.sin(0.6) * 0.6, math.sin(0.6) * 0.8, 0.0])


def fly(task: Quadrotor, seconds: float, action: Tensor) -> Tensor:
    """The state after `seconds` under one command."""
    for _ in range(round(seconds / task.step_dt)):
        task.step(action)
    return task.state


def test_the_model_is_the_vehicle() -> None:
    vehicle = load_vehicle("crazyflie_2_1")
    model = build(vehicle).compile()
    assert model.body_mass[1] == vehicle.mass
    assert model.body_inertia[1].tolist() == pytest.approx(vehicle.inertia)
    assert model.body_ipos[1].tolist() == [0.0, 0.0, 0.0]
    assert model.site_pos[1:, 0].tolist() == pytest.approx(vehicle.rotor_x)
    assert model.site_pos[1:, 1].tolist() == pytest.approx(vehicle.rotor_y)
    assert model.opt.timestep == 0.005
    assert model.opt.gravity.tolist() == [0.0, 0.0, -GRAVITY_M_S2]


def test_tilted_and_turning_it_falls_as_any_stone() -> None:
    # velocity is in the world: neither attitude nor rate may turn it
    task = mujoco_plant()
    task.state[:, S.ROTOR : S.GUST] = 0.0
    task.state[:, ATTITUDE] = SIDEWAYS
    task.state[:, VELOCITY] = torch.tensor([1.0, 2.0, 3.0])
    task.state[:, RATE] = torch.tensor([4.0, -3.0, 5.0])
    after = fly(task, 1.0, command(task, 0.0))[0]
    assert after[POSITION].tolist() == pytest.approx([1.0, 2.0, 3.0 - GRAVITY_M_S2 / 2], abs=1e-4)
    assert after[VELOCITY].tolist() == pytest.approx([1.0, 2.0, 3.0 - GRAVITY_M_S2], abs=1e-4)


@pytest.mark.parametrize("vehicle", ["crazyflie_2_1", "crazyflie_l2f"])
def test_at_the_vehicles_hover_speed_it_stays(vehicle: str) -> None:
    task = mujoco_plant(vehicle=vehicle)
    speed = hover_speed(task)[:, None].repeat(1, 4)
    task.state[:, S.ROTOR : S.GUST] = speed.repeat(1, 3)
    after = fly(task, 5.0, speed)[0]
    assert after[POSITION].abs().max() < 1e-3
    assert after[ATTITUDE].tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-6)


def test_a_symmetric_top_precesses_at_its_rate_in_its_own_frame() -> None:
    ixx, izz, seconds = 1.4e-5, 2.2e-5, 1.0
    task = mujoco_plant()
    task.params[:, span(P.INERTIA, 3)] = torch.tensor([ixx, ixx, izz])
    task.state[:, S.ROTOR : S.GUST] = 0.0
    task.state[:, ATTITUDE] = SIDEWAYS
    task.state[:, RATE] = torch.tensor([2.0, 0.0, 8.0])
    angular_momentum = rotate(task.state[:, ATTITUDE], torch.tensor([[2.0 * ixx, 0.0, 8.0 * izz]]))
    after = fly(task, seconds, command(task, 0.0))
    angle = (izz - ixx) / ixx * 8.0 * seconds
    assert after[0, RATE].tolist() == pytest.approx([2.0 * math.cos(angle), 2.0 * math.sin(angle), 8.0], abs=1e-3)
    kept = rotate(after[:, ATTITUDE], after[:, RATE] * torch.tensor([ixx, ixx, izz]))
    torch.testing.assert_close(kept, angular_momentum, rtol=1e-3, atol=1e-8)


def test_a_constant_moment_is_in_the_body_and_a_constant_force_in_the_world() -> None:
    task = mujoco_plant()
    task.state[:, S.ROTOR : S.GUST] = 0.0
    task.state[:, ATTITUDE] = SIDEWAYS
    moment, force = 2e-6, torch.tensor([0.01, -0.02, 0.03])
    task.params[:, span(P.MOMENT, 3)] = torch.tensor([0.0, 0.0, moment])
    task.params[:, span(P.FORCE, 3)] = force
    inertia, mass = task.params[0, P.INERTIA + 2].item(), task.params[0, P.MASS].item()
    after = fly(task, 0.5, command(task, 0.0))[0]
    assert after[RATE].tolist() == pytest.approx([0.0, 0.0, moment / inertia * 0.5], abs=1e-6)
    gravity = torch.tensor([0.0, 0.0, -GRAVITY_M_S2])
    torch.testing.assert_close(after[VELOCITY], (force / mass + gravity) * 0.5, rtol=1e-4, atol=1e-5)


def test_drag_acts_along_the_bodys_own_axes() -> None:
    task = mujoco_plant()
    task.params[:, P.DRAG] = 0.01  # along body x, which points along world y
    task.state[:, ATTITUDE] = torch.tensor([math.cos(math.pi / 4), 0.0, 0.0, math.sin(math.pi / 4)])
    task.state[:, VELOCITY] = torch.tensor([1.0, 1.0, 0.0])
    speed = hover_speed(task)[:, None].repeat(1, 4)
    task.state[:, S.ROTOR : S.GUST] = speed.repeat(1, 3)
    after = fly(task, 0.1, speed)[0]
    assert after[7].item() == pytest.approx(1.0, abs=1e-5)
    assert after[8].item() == pytest.approx(math.exp(-0.01 / task.params[0, P.MASS].item() * 0.1), rel=1e-4)


@pytest.mark.parametrize(("start", "goal", "tau"), [(0.0, 2000.0, P.RISE), (2000.0, 500.0, P.FALL)])
def test_a_rotor_follows_a_step_with_its_time_constant_exactly(start: float, goal: float, tau: P) -> None:
    task = mujoco_plant()
    task.params[:, P.RISE], task.params[:, P.FALL] = 0.031, 0.173
    task.params[:, P.ACTION_DELAY] = 0.0137
    task.state[:, S.ROTOR : S.GUST] = start
    for k in range(1, 31):
        task.step(command(task, goal))
        share = math.exp(-max(k * task.step_dt - 0.0137, 0.0) / task.params[0, tau].item())
        assert task.state[0, S.ROTOR].item() == pytest.approx(goal + (start - goal) * share, rel=1e-5, abs=1e-3)


def test_its_rotors_turn_as_ours_whatever_delay_and_battery() -> None:
    config = QuadrotorConfig(num_envs=32, battery=(0.7, 1.0), rotor_time_s=(0.05, 0.2), box_m=100.0)
    ours, theirs, draw = Quadrotor(config, 3), MujocoPlant(config, 3), torch.Generator().manual_seed(0)
    for _ in range(30):
        action = 2500.0 * torch.rand(32, 4, generator=draw)
        ours.step(action)
        theirs.step(action)
    torch.testing.assert_close(theirs.state[:, ROTOR], ours.state[:, ROTOR], rtol=1e-5, atol=1e-2)


def test_every_environment_has_a_machine_of_its_own() -> None:
    task = mujoco_plant(3, mass_scale=(0.5, 1.5))
    for round_ in range(2):  # parameters may be edited between steps
        task.params[:, P.MASS] = torch.tensor([0.02, 0.03, 0.05]) + 0.01 * round_
        task.state[:, VELOCITY] = 0.0
        task.state[:, S.ROTOR : S.GUST] = 1500.0
        thrust = 4 * task.params[:, P.THRUST_2] * 1500.0**2
        task.step(command(task, 1500.0))
        expected = (thrust / task.params[:, P.MASS] - GRAVITY_M_S2) * task.step_dt
        torch.testing.assert_close(task.state[:, 9], expected, rtol=1e-4, atol=1e-6)


def one_second(make: Any, dt: float = 0.01) -> tuple[Any, Tensor]:
    """32 machines at L2F's starts, disturbed, delayed, with drag; and commands (T, N, 4) for a second, within 3 % of
    hover and new every 50 ms."""
    n, draw = 32, torch.Generator().manual_seed(1)
    task = plant(
        n, make=make, step_dt=dt, origin_share=0.0, velocity_max_m_s=1.0, rate_max_rad_s=1.0, force_std=0.05,
        moment_std=1e-5,
    )  # fmt: skip
    task.params[:, span(P.DRAG, 3)] = torch.tensor(task.vehicle.drag)
    task.params[:, P.ACTION_DELAY] = (torch.rand(n, generator=draw) * 20).round() * 5e-4
    task.state[:, S.COMMAND_1 : S.GUST] = task.state[:, S.ROTOR, None]
    held = task.vehicle.hover_speed_rad_s * (0.97 + 0.06 * torch.rand(20, n, 4, generator=draw))
    return task, held.repeat_interleave(round(0.05 / dt), 0)


def flown(task: Any, commands: Tensor) -> Tensor:
    for u in commands:
        task.step(u)
    return task.state[:, :17].double()


def worst(a: Tensor, b: Tensor) -> dict[str, float]:
    """The largest differences in position (m), attitude (rad), rotor speed (rad/s)."""
    sign = (a[:, ATTITUDE] * b[:, ATTITUDE]).sum(1, keepdim=True).sign()
    return {
        "position": (a - b)[:, POSITION].norm(dim=1).max().item(),
        "attitude": 2 * (a[:, ATTITUDE] - sign * b[:, ATTITUDE]).norm(dim=1).max().item(),
        "rotor": (a - b)[:, ROTOR].abs().max().item(),
    }


@pytest.fixture(scope="module")
def truth() -> Tensor:
    task, commands = one_second(Quadrotor)
    return fine_flight(task.params, task.state, commands, task.step_dt, step_s=5e-4)


def test_for_a_second_it_is_the_fine_reference(truth: Tensor) -> None:
    error = worst(flown(*one_second(MujocoPlant)), truth)
    print(f"error against a reference of 0.5 ms after a second: {error}")
    assert error["position"] < 5e-4
    assert error["attitude"] < 5e-4
    assert error["rotor"] < 1e-2


@pytest.mark.parametrize(
    ("integrator", "low", "high"), [("Euler", 1.7, 2.4), ("implicit", 1.7, 2.4), ("RK4", 3.0, 5.0)]
)
def test_halving_its_time_step_shrinks_the_error_by_its_order(
    truth: Tensor, integrator: str, low: float, high: float
) -> None:
    # with Runge-Kutta what is left is that a step takes its thrust from the middle: second order
    errors = [
        worst(flown(*one_second(partial(MujocoPlant, timestep_s=timestep, integrator=integrator))), truth)["position"]
        for timestep in (0.01, 0.005)
    ]
    assert low < errors[0] / errors[1] < high


@pytest.mark.parametrize(
    ("drag", "error_m", "shrinks"), [(True, 0.01, 1.9), (False, 1e-3, 3.5)], ids=["with drag", "without"]
)
def test_our_own_physics_nears_it_as_the_control_period_shrinks(drag: bool, error_m: float, shrinks: float) -> None:
    # ours takes drag from the velocity at the period's start, to first order, and all else to second
    found = []
    for dt in (0.01, 0.005):
        ends = []
        for make in (Quadrotor, partial(MujocoPlant, timestep_s=0.0025)):
            task, commands = one_second(make, dt)
            task.params[:, P.ACTION_DELAY] = 0.0
            task.params[:, span(P.DRAG, 3)] *= drag
            ends.append(flown(task, commands))
        found.append(worst(*ends))
    coarse, fine = found
    assert coarse["position"] < error_m and coarse["attitude"] < 1e-3
    assert fine["position"] < coarse["position"] / shrinks and fine["attitude"] < coarse["attitude"] / 3.5


def test_the_same_questions_can_be_asked_of_it() -> None:
    config = QuadrotorConfig(num_envs=4, episode_s=0.5, force_std=0.0, moment_std=0.0, delay_s=(0.0, 0.0))
    hover = load_vehicle(config.vehicle).hover_speed_rad_s

    def height(obs: Obs, state: Tensor) -> tuple[Tensor, Tensor]:
        wanted = hover * (1.0 - 0.4 * obs["position"][:, 2:] - 0.3 * obs["velocity"][:, 2:])
        return wanted.repeat(1, 4), state

    level = replace(config, origin_share=1.0, velocity_max_m_s=0.0, rate_max_rad_s=0.0)
    for questioned, share in ((level, 1.0), (replace(config, box_m=0.01, origin_share=0.0), 0.0)):
        assert survival(height, torch.zeros(0), questioned, plant=MujocoPlant).survived == share
    # a machine that only keeps its height misses the figure-eight by as much as ours
    ours, theirs = (figure_eight_rmse_m(height, torch.zeros(0), config, 1.5, plant=p) for p in (Quadrotor, MujocoPlant))
    assert theirs == pytest.approx(ours, rel=1e-3) and 0.5 < ours < 2.0


def test_a_time_step_that_does_not_divide_the_period_is_refused() -> None:
    with pytest.raises(ValueError, match=r"timestep_s = 0\.003.*0\.01"):
        mujoco_plant(make=partial(MujocoPlant, timestep_s=0.003))
