"""How far one midpoint step a control period is from the truth, in numbers."""

from __future__ import annotations

import pytest
import torch
from plant import ATTITUDE, POSITION, RATE, ROTOR, fine_flight, plant, span
from torch import Tensor

from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.task import Quadrotor

SECONDS, HOLD_S = 0.3, 0.05


def tumbling_flight(vehicle: str, dt: float, delay_s: float) -> tuple[Quadrotor, Tensor, Tensor]:
    """64 machines from tilted starts under commands between 0.3 and 1.5 of hover speed, new every 50 ms: the task,
    its state after 0.3 s, and that of the fine reference (N, 17)."""
    n, draw = 64, torch.Generator().manual_seed(1)
    task = plant(
        n, vehicle=vehicle, step_dt=dt, origin_share=0.0, velocity_max_m_s=1.0, rate_max_rad_s=1.0,
        force_std=0.05, moment_std=1e-4,
    )  # fmt: skip
    task.params[:, span(P.DRAG, 3)] = torch.tensor(task.vehicle.drag)
    task.params[:, P.RISE], task.params[:, P.FALL] = 0.06, 0.1
    task.params[:, P.ACTION_DELAY] = (torch.rand(n, generator=draw) * delay_s * 1e4).round() / 1e4
    task.state[:, S.COMMAND_1 : S.GUST] = task.state[:, S.ROTOR, None]
    held = task.vehicle.hover_speed_rad_s * (0.3 + 1.2 * torch.rand(round(SECONDS / HOLD_S), n, 4, generator=draw))
    commands = held.clamp(max=task.vehicle.rotor_speed_max).repeat_interleave(round(HOLD_S / dt), 0)
    truth = fine_flight(task.params, task.state, commands, dt)
    for u in commands:
        task.step(u)
    return task, task.state[:, :17].double(), truth


def attitude_error(a: Tensor, b: Tensor) -> Tensor:
    """Angle in rad between the attitudes of two states."""
    sign = (a[:, ATTITUDE] * b[:, ATTITUDE]).sum(1, keepdim=True).sign()
    return 2 * (a[:, ATTITUDE] - sign * b[:, ATTITUDE]).norm(dim=1)


@pytest.mark.parametrize("delay_s", [0.0, 0.02], ids=["no delay", "delays up to 20 ms"])
def test_an_aggressive_flight_stays_within_millimetres_of_a_fine_reference(
    delay_s: float, record_property: pytest.RecordProperty
) -> None:
    _, state, truth = tumbling_flight("crazyflie_2_1", 0.01, delay_s)
    assert truth[:, RATE].norm(dim=1).max() > 40.0  # rad/s: it is an aggressive one
    position = (state - truth)[:, POSITION].norm(dim=1).max().item()
    angle = attitude_error(state, truth).max().item()
    rotors = (state - truth)[:, ROTOR].abs().max().item()
    for name, value in (("position_m", position), ("attitude_rad", angle), ("rotor_rad_s", rotors)):
        record_property(name, value)
        print(f"error against a 0.1 ms reference after {SECONDS} s, {name}: {value:.2e}")
    assert position < 3e-3
    assert angle < 2e-2
    assert rotors < 3e-3  # exact, whenever the command switches


def test_halving_the_control_period_quarters_the_error() -> None:
    errors = []
    for dt in (0.01, 0.005):
        _, state, truth = tumbling_flight("crazyflie_2_1", dt, 0.0)
        errors.append((state - truth)[:, RATE].norm(dim=1).square().mean().sqrt().item())
    assert 3.0 < errors[0] / errors[1] < 5.5
