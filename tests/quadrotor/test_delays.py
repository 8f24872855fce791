"""Delays are continuous: a command acts, and a measurement is taken, at exactly its time."""

from __future__ import annotations

import math

import pytest
import torch
from plant import ATTITUDE, LEVEL, POSITION, RATE, ROTOR, VELOCITY, command, plant, span
from torch.nn.functional import normalize

from robostack.spec import ContractError
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P, S

DELAYS_S = (0.0, 0.0001, 0.003, 0.0071, 0.0099, 0.01, 0.0137, 0.0199, 0.02)


def test_a_command_takes_effect_at_exactly_its_delay() -> None:
    task = plant(len(DELAYS_S))
    task.params[:, P.ACTION_DELAY] = torch.tensor(DELAYS_S)
    task.state[:, S.ROTOR : S.GUST] = 0.0  # rotors, and both commands under way
    tau = task.params[0, P.RISE].item()
    for k in range(1, 8):
        task.step(command(task, 1800.0))
        for i, delay in enumerate(DELAYS_S):
            acting = max(k * task.step_dt - delay, 0.0)
            expected = 1800.0 * (1.0 - math.exp(-acting / tau))
            assert task.state[i, S.ROTOR].item() == pytest.approx(expected, rel=1e-4, abs=0.01), (k, delay)


def test_commands_act_in_the_order_they_were_given_whatever_the_delay() -> None:
    steps = torch.tensor([500.0, 2000.0, 800.0, 1500.0, 0.0])
    for delay in (0.0043, 0.0157):
        task = plant()
        task.params[:, P.ACTION_DELAY] = delay
        task.params[:, P.RISE], task.params[:, P.FALL] = 0.05, 0.02
        task.state[:, S.ROTOR : S.GUST] = 1000.0
        # every switch is `delay` after its period's start; between switches an exponential
        speed, now, target, switches = (
            1000.0,
            0.0,
            1000.0,
            [(k * 0.01 + delay, u.item()) for k, u in enumerate(steps)],
        )
        for k, u in enumerate(steps):
            task.step(command(task, u.item()))
            end = (k + 1) * 0.01
            while switches and switches[0][0] <= end + 1e-9:
                at, following = switches.pop(0)
                speed = target + (speed - target) * math.exp(-(at - now) / (0.05 if target > speed else 0.02))
                now, target = at, following
            speed = target + (speed - target) * math.exp(-(end - now) / (0.05 if target > speed else 0.02))
            now = end
            assert task.state[0, S.ROTOR].item() == pytest.approx(speed, rel=1e-4)


def test_applied_action_is_the_command_under_way_not_the_one_that_acts() -> None:
    task = plant()
    task.params[:, P.ACTION_DELAY] = 0.015
    obs, *_ = task.step(command(task, 1234.0))
    assert obs["applied_action"][0].tolist() == [1234.0] * 4


def test_a_late_measurement_lies_between_two_states() -> None:
    shares = torch.linspace(0.0, 1.0, 6)
    task = plant(len(shares), velocity_max_m_s=1.0, rate_max_rad_s=3.0, origin_share=0.0, angle_max_rad=1.0)
    task.params[:, P.OBS_DELAY] = shares * task.step_dt
    before = task.state.clone()
    obs, *_ = task.step(command(task, 1500.0, 1400.0, 1500.0, 1600.0))
    after = task.state
    for name, at in (("position", POSITION), ("velocity", VELOCITY), ("body_rate", RATE)):
        expected = torch.lerp(after[:, at], before[:, at], shares[:, None])
        torch.testing.assert_close(obs[name], expected, rtol=1e-5, atol=1e-6)
    attitude = normalize(torch.lerp(after[:, ATTITUDE], before[:, ATTITUDE], shares[:, None]))
    torch.testing.assert_close(obs["attitude"], attitude, rtol=1e-5, atol=1e-6)
    assert torch.equal(obs["true_state"], after[:, :13])


def test_right_after_a_start_a_late_measurement_is_the_start_itself() -> None:
    task = plant(4, velocity_max_m_s=1.0, position_max_m=0.2, origin_share=0.0)
    task.params[:, P.OBS_DELAY] = 0.008
    obs = task.observe()
    torch.testing.assert_close(obs["position"], task.state[:, POSITION])


def test_drawn_delays_split_their_sum_between_sensor_and_motor_as_far_as_each_can_be_late() -> None:
    task = plant(4096, delay_s=(0.004, 0.028))
    sensing, acting = task.params[:, P.OBS_DELAY], task.params[:, P.ACTION_DELAY]
    total = sensing + acting
    assert sensing.min() >= 0 and sensing.max() <= task.step_dt + 1e-9
    assert acting.min() >= 0 and acting.max() <= 2 * task.step_dt + 1e-9
    assert 0.004 - 1e-7 <= total.min() < 0.0041 and 0.0279 < total.max() <= 0.028 + 1e-7
    assert total.mean().item() == pytest.approx(0.016, rel=0.02)


@pytest.mark.parametrize("delay_s", [(0.0, 0.031), (-0.001, 0.01), (0.02, 0.01), (0.0, math.nan)])
def test_a_delay_longer_than_the_plant_keeps_or_out_of_order_is_refused(delay_s: tuple[float, float]) -> None:
    with pytest.raises(ContractError, match=r"delay_s = .*within \[0, 0.03\] s"):
        QuadrotorConfig(delay_s=delay_s)


def test_what_is_flown_is_no_later_than_what_was_trained_for() -> None:
    assert QuadrotorConfig().flown_delay_s == (0.0, 0.02)
    assert QuadrotorConfig(delay_s=(0.0, 0.005)).flown_delay_s == (0.0, 0.005)
    assert QuadrotorConfig(delay_s=(0.022, 0.03)).flown_delay_s == (0.02, 0.02)


def test_the_hidden_row_starts_where_the_machine_is() -> None:
    task = plant(3)
    assert torch.equal(task.state[:, span(S.BEFORE, 13)], task.state[:, :13])
    assert torch.equal(task.state[:, ATTITUDE], LEVEL.expand(3, 4))
    assert (task.state[:, ROTOR] == task.state[:, span(S.COMMAND_1, 4)]).all()
