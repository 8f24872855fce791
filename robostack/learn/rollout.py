"""What an exploring policy met in its last steps, in flat buffers that are made once.

The environments are stepped on and on: a rollout begins where the one before it ended. Exploration is Gaussian in the
space before the actor's tanh, u = head(latent) + std * noise, so that the density of what was done is exact.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robostack.nets.actor import Actor
from robostack.spec import ContractError
from robostack.task import Task


class Rollout:
    """`steps` steps of all environments. T is `steps`, N environments, F features, A actions, K reward terms, C what
    the critic reads.

    `terms` names the entries of `extras["reward_terms"]` to keep; () keeps the reward itself, K = 1.
    """

    def __init__(self, task: Task, actor: Actor, critic_index: Tensor, steps: int, terms: tuple[str, ...] = ()) -> None:
        self.task, self.actor, self.index, self.terms = task, actor, critic_index, terms
        n, new = task.num_envs, lambda *size: torch.zeros(*size, device=task.device)
        self.features = new(steps, n, actor.features.output_size)
        """(T, N, F) what the policy decided by, not normalised"""
        self.units = new(n, actor.config.recurrent)
        """(N, R) units of its GRU before the first step"""
        self.noise = new(steps, n, task.action_size)
        """(T, N, A) standard normal: what was explored"""
        self.explored = new(steps, n, task.action_size)
        """(T, N, A) u, what the head said and the exploration together"""
        self.seen = new(steps + 1, n, len(critic_index))
        """(T+1, N, C) what a critic reads before every step and after the last"""
        self.final = new(steps, n, len(critic_index))
        """(T, N, C) the same where an episode ended in this step, before its reset; elsewhere anything"""
        self.reward = new(steps, n, max(1, len(terms)))
        """(T, N, K)"""
        self.terminated = new(steps, n).bool()
        """(T, N) ended for good in this step: nothing follows"""
        self.truncated = new(steps, n).bool()
        """(T, N) cut off in this step: it would have gone on from `final`"""
        self.begins = new(steps, n).bool()
        """(T, N) the first step of an episode, but for the rollout's first step, where `units` say it already"""
        self.obs = task.observe().flat.clone()
        self.state = self.initial = actor.initial_state(n)

    @torch.no_grad()
    def collect(self, std: Tensor) -> None:
        """Steps the task with exploration of `std` (A,). Raises ContractError naming a reward term that the task
        does not give."""
        actor, obs, state = self.actor, self.obs, self.state
        remembers = actor.state_size > 0
        self.noise.normal_()
        self.units.copy_(state[:, actor.features.state_size :])
        with actor.window():
            for t, noise in enumerate(self.noise):
                self._see(t, obs)
                features, memory, units = actor.perceive(obs, state)
                latent = actor.latent(features, units)
                self.features[t] = features
                u = torch.addcmul(actor.head(latent), std, noise, out=self.explored[t])
                following, reward, terminated, truncated, extras = self.task.step(actor.scale(u))
                obs = following.flat
                self._keep(t, reward, terminated, truncated, extras)
                if remembers:
                    state = torch.cat([memory, latent], -1) if actor.gru is not None else memory
                    state = torch.where((terminated | truncated)[:, None], self.initial, state)
        self.seen[-1] = obs[:, self.index]
        self.begins[1:] = (self.terminated | self.truncated)[:-1]
        self.obs.copy_(obs)
        self.state = state

    def _see(self, t: int, obs: Tensor) -> None:
        self.seen[t] = obs[:, self.index]

    def _keep(self, t: int, reward: Tensor, terminated: Tensor, truncated: Tensor, extras: dict[str, Any]) -> None:
        self.terminated[t], self.truncated[t] = terminated, truncated
        self.final[t] = extras["final_obs"].flat[:, self.index]
        if not self.terms:
            self.reward[t, :, 0] = reward
        for k, name in enumerate(self.terms):
            if name not in (given := extras["reward_terms"]):
                raise ContractError(
                    f"terms: {self.task.name} has no reward term {name!r}; there are {', '.join(given)}"
                )
            self.reward[t, :, k] = given[name]

    def ahead(self, value: Tensor, final: Tensor) -> Tensor:
        """(T, N, K) value of what follows each step: nothing after a termination, and `final` where a time-out cut
        the episode off, which the next observation knows nothing of.

        `value` (T+1, N, K) of `seen`; `final` (rows, K) values of `final` in the rows where `cut_off` is.
        """
        ahead = value[1:].masked_fill(self.terminated[..., None], 0.0)
        ahead[self.cut_off] = final
        return ahead

    @property
    def cut_off(self) -> Tensor:
        """(T, N) bool: ended by time alone."""
        return self.truncated & ~self.terminated

    def state_dict(self) -> dict[str, Tensor]:
        """Where the next rollout begins."""
        return {"obs": self.obs, "state": self.state}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self.obs.copy_(kept["obs"])
        self.state = self.initial.clone().copy_(kept["state"])


def gae(reward: Tensor, value: Tensor, ahead: Tensor, ended: Tensor, gamma: float, lam: float) -> Tensor:
    """Advantages A_t = sum_k (gamma lam)^k delta_{t+k} up to the episode's end, delta = r + gamma ahead - value
    (Schulman et al. 2016, High-Dimensional Continuous Control Using Generalized Advantage Estimation).

    All (T, N, K); `ended` (T, N) bool, for whatever reason.
    """
    advantage = torch.addcmul(reward - value, ahead, torch.full_like(ahead[:1], gamma))
    goes_on = (~ended)[..., None].to(reward.dtype) * (gamma * lam)
    for t in range(len(advantage) - 2, -1, -1):
        advantage[t].addcmul_(goes_on[t], advantage[t + 1])
    return advantage
