"""A whole flight: the app's C, a stand-in for the stock controller, and the simulated Crazyflie 2.1 in one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from pilot import Pilot, make_pilot

from robostack_real.devices.crazyflie_obstacle import Obstacle
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.task import Quadrotor


def fly(pilot: Pilot, supply_v: float = 4.0) -> Iterator[torch.Tensor]:
    """Yields the state (S.SIZE) every 10 ms. The battery is the firmware's affair, so the simulator has none."""
    config = QuadrotorConfig(
        num_envs=1, step_dt=0.001, delay_s=(0.0, 0.0), force_std=0.0, moment_std=0.0, noise_scale=0.0, origin_share=1.0,
        moving_share=0.0, box_m=1e6, episode_s=1e4,
    )  # fmt: skip
    task, world = Quadrotor(config), pilot.app.world
    task.params[:, [P.SAG, P.DISCHARGE]] = 0.0
    task.state[:, S.POSITION : S.GUST] = 0.0
    task.state[:, S.ATTITUDE] = 1.0
    world.supply_v = supply_v
    while True:
        for _ in range(10):
            s = task.state[0].tolist()
            world.position_m, world.quat_wxyz = tuple(s[0:3]), tuple(s[3:7])
            world.velocity_m_s, world.rate_rad_s = tuple(s[7:10]), tuple(s[10:13])
            motion = pilot.step()
            task.step(torch.tensor([list(motion.rotor_speed_rad_s)]))
            if task.state[0, 2] < 0.0:  # the floor
                task.state[0, S.POSITION + 2] = 0.0
                task.state[0, S.VELOCITY : S.ROTOR] = 0.0
        yield task.state[0]


def error_m(state: torch.Tensor, pilot: Pilot) -> float:
    goal = pilot.setpoint.position
    return float((state[:3] - torch.tensor([goal.x, goal.y, goal.z])).norm())


@pytest.mark.parametrize("path", [0, 1])
def test_take_off_hand_over_trip_and_hand_back_stay_within_ten_centimetres(
    library: Callable[..., Path], path: int
) -> None:
    pilot = make_pilot(library())
    pilot.app.params["rsp.path"].value = path
    pilot.app.params["rsp.nominalV"].value = pilot.app.world.supply_v
    goal = pilot.setpoint.position
    flight, errors = fly(pilot), []
    for k in range(100):  # the high-level commander's ramp
        goal.x, goal.z = 0.0, 0.0 if k == 0 else goal.z + 0.01
        next(flight)
    for _ in range(200):
        state = next(flight)
    assert error_m(state, pilot) < 0.05

    pilot.ask()
    errors = [error_m(next(flight), pilot) for _ in range(150)]
    assert pilot.log("active") == 1 and max(errors) < 0.1 and errors[-1] < 0.05

    pilot.setpoint.acceleration.x = 1.0  # the policy's next action is not a number
    next(flight)
    assert pilot.log("active") == 0 and pilot.ended == Obstacle.TRIPPED
    pilot.setpoint.acceleration.x = 0.0
    errors = [error_m(next(flight), pilot) for _ in range(150)]
    assert max(errors) < 0.1 and errors[-1] < 0.05
