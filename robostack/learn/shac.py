"""Short-horizon actor-critic: first-order policy gradients through a differentiable simulator.

    maximise over theta   1/(N H) sum_i [ sum_{t<H} gamma^t r(s_t, a_t) + gamma^H V(s_H) ],  a_t = pi_theta(o_t)

by back-propagation through window after window of H steps (Xu et al. 2022, Accelerated Policy Learning with Parallel
Differentiable Simulation). States carry over from window to window, so an episode is learned piece by piece. The
critic sees privileged channels and is fitted to TD(lambda) targets of the same windows; without it a window simply
ends, which for a horizon longer than the plant's own time constants costs little and saves its time
(`benchmarks/critic_ablation.py` prints what it buys).
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from robostack.learn.learner import Learner
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.critic import Critic
from robostack.task import Task


@dataclass(frozen=True)
class SHAC:
    """Settings of the learner; `actor` is the shape of the policy network."""

    iterations: int = 240
    horizon: int = 32
    """steps a gradient flows back through"""
    learning_rate: float = 1.5e-2
    """Adam's, falling linearly to `final_learning_rate_share` of it"""
    final_learning_rate_share: float = 0.05
    gradient_clip: float = 0.3
    gamma: float = 1.0
    """discount; below 1 with a critic"""
    normaliser_iterations: int = 50
    """iterations that the observation normaliser learns from, before it is frozen"""
    critic: bool = False
    """privileged value at the horizon; off by default, because on our tasks it has not paid for its time"""
    critic_warmup: int = 20
    """iterations that fit the critic before the actor sees it"""
    critic_learning_rate: float = 2e-3
    critic_updates: int = 4
    critic_lambda: float = 0.95
    critic_target_rate: float = 0.3
    actor: ActorConfig = field(default_factory=ActorConfig)

    def learner(self, task: Task) -> ShacLearner:
        """Raises TypeError where the task's physics has no gradient."""
        return ShacLearner(task, self)


class ShacLearner(Learner):
    """`iterate()` makes one window and one update."""

    JUDGED_AT: ClassVar[tuple[float, ...]] = (0.7, 0.85, 1.0)

    def __init__(self, task: Task, config: SHAC) -> None:
        self.task, self.config = task, config
        self.actor = Actor(task, config.actor, fused_slots=config.horizon + 1).to(task.device)
        self.optimiser = torch.optim.Adam(self.actor.parameters(), lr=config.learning_rate, foreach=True)
        self.critic = self.target = None
        if config.critic:
            self.critic = Critic(task).to(task.device)
            self.target = deepcopy(self.critic)
            self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=config.critic_learning_rate)
        self.window = task.unroll(config.horizon)
        self.state = self.actor.initial_state(task.num_envs)

    @property
    def steps_per_iteration(self) -> int:
        return self.config.horizon

    def value(self, obs: Tensor) -> Tensor | None:
        return None if self.target is None else self.target(obs)

    def iterate(self) -> dict[str, float]:
        c = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = c.learning_rate * (1.0 - (1.0 - c.final_learning_rate_share) * self.progress)
        obs = self.window.begin()
        restarted = self.window.restarted[:, None]
        state = torch.where(restarted, self.actor.initial_state(self.task.num_envs), self.state)
        rewards, seen, alive = [], [obs.flat], [torch.ones_like(self.window.restarted)]
        with self.actor.window():
            for _ in range(c.horizon):
                action, state = self.actor(obs.flat, state)
                obs, reward, still = self.window.step(action)
                rewards.append(reward)
                alive.append(still)
                seen.append(obs.flat.detach())
        # a reward counts until the step that ends it, that step included
        lasting = torch.stack(alive).cummin(0).values
        reward = torch.where(lasting[:-1], torch.stack(rewards), 0.0)
        discount = c.gamma ** torch.arange(c.horizon, device=reward.device)
        gain = (reward * discount[:, None]).sum(0)
        if self.target is not None and self.iteration >= c.critic_warmup:
            gain = gain + c.gamma**c.horizon * torch.where(lasting[-1], self.target(obs.flat), 0.0)
        loss = -gain.mean() / c.horizon
        sound, norm = self.descend("actor", loss, self.optimiser, c.gradient_clip)
        self.window.commit()
        if sound and self.iteration < c.normaliser_iterations:  # a NaN in the moments would stay for ever
            self.actor.learn_normaliser(torch.stack(seen[:: max(1, c.horizon // 5)]), state.detach())
        self.state = state.detach().clone()
        scalars = {"loss": loss.item(), "reward": reward.detach().mean().item(), "gradient_norm": norm}
        if self.critic is not None and sound:
            scalars["critic_loss"] = self._fit_critic(torch.stack(seen), reward.detach(), lasting)
        self.iteration += 1
        return scalars

    def _fit_critic(self, obs: Tensor, reward: Tensor, lasting: Tensor) -> float:
        """TD(lambda) targets over the window, then minibatch regression; returns the last loss.

        obs (H+1, N, channels), reward (H, N), lasting (H+1, N): whether the episode still runs before a step.
        """
        assert self.critic is not None
        assert self.target is not None
        c = self.config
        self.critic.normaliser.update(obs[..., self.critic.index])
        self.target.normaliser.load_state_dict(self.critic.normaliser.state_dict())
        with torch.no_grad():
            value = self.target(obs)
            goal, targets = value[-1], torch.empty_like(reward)
            for t in range(c.horizon - 1, -1, -1):
                ahead = torch.lerp(value[t + 1], goal, c.critic_lambda)
                goal = reward[t] + c.gamma * torch.where(lasting[t + 1], ahead, 0.0)
                targets[t] = goal
        flat, goals = obs[:-1][lasting[:-1]], targets[lasting[:-1]]
        loss = torch.zeros(())
        pieces = min(c.critic_updates, self.task.num_envs)  # none is empty, and every process has as many
        for rows in torch.randperm(len(goals), device=goals.device).tensor_split(pieces):
            loss = (self.critic(flat[rows]) - goals[rows]).square().mean()
            self.descend("critic", loss, self.critic_optimiser, math.inf)
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.critic.parameters(), strict=True):
                slow.lerp_(fast, c.critic_target_rate)
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        kept: dict[str, Any] = {
            "actor": self.actor.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "state": self.state,
            "iteration": self.iteration,
            "bad_updates": self.bad_updates,
        }
        if self.critic is not None and self.target is not None:
            kept |= {
                "critic": self.critic.state_dict(),
                "target": self.target.state_dict(),
                "critic_optimiser": self.critic_optimiser.state_dict(),
            }
        return kept

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        self.actor.load_state_dict(kept["actor"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.state.copy_(kept["state"])
        self.iteration, self.bad_updates = kept["iteration"], kept["bad_updates"]
        if self.critic is not None and self.target is not None:
            self.critic.load_state_dict(kept["critic"])
            self.target.load_state_dict(kept["target"])
            self.critic_optimiser.load_state_dict(kept["critic_optimiser"])
