"""Thrust and body rates: the autopilot's rate controller and mixer against closed forms, and its adjoint."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from plant import LEVEL, RATE, plant, span
from test_gradients import STATE_STEP, agree, slope
from torch import Tensor

from robostack.spec import ContractError
from robostack_sim.quadrotor.autopilot import FIELDS, SUBSTEPS, A, hover_thrust, load_autopilot, mixer
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.interface import level_descend_by_rates
from robostack_sim.quadrotor.mujoco_plant import MujocoPlant
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.rate_control import R
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.vehicle import load_vehicle

COMMANDS = span(R.ROTOR_COMMAND, 4)


def rates_plant(num_envs: int = 1, seed: int = 0, **changes: object) -> Quadrotor:
    return plant(num_envs, seed, action="thrust_and_rates", **changes)


def bare(num_envs: int = 1) -> Quadrotor:
    """Nothing but P: no lag of rotors, no filter, no delay, a motor command that is the root of thrust."""
    task = rates_plant(num_envs)
    task.params[:, [P.RISE, P.FALL]] = 1e-5
    numbers = task._numbers[0]
    numbers[span(A.I, 6)] = 0.0
    numbers[span(A.GYRO, 2)] = 1.0
    numbers[A.DELAY] = 0.0
    numbers[A.THRUST_MODEL] = 1.0
    return task


def hover_of(task: Quadrotor, thrust_model: float = 0.0) -> float:
    return hover_thrust(task.vehicle, replace(load_autopilot("px4_crazyflie"), thrust_model=thrust_model))


def ask(task: Quadrotor, thrust: float, roll: float = 0.0, pitch: float = 0.0, yaw: float = 0.0) -> Tensor:
    return torch.tensor([[thrust, roll, pitch, yaw]]).expand(task.num_envs, 4).contiguous()


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["roll", "pitch", "yaw"])
def test_a_rate_step_is_the_first_order_response_that_the_gain_implies(axis: int) -> None:
    task, wanted = bare(), 0.5
    v = task.vehicle
    effect = (v.rotor_y, tuple(-x for x in v.rotor_x), tuple(v.torque_to_thrust * s for s in v.rotor_spin))[axis]
    full_n = v.thrust_n(v.rotor_speed_max)
    gain = task._numbers[0, A.P + axis].item() * full_n * float(mixer(v)[:, axis] @ effect) / v.inertia[axis]
    keeps = 1.0 - gain * task.step_dt / SUBSTEPS
    for period in range(1, 6):
        task.step(ask(task, 0.5, **{("roll", "pitch", "yaw")[axis]: wanted}))
        expected = wanted * (1.0 - keeps ** (SUBSTEPS * period))
        assert task.state[0, S.RATE + axis].item() == pytest.approx(expected, rel=5e-3)


def test_on_a_crazyflie_the_mixer_is_px4s_for_an_x_frame() -> None:
    expected = [[-1, -1, -1], [-1, 1, 1], [1, 1, -1], [1, -1, 1]]
    scale = [math.sqrt(0.5), math.sqrt(0.5), 1.0]
    found = mixer(load_vehicle("crazyflie_2_1"))
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected) * torch.tensor(scale, dtype=torch.float64))


@pytest.mark.parametrize("thrust_model", [0.0, 0.4, 1.0])
def test_hover_thrust_lifts_the_weight_whatever_the_motors_curve(thrust_model: float) -> None:
    task = bare()
    task._numbers[0, A.THRUST_MODEL] = thrust_model
    for _ in range(100):
        task.step(ask(task, hover_of(task, thrust_model)))
    assert abs(task.state[0, S.VELOCITY + 2].item()) < 0.02
    torch.testing.assert_close(task.state[:, span(S.ATTITUDE, 4)], LEVEL[None])


@pytest.mark.parametrize("thrust_model", [0.0, 1.0])
def test_the_fallback_by_rates_levels_out_and_sinks_slowly(thrust_model: float) -> None:
    task = bare()
    task._numbers[0, A.THRUST_MODEL] = thrust_model
    task.state[0, span(S.ATTITUDE, 4)] = torch.tensor([math.cos(0.3), math.sin(0.3), 0.0, 0.0])
    rung = level_descend_by_rates(task.vehicle, replace(load_autopilot("px4_crazyflie"), thrust_model=thrust_model))
    base, gain = torch.tensor(rung.base), torch.tensor(rung.gain)
    for _ in range(300):
        w, x, y, z = task.state[0, span(S.ATTITUDE, 4)]
        tilt = torch.stack([2 * (w * x + y * z), 2 * (w * y - x * z)])
        signals = torch.cat([tilt, task.state[0, span(S.RATE, 3)], task.state[0, S.VELOCITY + 2 : S.VELOCITY + 3]])
        task.step((base + gain @ signals)[None])
    assert -1.2 < task.state[0, S.VELOCITY + 2].item() < -0.4  # 0.08 g over 1 /s is 0.78 m/s
    assert task.state[0, S.ATTITUDE + 1 : S.ATTITUDE + 3].abs().max() < 0.01


def test_the_whole_controller_reaches_a_rate_in_a_fifth_of_a_second_and_the_integral_holds_it() -> None:
    task = rates_plant()
    task.params[:, P.MOMENT] = 2e-4  # N m, a twentieth of what roll can do
    rates = []
    for _ in range(60):
        task.step(ask(task, 0.5, roll=1.0))
        rates.append(task.state[0, S.RATE].item())
    assert max(rates) < 1.6
    assert abs(rates[20] - 1.0) < 0.3
    assert abs(rates[-1] - 1.0) < 0.06
    assert task.state[0, R.INTEGRAL].item() < 0.0  # against the moment


def test_no_command_leaves_the_rotors_range_and_roll_goes_before_yaw() -> None:
    task = bare(64)
    draw = torch.Generator().manual_seed(0)
    task.state[:, RATE] = 6.0 * torch.randn(64, 3, generator=draw)
    task.step(torch.rand(64, 4, generator=draw))
    assert (task.state[:, COMMANDS] >= 0.0).all()
    assert (task.state[:, COMMANDS] <= task.vehicle.rotor_speed_max * (1 + 1e-6)).all()
    task = bare()
    task.state[:, RATE] = torch.tensor([-30.0, 0.0, 0.0])  # to be stopped takes more than all of roll's torque
    task.step(ask(task, 0.5, yaw=3.0))
    right, left = task.state[0, COMMANDS][:2], task.state[0, COMMANDS][2:]
    assert (right < 0.1 * left).all() and left[0] == pytest.approx(left[1].item(), rel=1e-3)


@pytest.mark.parametrize(("airmode", "turns"), [(1.0, True), (0.0, False)])
def test_without_thrust_roll_has_its_say_only_in_airmode(airmode: float, turns: bool) -> None:
    task = bare()
    task._numbers[0, A.AIRMODE] = airmode
    task.step(ask(task, 0.0, roll=3.0))
    assert (task.state[0, S.RATE].item() > 1.0) == turns


def test_a_setpoint_acts_after_its_delay() -> None:
    """12 ms late: nothing in the first period, one substep short of three in the second."""
    task = bare()
    task.params[:, P.ACTION_DELAY] = 0.012
    hover = hover_of(task)
    task.state[:, [S.COMMAND_1, S.COMMAND_2]] = hover
    task.step(ask(task, hover, roll=1.0))
    assert task.state[0, S.RATE].item() == pytest.approx(0.0, abs=1e-5)
    task.step(ask(task, hover, roll=1.0))
    late = task.state[0, S.RATE].item()
    prompt = bare()
    prompt.step(ask(prompt, hover, roll=1.0))
    assert 0.3 < late < prompt.state[0, S.RATE].item()


def test_the_adjoint_of_a_window_agrees_with_differences() -> None:
    """Nothing saturates, everything acts: filters, integral, D, delay, gusts, sag."""
    n, horizon = 128, 6
    task = rates_plant(
        n, 3, origin_share=0.0, position_max_m=0.03, velocity_max_m_s=0.5, rate_max_rad_s=0.5, angle_max_rad=0.4,
        delay_s=(0.001, 0.018), force_std=0.03, moment_std=3e-5, gust_std=0.03, noise_scale=1.0,
    )  # fmt: skip
    task.params[:, P.SAG] = 0.05
    task.state[:, span(S.ROTOR, 4)] = task.vehicle.hover_speed_rad_s
    task.state[:, [S.COMMAND_1, S.COMMAND_2]] = hover_of(task)
    task.state[:, span(R.INTEGRAL, 3)] = 0.01
    kept = {name: value.clone() for name, value in task.state_dict().items()}
    draw = torch.Generator().manual_seed(1)
    step = torch.tensor([0.02, 0.1, 0.1, 0.1])
    middle = torch.tensor([hover_of(task), 0.0, 0.0, 0.0])
    actions = middle + 0.5 * step * torch.randn(horizon, n, 4, generator=draw)

    def loss(actions: Tensor, state: Tensor) -> Tensor:
        task.load_state_dict(kept)
        window = task.unroll(horizon)
        window.begin()
        window._state = state
        total = torch.zeros(n, dtype=torch.float64)
        for action in actions.unbind(0):
            obs, reward, _ = window.step(action)
            total = total - reward.double()
        true = obs["true_state"].double()
        return total + (10.0 * true[:, :3].square() + true[:, 7:10].square() + 0.1 * true[:, 10:13]).sum(1)

    leaf, start = actions.clone().requires_grad_(), kept["state"].clone().requires_grad_()
    by_action, by_state = torch.autograd.grad(loss(leaf, start).sum(), (leaf, start))
    along = step * torch.randn(horizon, n, 4, generator=draw)
    numeric = slope(lambda h: loss(actions + h * along, kept["state"]).detach())
    agree((by_action.double() * along).sum((0, 2)), numeric, 4e-3)
    steps = torch.cat([STATE_STEP, torch.full((3,), 0.003), torch.full((3,), 0.1), torch.full((3,), 3.0),
                       torch.full((4,), 30.0)])  # fmt: skip
    steps[span(S.COMMAND_1, 8)] = step.repeat(2)
    steps[span(S.RATE, 3)] = 0.1
    along = steps * torch.randn(n, R.SIZE, generator=draw)
    numeric = slope(lambda h: loss(actions, kept["state"] + h * along).detach())
    agree((by_state.double() * along).sum(1), numeric, 4e-3)


def test_every_number_of_a_shipped_autopilot_has_a_source() -> None:
    text = files("robostack_sim.quadrotor").joinpath("autopilots", "px4_crazyflie.toml").read_text()
    assert text.count('source = "') == len(FIELDS)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("delay = { value = 0.0015", "delay = { value = 0.005", "delay = 0.005 s: the rate loop's period is 0.0025 s"),
        ("delay = { value = 0.0015", "delay = { value = 15", "delay.value = 15: must lie in"),
        ('unit = "Hz"', 'unit = "rad/s"', "gyro_cutoff.unit = 'rad/s': must be 'Hz'"),
        ("airmode", "air_mode", "missing .*airmode.*px4_crazyflie.toml"),
    ],
)
def test_a_wrong_autopilot_file_is_named_with_field_and_value(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = files("robostack_sim.quadrotor").joinpath("autopilots", "px4_crazyflie.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ContractError, match=says):
        Quadrotor(QuadrotorConfig(num_envs=1, action="thrust_and_rates", autopilot=str(path)))


def test_no_other_autopilot_is_shipped_by_an_unknown_name() -> None:
    with pytest.raises(ContractError, match=r"autopilot 'betaflight'.*px4_crazyflie"):
        load_autopilot("betaflight")


def test_another_simulators_plant_says_that_it_flies_rotor_speeds_only() -> None:
    with pytest.raises(ValueError, match="rotor speeds only"):
        MujocoPlant(QuadrotorConfig(num_envs=1, action="thrust_and_rates"))
