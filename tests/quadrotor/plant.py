"""A quadrotor with nothing drawn: what a test wants, it sets itself. And the same physics once more, independently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2

LEVEL = torch.tensor([1.0, 0.0, 0.0, 0.0])


def plant(num_envs: int = 1, seed: int = 0, make: Callable[..., Quadrotor] = Quadrotor, **changes: Any) -> Any:
    """At rest and level at the origin, no noise, delay, disturbance, sag, drag or end; rotors at half speed."""
    quiet: dict[str, Any] = {
        "num_envs": num_envs, "delay_s": (0.0, 0.0), "force_std": 0.0, "moment_std": 0.0, "noise_scale": 0.0,
        "position_max_m": 0.0, "velocity_max_m_s": 0.0, "rate_max_rad_s": 0.0, "origin_share": 1.0,
        "moving_share": 0.0, "idle_share": 0.0, "box_m": 1e6, "episode_s": 1e4,
    }  # fmt: skip
    task = make(QuadrotorConfig(**{**quiet, **changes}), seed)
    task.params[:, P.DRAG : P.DRAG + 3] = 0.0
    task.params[:, [P.SAG, P.DISCHARGE]] = 0.0
    return task


def span(start: int, count: int) -> slice:
    return slice(int(start), int(start) + count)


POSITION, ATTITUDE, VELOCITY, RATE = (
    span(c, n) for c, n in ((S.POSITION, 3), (S.ATTITUDE, 4), (S.VELOCITY, 3), (S.RATE, 3))
)
ROTOR, GUST = span(S.ROTOR, 4), span(S.GUST, 3)


def hover_speed(task: Quadrotor) -> Tensor:
    """(num_envs,) rad/s that carries each machine, from its thrust curve."""
    c0, c1, c2 = (task.params[:, P.THRUST_0 + k].double() for k in range(3))
    lift = task.params[:, P.MASS].double() * GRAVITY_M_S2 / 4
    return (((c1 * c1 - 4 * c2 * (c0 - lift)).sqrt() - c1) / (2 * c2)).float()


def command(task: Quadrotor, *speed_rad_s: float) -> Tensor:
    """The same command to every environment: one speed, or one a rotor."""
    return torch.tensor(speed_rad_s).expand(task.num_envs, 4).contiguous()


def rotate(q: Tensor, v: Tensor) -> Tensor:
    """Body vectors (N, 3) in the world, by quaternions (N, 4) wxyz."""
    w, u = q[:, :1], q[:, 1:]
    t = 2 * torch.linalg.cross(u, v)
    return v + w * t + torch.linalg.cross(u, t)


def fine_flight(params: Tensor, state: Tensor, commands: Tensor, dt: float, step_s: float = 1e-4) -> Tensor:
    """The state (N, 17: position, attitude, velocity, rate, rotors) after commands (T, N, 4), one a period of `dt`:
    classical Runge-Kutta in float64 with steps of `step_s`. The action delay must be a multiple of it. Written from
    the equations of motion, sharing nothing with the kernel; no gust, no battery."""
    p, x = params.double(), state[:, :17].double()
    mass, inertia, drag = p[:, [P.MASS]], p[:, span(P.INERTIA, 3)], p[:, span(P.DRAG, 3)]
    c0, c1, c2 = (p[:, [P.THRUST_0 + k]] for k in range(3))
    arms_x, arms_y, spin = (p[:, span(c, 4)] for c in (P.ROTOR_X, P.ROTOR_Y, P.ROTOR_SPIN))
    force, moment = p[:, span(P.FORCE, 3)], p[:, span(P.MOMENT, 3)]
    down = torch.tensor([0.0, 0.0, -GRAVITY_M_S2], dtype=torch.float64)

    def slope(x: Tensor, u: Tensor) -> Tensor:
        q, v, w, rotor = x[:, 3:7], x[:, 7:10], x[:, 10:13], x[:, 13:17]
        tau = torch.where(u > rotor, p[:, [P.RISE]], p[:, [P.FALL]])
        thrust = c0 + c1 * rotor + c2 * rotor * rotor
        torque = torch.stack(
            [(arms_y * thrust).sum(1), -(arms_x * thrust).sum(1), (spin * thrust).sum(1) * p[:, P.TORQUE]], 1
        )
        back = q * torch.tensor([1.0, -1.0, -1.0, -1.0])
        lift = torch.cat([torch.zeros_like(v[:, :2]), thrust.sum(1, keepdim=True)], 1) - drag * rotate(back, v)
        turn = torch.cat([-(q[:, 1:] * w).sum(1, keepdim=True), q[:, :1] * w + torch.linalg.cross(q[:, 1:], w)], 1)
        spinning = (torque + moment - torch.linalg.cross(w, inertia * w)) / inertia
        return torch.cat([v, 0.5 * turn, (rotate(q, lift) + force) / mass + down, spinning, (u - rotor) / tau], 1)

    late = torch.round(p[:, P.ACTION_DELAY] / step_s).long()
    before = torch.stack([state[:, span(S.COMMAND_2, 4)], state[:, span(S.COMMAND_1, 4)]]).double()
    issued = torch.cat([before, commands.double()])
    substeps = round(dt / step_s)
    envs = torch.arange(len(x))
    for k in range(len(commands) * substeps):
        u = issued[torch.div(k - late, substeps, rounding_mode="floor") + 2, envs]
        k1 = slope(x, u)
        k2 = slope(x + 0.5 * step_s * k1, u)
        k3 = slope(x + 0.5 * step_s * k2, u)
        k4 = slope(x + step_s * k3, u)
        x = x + step_s / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    x[:, 3:7] /= x[:, 3:7].norm(dim=1, keepdim=True)
    return x
