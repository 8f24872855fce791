"""The questions a quadrotor policy is judged by, asked of any policy: torch module, ONNX file, or a board.

A policy here is a function of (Obs, state) -> (action, next state), all (num_envs, ...) float32 torch tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robostack.export.host import HostPolicy
from robostack.runtime.runner import Runner
from robostack.task import Obs
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P
from robostack_sim.quadrotor.task import Quadrotor

Policy = Callable[[Obs, Tensor], tuple[Tensor, Tensor]]
Plant = Callable[[QuadrotorConfig], Quadrotor]
"""makes what is flown: our physics, or another simulator's (foreign_plant.py)"""
FIGURE_EIGHT_PERIODS_S = (15.0, 5.5, 3.5)
SETTLED_S = 2.0
"""the last seconds of an episode, over which errors are taken"""


def exported(runner: Runner | HostPolicy) -> tuple[Policy, Tensor]:
    """An exported file in a runtime as a policy, and its state at activation (state_size,)."""
    names = [c.name for c in runner.spec.observations]

    def policy(obs: Obs, state: Tensor) -> tuple[Tensor, Tensor]:
        channels = {n: obs[n].numpy() for n in names}
        action, following = runner.infer(channels, obs["applied_action"].numpy(), state.numpy())
        assert following is not None
        return torch.from_numpy(action), torch.from_numpy(following)

    return policy, torch.tensor(runner.spec.state.reset)


@dataclass(frozen=True)
class Survival:
    """Of one episode in each environment."""

    survived: float
    """share that stayed in the box to the end"""
    rms_m: float
    """position error of the survivors over the last SETTLED_S"""


@torch.no_grad()
def survival(
    policy: Policy, reset: Tensor, config: QuadrotorConfig, seed: int = 99, plant: Plant = Quadrotor
) -> Survival:
    """`reset` is the policy's state at activation (state_size,)."""
    task = plant(replace(config, moving_share=0.0, idle_share=0.0))
    obs, _ = task.reset(seed)
    state = reset.expand(task.num_envs, -1)
    alive = torch.ones(task.num_envs, dtype=torch.bool, device=task.device)
    errors = []
    for t in range(task.max_episode_length):
        action, state = policy(obs, state)
        obs, _, terminated, _, extras = task.step(action)
        alive &= ~terminated
        if t >= task.max_episode_length - round(SETTLED_S / task.step_dt):
            final = extras["final_obs"]
            errors.append((final["true_state"][:, :3] - final["setpoint"][:, :3]).square().sum(1))
    rms = torch.stack(errors)[:, alive].mean().sqrt().item() if alive.any() else math.inf
    return Survival(alive.float().mean().item(), rms)


def figure_eight(config: QuadrotorConfig, period_s: float, plant: Plant = Quadrotor) -> Quadrotor:
    """A task that starts at rest on a figure-eight of 2 x 1 m, with a ramp of two seconds, undisturbed, sensor-to-motor
    delay as in `config`; noise on."""
    task = plant(
        replace(
            config,
            force_std=0.0,
            moment_std=0.0,
            moving_share=0.0,
            origin_share=1.0,
            velocity_max_m_s=0.0,
            rate_max_rad_s=0.0,
            box_m=100.0,
            episode_s=1e4,
        )
    )
    follow_figure_eight(task, period_s)
    return task


def follow_figure_eight(task: Quadrotor, period_s: float) -> None:
    """Makes a 2 x 1 m figure-eight the reference of every environment, with a ramp of two seconds."""
    w = 2.0 * math.pi / period_s
    for axis, (amplitude, frequency) in enumerate(((1.0, w), (0.5, 2.0 * w), (0.0, 1.0))):
        task.params[:, P.REF_AMPLITUDE + axis] = amplitude
        task.params[:, P.REF_FREQUENCY + axis] = frequency
    task.params[:, P.REF_RAMP] = 2.0


@torch.no_grad()
def figure_eight_rmse_m(
    policy: Policy, reset: Tensor, config: QuadrotorConfig, period_s: float, plant: Plant = Quadrotor
) -> float:
    """3-D RMSE over two rounds, the ramp and one second after it left out; infinite when any leaves by 2 m."""
    task = figure_eight(config, period_s, plant)
    obs, state = task.observe(), reset.expand(task.num_envs, -1)
    errors = []
    for t in range(round((2.0 * period_s + 2.0) / task.step_dt)):
        action, state = policy(obs, state)
        obs, *_ = task.step(action)
        if t > 3.0 / task.step_dt:
            errors.append((obs["true_state"][:, :3] - obs["setpoint"][:, :3]).square().sum(1))
    squared = torch.stack(errors)
    return squared.mean().sqrt().item() if bool((squared < 4.0).all()) else math.inf
