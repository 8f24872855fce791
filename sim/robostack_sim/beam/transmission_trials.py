"""How well a policy tunes a LEBT, and what one could reach who knew everything about the machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robostack_sim.beam.lebt import Lebt, Machine, transmission
from robostack_sim.beam.transmission import BeamTransmission
from robostack_sim.beam.trials import Controller


@dataclass(frozen=True)
class Tuning:
    """True transmission of N machines while they are tuned; row 0 is before the first move."""

    transmission: Tensor
    """(moves + 1, N)"""
    best: Tensor
    """(N,) of an optimiser that knows the machine"""
    success: float

    def share(self, moves: int) -> float:
        """Of the best, mean over machines, where it stands after so many moves."""
        return (self.transmission[moves] / self.best).mean().item()

    def wherever_it_can(self, moves: int) -> float:
        """Share of the machines whose best is a success that are one after so many moves."""
        can = self.best >= self.success
        return (self.transmission[moves][can] >= self.success).float().mean().item()

    def moves_to(self, share: float) -> Tensor:
        """(N,) moves until it is above that share of the best for good; infinite where it never is."""
        good = (self.transmission >= share * self.best).flip(0).cummin(0).values.flip(0)
        return torch.where(good[-1], good.float().argmax(0).float(), torch.inf)


@torch.no_grad()
def tune(controller: Controller, reset: np.ndarray, task: BeamTransmission, *, seed: int, moves: int) -> Tensor:
    """(moves + 1, N) true transmission of every machine of `task`, from `seed`; `reset` is the controller's state then.

    The task's own episodes must be longer.
    """
    names = [c.name for c in task.actor_channels]
    obs, _ = task.reset(seed)
    state = np.tile(np.asarray(reset, np.float32), (task.num_envs, 1))
    reached = [task.transmission]
    for _ in range(moves):
        seen = {n: obs[n].numpy() for n in names}
        action, following = controller.infer(seen, obs["applied_action"].numpy(), state if state.shape[1] else None)
        obs, *_, extras = task.step(torch.from_numpy(action))
        state = state if following is None else following
        reached.append(extras["transmission"])
    return torch.stack(reached)


def best_known(
    lebt: Lebt, machine: Machine, step_a: Tensor, *, starts: int = 6, steps: int = 150, seed: int = 0
) -> Tensor:
    """(N,) transmission that Adam reaches by the gradient through the very machines, the best of several starts around
    the design. `step_a` (M,) says what a small change of each magnet is."""
    like = machine.perveance
    low, high, design = (like.new_tensor(v) for v in (lebt.low_a, lebt.high_a, lebt.design_a))
    generator = torch.Generator().manual_seed(seed)
    best = torch.zeros_like(like)
    for start in range(starts):
        spread = 2.0 if start else 0.0
        moved = spread * torch.randn(len(like), len(design), generator=generator).to(like)
        moved.requires_grad_()
        optimiser = torch.optim.Adam([moved], lr=0.1)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, steps)
        for _ in range(steps):
            found = transmission(lebt, machine, torch.minimum(torch.maximum(design + moved * step_a, low), high))
            best = torch.maximum(best, found.detach())
            optimiser.zero_grad()
            (-torch.log(found + 1e-6)).sum().backward()
            optimiser.step()
            schedule.step()
    return best
