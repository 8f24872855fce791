"""A quadrotor under PX4's rate controller on a floor, and a stand-in of our own for PX4's position controller.

The physics is the quadrotor task's with `thrust_and_rates`: the very plant that a policy was trained in, without
disturbance and delay. It steps once a control period.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from robostack.lanes import stored
from robostack_sim.quadrotor.autopilot import hover_thrust
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.rate_control import R
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2

FULL_CELL_V = 4.2


class Airframe:
    """`step` a period under (4,) thrust and body rates FLU. Position world ENU, at rest on the floor, nose along
    `yaw_rad` (counter-clockwise from east)."""

    def __init__(self, config: QuadrotorConfig, *, seed: int, position_m: np.ndarray, yaw_rad: float) -> None:
        one = replace(
            config, num_envs=1, device="cpu", action="thrust_and_rates", delay_s=(0.0, 0.0), force_std=0.0,
            moment_std=0.0, gust_std=0.0, moving_share=0.0, box_m=1e6, episode_s=1e7,
        )  # fmt: skip
        self._task = task = Quadrotor(one, seed=seed)
        assert task.autopilot is not None
        task.params[:, P.SAG] = task.params[:, P.DISCHARGE] = 0.0  # the battery is the twin's
        self.step_s = task.step_dt
        self.vehicle, self.autopilot = task.vehicle, task.autopilot
        self.hover = hover_thrust(self.vehicle, self.autopilot)
        self.state = stored(task.state).numpy()[:, 0]
        self.state[:] = 0.0
        self.state[S.POSITION : S.POSITION + 3] = position_m
        self.state[S.ATTITUDE], self.state[S.ATTITUDE + 3] = math.cos(yaw_rad / 2), math.sin(yaw_rad / 2)
        self.state[S.BATTERY] = 1.0
        self.floor_m = float(position_m[2])
        self.impact_m_s = 0.0
        """speed of the hardest touch-down"""
        self.charge = 1.0
        """share of a full cell's voltage"""

    @property
    def position_m(self) -> np.ndarray:
        return self.state[S.POSITION : S.POSITION + 3].astype(float)

    @property
    def velocity_m_s(self) -> np.ndarray:
        return self.state[S.VELOCITY : S.VELOCITY + 3].astype(float)

    @property
    def attitude_wxyz(self) -> np.ndarray:
        return self.state[S.ATTITUDE : S.ATTITUDE + 4].astype(float)

    @property
    def on_floor(self) -> bool:
        return bool(self.state[S.POSITION + 2] <= self.floor_m)

    @property
    def cell_v(self) -> float:
        return FULL_CELL_V * self.charge

    def measure(self) -> dict[str, np.ndarray]:
        """position, velocity, attitude and body_rate with the vehicle's noise, world ENU, body FLU."""
        obs = self._task.observe()
        return {n: obs[n][0].numpy().astype(float) for n in ("position", "velocity", "attitude", "body_rate")}

    def step(self, action: np.ndarray | None) -> None:
        """None: disarmed, the rotors stand."""
        s = self.state
        if action is None:
            s[S.ROTOR : S.ROTOR + 4] = s[R.ROTOR_COMMAND : R.ROTOR_COMMAND + 4] = 0.0
            s[S.COMMAND_1 : S.COMMAND_1 + 8] = s[R.INTEGRAL : R.INTEGRAL + 9] = 0.0
        given = np.zeros(4) if action is None else action
        self._task.step(torch.tensor(given[None], dtype=torch.float32))
        self.charge -= self.step_s * self.vehicle.battery_discharge
        if s[S.POSITION + 2] < self.floor_m:
            self.impact_m_s = max(self.impact_m_s, float(np.linalg.norm(s[S.VELOCITY : S.VELOCITY + 3])))
            s[S.POSITION + 2] = self.floor_m
            s[S.VELOCITY : S.RATE + 3] = 0.0
            w, z = s[S.ATTITUDE], s[S.ATTITUDE + 3]
            if self.tilt_cos > 0.5:  # its legs level it
                s[S.ATTITUDE : S.ATTITUDE + 4] = np.array([w, 0.0, 0.0, z]) / np.hypot(w, z)
            s[R.INTEGRAL : R.INTEGRAL + 9] = 0.0  # PX4 resets it while landed

    @property
    def tilt_cos(self) -> float:
        _, x, y, _ = self.attitude_wxyz
        return float(1.0 - 2.0 * (x * x + y * y))


class StockController:
    """Position to thrust and body rates: a cascade about a goal, with bounded speed, tilt and rates. Not PX4's."""

    SPEED_M_S, LAND_M_S, TILT_RAD = 0.6, 0.4, 0.35

    def __init__(self, hover: float) -> None:
        self._hover = hover
        self._lift = 0.0
        """what hovering takes beyond `hover`, learned"""

    def __call__(self, air: Airframe, goal_m: np.ndarray, climb_m_s: float | None = None) -> np.ndarray:
        """(4,); `climb_m_s` in place of the goal's height."""
        wanted = np.clip(1.5 * (goal_m - air.position_m), -self.SPEED_M_S, self.SPEED_M_S)
        if climb_m_s is not None:
            wanted[2] = climb_m_s
        push = 2.5 * (wanted - air.velocity_m_s)
        self._lift = float(np.clip(self._lift + 0.003 * push[2], -1.0, 1.0))
        w, x, y, z = air.attitude_wxyz
        ahead = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z)])
        ahead /= max(float(np.hypot(*ahead)), 1e-6)
        left = np.array([-ahead[1], ahead[0]])
        most = self.TILT_RAD
        nose_down = np.clip(push[:2] @ ahead / GRAVITY_M_S2, -most, most)
        right_down = np.clip(-(push[:2] @ left) / GRAVITY_M_S2, -most, most)
        roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
        pitch = math.asin(np.clip(2 * (w * y - x * z), -1.0, 1.0))
        rates = np.clip([6.0 * (right_down - roll), 6.0 * (nose_down - pitch)], -3.0, 3.0)
        thrust = np.clip(self._hover * (1.0 + (push[2] + self._lift) / (2.0 * GRAVITY_M_S2)), 0.0, 1.0)
        return np.array([thrust, *rates, 0.0])
