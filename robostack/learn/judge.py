"""How good a policy is: whole episodes on the task's own evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from robostack.task import Task


class Policy(Protocol):
    """What is judged: an `Actor`, or a port of one."""

    def initial_state(self, num_envs: int, /) -> Tensor: ...

    def __call__(self, x: Tensor, state: Tensor, /) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Judgement:
    """Of one episode in every environment."""

    success_rate: float
    """share of environments whose first episode ended in success"""
    step_reward: float
    """mean reward a step while that episode lasted"""

    @property
    def score(self) -> float:
        """Success first; reward decides between policies that succeed alike."""
        return self.success_rate + 0.1 * self.step_reward


@torch.no_grad()
def judge(policy: Policy, task: Task, seed: int) -> Judgement:
    """Flies one episode in every environment of `task` from `seed`.

    A reward that is not finite ends an episode as a failure. Draws from torch's global generator are undone,
    so that judging does not change what training does next.
    """
    with torch.random.fork_rng(devices=[task.device] if task.device.type == "cuda" else []):
        obs, _ = task.reset(seed)
        state = policy.initial_state(task.num_envs)
        running = torch.ones(task.num_envs, dtype=torch.bool, device=task.device)
        success = torch.zeros_like(running)
        total = steps = torch.zeros((), device=task.device)
        for _ in range(task.max_episode_length):
            action, state = policy(obs.flat, state)
            obs, reward, terminated, truncated, extras = task.step(action)
            running &= torch.isfinite(reward)
            total = total + torch.where(running, reward, 0.0).sum()
            steps = steps + running.sum()
            success |= running & extras["success"]
            running &= ~(terminated | truncated)
    return Judgement(success.float().mean().item(), (total / steps).item())
