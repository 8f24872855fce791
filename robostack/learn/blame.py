"""What was the first to become NaN or infinite: asked after a training diverged."""

from __future__ import annotations

import torch
from torch import Tensor

from robostack.nets.actor import Actor
from robostack.task import Task


@torch.no_grad()
def first_non_finite(actor: Actor, task: Task, steps: int) -> str:
    """Runs `task` on from where it stands and names the first weight, channel, action or reward term that is
    not finite.
    """
    for name, value in actor.state_dict().items():
        if not torch.isfinite(value).all():
            return f"the actor's {name} is not finite"
    obs, state = task.observe(), actor.initial_state(task.num_envs)
    for step in range(steps):
        for name, value in obs.items():
            if count := _count(value):
                return f"channel {name} is not finite in {count} of {task.num_envs} environments{_when(step)}"
        action, state = actor(obs.flat, state)
        if count := _count(action):
            return f"the action is not finite in {count} of {task.num_envs} environments{_when(step)}"
        obs, _, _, _, extras = task.step(action)
        for name, value in extras["reward_terms"].items():
            if count := _count(value):
                share = f"{count} of {task.num_envs} environments"
                return f"reward term {name} is not finite in {share}{_when(step)}"
    return f"{steps} steps on are finite: it is their gradient that is not; a shorter horizon may help"


def _count(value: Tensor) -> int:
    """Environments that hold something not finite."""
    return int((~torch.isfinite(value.reshape(value.shape[0], -1))).any(1).sum())


def _when(step: int) -> str:
    return f", {step} steps on" if step else ""
