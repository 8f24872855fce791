"""TD3: a deterministic policy that climbs the first of two critics (Fujimoto et al. 2018, Addressing Function
Approximation Error in Actor-Critic Methods).

    a' = clip(pi'(o') + clip(noise, -c, c), -1, 1)                     target policy smoothing
    y  = r + gamma (1 - terminated) min(Q1'(s', a'), Q2'(s', a'))      clipped double Q
    critics: minimise mean_i mean (Q_i(s, a) - y)^2                    every update
    policy:  maximise mean Q1(s, pi(o))                                every `policy_delay` updates
    theta' <- theta' + target_rate (theta - theta')                    with the policy

Between two updates of the policy the targets stand still, so that their y are computed in one go.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robostack.learn.adam import Adam
from robostack.learn.off_policy import OffPolicy, OffPolicyLearner
from robostack.nets.actor import Actor
from robostack.spec import ContractError
from robostack.task import Task


@dataclass(frozen=True)
class TD3(OffPolicy):
    """Settings of the learner. Noise is in shares of half the action's range."""

    exploration_noise: float = 0.1
    target_noise: float = 0.2
    target_noise_clip: float = 0.5
    policy_delay: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy_delay < 1 or self.updates % self.policy_delay:
            raise ContractError(f"updates = {self.updates}: must be a multiple of policy_delay = {self.policy_delay}")

    def learner(self, task: Task) -> Td3Learner:
        """Raises ContractError where the replay does not fit."""
        return Td3Learner(task, self)


class Td3Learner(OffPolicyLearner):
    """`target_actor` shares the actor's features and normaliser."""

    config: TD3

    def __init__(self, task: Task, config: TD3) -> None:
        super().__init__(task, config)
        self.target_actor = deepcopy(self.actor).requires_grad_(False)
        self.actor_optimiser = Adam(tuple(self.actor.parameters()), config.learning_rate)
        self._fast = [*self.critic_optimiser.parameters, *self.actor_optimiser.parameters]
        self._slow = [*self.target.parameters(), *self.target_actor.parameters()]

    def explore(self, y: Tensor) -> Tensor:
        share = torch.tanh(self.actor.head(self.actor.latent(y, y)))
        return torch.add(share, torch.randn_like(share), alpha=self.config.exploration_noise).clamp_(-1.0, 1.0)

    def improve(self, rows: Tensor) -> dict[str, Tensor]:
        c = self.config
        noise = torch.randn(*rows.shape[:2], self.columns.action, device=rows.device)
        noise = noise.mul_(c.target_noise).clamp_(-c.target_noise_clip, c.target_noise_clip)
        critic_loss, policy_loss = self.rounds(*(x.unflatten(0, (-1, c.policy_delay)) for x in (rows, noise)))
        return {"loss": critic_loss + policy_loss, "critic_loss": critic_loss, "value": -policy_loss}

    @torch.no_grad()
    def round(self, rows: Tensor, *noise: Tensor) -> tuple[Tensor, ...]:
        """`policy_delay` updates of the critics and one of the rest: transitions (policy_delay, batch, columns.size),
        and noise (policy_delay, batch, action_size)."""
        goals = self.goals(rows.flatten(0, 1), noise[0].flatten(0, 1)).view(rows.shape[:2])
        critic_losses = [self.fit_critics(row, goal) for row, goal in zip(rows, goals, strict=True)]
        policy_loss = self.follow(self.policy_loss(rows[-1]), self.actor_optimiser)
        torch._foreach_lerp_(self._slow, self._fast, self.config.target_rate)
        return torch.stack(critic_losses).mean(), policy_loss

    @torch.no_grad()
    def goals(self, rows: Tensor, noise: Tensor) -> Tensor:
        """y (batch,) of transitions (batch, columns.size), with noise (batch, action_size)."""
        _, _, _, critic, actor, reward, discount = rows.split(self.columns.sizes, -1)
        action = self._share(self.target_actor, actor).add_(noise).clamp_(-1.0, 1.0)
        value = self.target(torch.cat([critic, action], -1)).amin(0)
        return torch.addcmul(reward[:, 0], discount[:, 0], value)

    @torch.enable_grad()
    def policy_loss(self, rows: Tensor) -> Tensor:
        """Minus the mean Q1 of what the policy does."""
        critic, _, actor, *_ = rows.split(self.columns.sizes, -1)
        action = self._share(self.actor, actor)
        return -self.critics.first(torch.cat([critic, action], -1)).mean()

    @staticmethod
    def _share(actor: Actor, features: Tensor) -> Tensor:
        """Normalised features (batch, F) -> action (batch, action_size) in [-1, 1]."""
        return torch.tanh(actor.head(actor.normalised_latent(features)))

    def changed(self) -> list[Tensor]:
        return [*self._slow, *self.critic_optimiser.tensors, *self.actor_optimiser.tensors]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "target_actor": self.target_actor.state_dict(),
            "actor_optimiser": self.actor_optimiser.state_dict(),
        }

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        super().load_state_dict(kept)
        self.target_actor.load_state_dict(kept["target_actor"])
        self.actor_optimiser.load_state_dict(kept["actor_optimiser"])
