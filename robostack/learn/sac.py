"""SAC: a stochastic policy that is paid for its entropy, with an automatic temperature (Haarnoja et al. 2018, Soft
Actor-Critic Algorithms and Applications).

    a ~ tanh(N(mu(o), sigma(o)))                                          in [-1, 1] of the action's range
    y = r + gamma (1 - terminated) (min_i Q_i'(s', a') - alpha log pi(a'|o'))
    critics:     minimise mean_i mean (Q_i(s, a) - y)^2
    policy:      minimise mean (alpha log pi(a|o) - min_i Q_i(s, a))      a reparametrised
    temperature: minimise -log(alpha) mean (log pi(a|o) + target entropy)
    theta' <- theta' + target_rate (theta - theta')

The exported actor is tanh(mu); sigma's head belongs to the learner and reads the same last hidden layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from robostack.learn.adam import Adam
from robostack.learn.off_policy import OffPolicy, OffPolicyLearner
from robostack.task import Task

LOG_STD = (-5.0, 2.0)


@dataclass(frozen=True)
class SAC(OffPolicy):
    """Settings of the learner."""

    initial_temperature: float = 0.1
    target_entropy: float | None = None
    """nats of the action in shares of half its range; None: minus one an element (Haarnoja et al.)"""

    def learner(self, task: Task) -> SacLearner:
        """Raises ContractError where the replay does not fit."""
        return SacLearner(task, self)


class SacLearner(OffPolicyLearner):
    """`std_head` gives log sigma; policy, sigma and temperature share an optimiser."""

    config: SAC

    def __init__(self, task: Task, config: SAC) -> None:
        super().__init__(task, config)
        self.std_head = nn.Linear(config.actor.hidden[-1], task.action_size).to(task.device)
        self.log_alpha = torch.tensor(math.log(config.initial_temperature), device=task.device, requires_grad=True)
        self.target_entropy = -float(task.action_size) if config.target_entropy is None else config.target_entropy
        policy = (*self.actor.parameters(), *self.std_head.parameters(), self.log_alpha)
        self.policy_optimiser = Adam(policy, config.learning_rate)
        self._slow = list(self.target.parameters())

    def explore(self, y: Tensor) -> Tensor:
        latent = self.actor.latent(y, y)
        return self.sample(latent, torch.randn(len(y), self.columns.action, device=y.device))[0]

    def sample(self, latent: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden layer (..., width) and standard normal numbers (..., action_size) -> action in [-1, 1] and
        its log-density (...)."""
        log_std = self.std_head(latent).clamp(*LOG_STD)
        raw = torch.addcmul(self.actor.head(latent), log_std.exp(), noise)
        # the normal's own density, less log(1 - tanh^2) = 2 (log 2 - raw - softplus(-2 raw)), which does not cancel
        constant = noise.shape[-1] * (0.5 * math.log(2.0 * math.pi) + 2.0 * math.log(2.0))
        of_noise = -0.5 * noise.square().sum(-1) - constant
        stretch = torch.sub(raw, softplus(raw, beta=-2.0), alpha=2.0)
        return torch.tanh(raw), of_noise + torch.sub(2.0 * stretch, log_std).sum(-1)

    def improve(self, rows: Tensor) -> dict[str, Tensor]:
        noise = torch.randn(2, *rows.shape[:2], self.columns.action, device=rows.device)
        critic_loss, policy_loss, log_density = self.rounds(rows, *noise)
        return {
            "loss": critic_loss + policy_loss,
            "critic_loss": critic_loss,
            "entropy": -log_density,
            "temperature": self.log_alpha.detach().exp(),
        }

    @torch.no_grad()
    def round(self, rows: Tensor, *noise: Tensor) -> tuple[Tensor, ...]:
        """An update of everything: transitions (batch, columns.size), and standard normal numbers (batch, action_size)
        for the action after them and for the one in their place."""
        after, now = noise
        critic_loss = self.fit_critics(rows, self.goals(rows, after))
        policy_loss, log_density = self.policy_loss(rows, now)
        self.follow(policy_loss, self.policy_optimiser)
        torch._foreach_lerp_(self._slow, self.critic_optimiser.parameters, self.config.target_rate)
        return critic_loss, policy_loss.detach(), log_density

    @torch.no_grad()
    def goals(self, rows: Tensor, noise: Tensor) -> Tensor:
        """y (batch,) of transitions (batch, columns.size), with standard normal numbers (batch, action_size)."""
        _, _, _, critic, actor, reward, discount = rows.split(self.columns.sizes, -1)
        action, log_density = self.sample(self.actor.normalised_latent(actor), noise)
        value = self.target(torch.cat([critic, action], -1)).amin(0)
        return torch.addcmul(reward[:, 0], discount[:, 0], value - self.log_alpha.exp() * log_density)

    @torch.enable_grad()
    def policy_loss(self, rows: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Of policy and temperature together; and the mean log-density, detached."""
        critic, _, actor, *_ = rows.split(self.columns.sizes, -1)
        action, log_density = self.sample(self.actor.normalised_latent(actor), noise)
        value = self.critics(torch.cat([critic, action], -1)).amin(0)
        mean = log_density.detach().mean()
        loss = (self.log_alpha.detach().exp() * log_density - value).mean()
        return loss - self.log_alpha * (mean + self.target_entropy), mean

    def changed(self) -> list[Tensor]:
        return [*self._slow, *self.critic_optimiser.tensors, *self.policy_optimiser.tensors]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "std_head": self.std_head.state_dict(),
            "log_alpha": self.log_alpha.detach(),
            "policy_optimiser": self.policy_optimiser.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, kept: dict[str, Any]) -> None:
        super().load_state_dict(kept)
        self.std_head.load_state_dict(kept["std_head"])
        self.log_alpha.copy_(kept["log_alpha"])
        self.policy_optimiser.load_state_dict(kept["policy_optimiser"])
