"""Proximal policy optimisation: a policy gradient that needs nothing of the simulator but its steps.

    maximise over theta   mean min( r A, clip(r, 1 - clip, 1 + clip) A ),   r = pi_theta(u | o) / pi_old(u | o)

(Schulman et al. 2017, Proximal Policy Optimization Algorithms), A by GAE, a few epochs of minibatches over every
rollout, and a learning rate that follows the KL divergence between the policies before and after. A time-out
bootstraps from the value of the observation the episode was cut off at, a termination from nothing.

With `terms` there is a value of every named reward term, and the terms' advantages are normalised one by one and then
weighted, A = sum_k weight_k (A_k - mean A_k) / std A_k (multi-critic, as in SLIM, arXiv 2402.00823):
what a term weighs does not depend on its unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from robostack import team
from robostack.learn.learner import Learner
from robostack.learn.rollout import Rollout, gae
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.critic import CriticConfig
from robostack.nets.popart import PopArtCritic, moments
from robostack.spec import ContractError
from robostack.task import Task


@dataclass(frozen=True)
class PPO:
    """Settings of the learner; `actor` and `critic` are the shapes of the networks and what they see."""

    iterations: int = 500
    steps: int = 24
    """steps of every environment in one iteration; a GRU's gradient flows back through them"""
    epochs: int = 5
    minibatches: int = 4
    """of steps for a feed-forward actor, of whole environments for a GRU"""
    clip: float = 0.2
    """how far the ratio of the policies counts"""
    learning_rate: float = 1e-3
    """Adam's for the actor, the first one; `desired_kl` moves it"""
    critic_learning_rate: float = 1e-3
    desired_kl: float = 0.01
    """KL divergence that one iteration should make; 0: `learning_rate` stays"""
    gamma: float = 0.99
    """discount"""
    gae_lambda: float = 0.95
    entropy: float = 0.0
    """weight of the exploration's entropy"""
    gradient_clip: float = 1.0
    """of actor and critic together"""
    std: float = 1.0
    """of the exploration before the actor's tanh, the first one; it is learned"""
    terms: tuple[tuple[str, float], ...] = ()
    """multi-critic: reward terms by name and what each weighs; () is one critic of the task's own reward"""
    actor: ActorConfig = field(default_factory=ActorConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)

    def learner(self, task: Task) -> PpoLearner:
        """Raises ContractError naming a setting that cannot be."""
        return PpoLearner(task, self)


LEARNING_RATES = (1e-5, 1e-2)
"""between these `desired_kl` moves the learning rate"""


class PpoLearner(Learner):
    """`iterate()` makes one rollout and the updates from it. The first one only looks: it teaches the normalisers."""

    critic: PopArtCritic

    def __init__(self, task: Task, config: PPO) -> None:
        _check(config, task)
        self.task, self.config = task, config
        self.actor = Actor(task, config.actor).to(task.device)
        self.critic = PopArtCritic(task, config.critic, outputs=max(1, len(config.terms))).to(task.device)
        self.log_std = nn.Parameter(torch.full((task.action_size,), math.log(config.std), device=task.device))
        self.weights = torch.tensor([w for _, w in config.terms] or [1.0], device=task.device)
        groups = [
            {"params": [*self.actor.parameters(), self.log_std], "lr": config.learning_rate},
            {"params": [*self.critic.parameters()], "lr": config.critic_learning_rate},
        ]
        self.optimiser = torch.optim.Adam(groups, fused=True)
        names = tuple(name for name, _ in config.terms)
        self.rollout = Rollout(task, self.actor, self.critic.index, config.steps, names)

    @property
    def steps_per_iteration(self) -> int:
        return self.config.steps

    def value(self, obs: Tensor) -> Tensor | None:
        """None with `terms`: no critic is of the task's own reward then."""
        return None if self.config.terms else self.critic(obs)

    def iterate(self) -> dict[str, float]:
        rollout = self.rollout
        rollout.collect(self.log_std.detach().exp())
        inputs = self.critic.see(rollout.seen)
        advantage, target = self._credit(inputs)
        scalars = {"reward": rollout.reward.sum(-1).mean().item()}
        scalars |= {f"reward/{n}": rollout.reward[..., k].mean().item() for k, n in enumerate(rollout.terms)}
        if self._sound(advantage):
            self.critic.learn_scale(target)
            if self.iteration:
                parts = (rollout.features, inputs[:-1], self._preference(advantage), self.critic.without_unit(target))
                scalars |= self._update(*parts)
            self.actor.normaliser.update(rollout.features)  # from here on: within a rollout the policy is one
            self.critic.normaliser.update(rollout.seen[:-1])
        self.iteration += 1
        return scalars

    @torch.no_grad()
    def _credit(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Advantages and value targets, (T, N, K) both, in the rewards' units."""
        c, rollout = self.config, self.rollout
        value = self.critic.value(inputs)
        final = self.critic.value(self.critic.see(rollout.final[rollout.cut_off]))
        ended = rollout.terminated | rollout.truncated
        ahead = rollout.ahead(value, final)
        advantage = gae(rollout.reward, value[:-1], ahead, ended, c.gamma, c.gae_lambda)
        return advantage, advantage + value[:-1]

    def _preference(self, advantage: Tensor) -> Tensor:
        """(T, N, K) -> (T, N): every term's advantage normalised, then weighted. A term that says nothing but the
        rounding of its critic counts nothing."""
        mean, var = moments(advantage)
        std = var.sqrt()
        per_std = torch.where(std > self.critic.rounding, self.weights / std, 0.0)
        return ((advantage - mean) * per_std).sum(-1)

    def _update(self, features: Tensor, inputs: Tensor, preference: Tensor, target: Tensor) -> dict[str, float]:
        c, rollout = self.config, self.rollout
        old = -0.5 * rollout.noise.square().sum(-1) - self.log_std.detach().sum()
        values = (features, inputs, rollout.explored, old, preference, target, rollout.begins, *self.labels())
        batches = list(self._shuffled(values))
        for _ in range(c.epochs):
            total = torch.zeros(3, device=old.device)
            for batch in batches:
                loss, shown = self.loss(*batch)
                _, norm = self.descend("learner", loss, self.optimiser, c.gradient_clip)
                total += shown / len(batches)
        surrogate, value, kl = team.average(total).tolist()
        self._follow(kl)
        return {
            "loss": surrogate,
            "value_loss": value,
            "kl": kl,
            "gradient_norm": norm,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "std": self.log_std.detach().exp().mean().item(),
        }

    def _shuffled(self, values: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
        """Minibatches of (T, N, ...), the GRU's units first: of steps, (n, ...), or with a GRU of environments,
        (T, n, ...)."""
        recurrent = self.actor.gru is not None
        over, values = (1, values) if recurrent else (0, tuple(v.flatten(0, 1) for v in values))
        order = torch.randperm(values[0].shape[over], device=values[0].device)
        for rows in order.chunk(self.config.minibatches):
            units = self.rollout.units[rows] if recurrent else self.rollout.units[:0]
            yield units, *(v.index_select(over, rows) for v in values)

    def labels(self) -> tuple[Tensor, ...]:
        """(T, N, ...) of the rollout that `guidance` takes beside the policy's mean."""
        return ()

    def guidance(self, mean: Tensor, *labels: Tensor) -> Tensor | float:
        """What a learner adds to the loss of a minibatch; `mean` (..., A) before the tanh."""
        return 0.0

    def loss(
        self,
        units: Tensor,
        features: Tensor,
        inputs: Tensor,
        explored: Tensor,
        old: Tensor,
        preference: Tensor,
        target: Tensor,
        begins: Tensor,
        *labels: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """What one minibatch minimises, and (surrogate, value loss, KL to the policy that explored) to show."""
        c = self.config
        mean = self.actor.head(self.actor.unroll(features, units, begins))
        off = (explored - mean) * torch.exp(-self.log_std)
        log_ratio = -0.5 * off.square().sum(-1) - self.log_std.sum() - old
        ratio = log_ratio.exp()
        surrogate = -torch.minimum(ratio * preference, ratio.clamp(1.0 - c.clip, 1.0 + c.clip) * preference).mean()
        value = (self.critic.net(inputs) - target).square().mean()
        with torch.no_grad():  # Schulman's estimator: never negative, and of little variance
            kl = (ratio - 1.0 - log_ratio).mean()
        loss = surrogate + value - c.entropy * self.log_std.sum() + self.guidance(mean, *labels)
        return loss, torch.stack([surrogate.detach(), value.detach(), kl])

    def _follow(self, kl: float) -> None:
        """Moves the actor's learning rate towards updates of `desired_kl`."""
        wanted, actor = self.config.desired_kl, self.optimiser.param_groups[0]
        if wanted and not wanted / 2 < kl < wanted * 2:
            low, high = LEARNING_RATES
            actor["lr"] = min(max(actor["lr"] * (1.5 if kl <= wanted / 2 else 1 / 1.5), low), high)

    def _sound(self, advantage: Tensor) -> bool:
        """Whether the rollout may be learned from. Raises DivergedError after too many in a row that may not."""
        rollout = self.rollout
        names = rollout.terms or ("of the task",)
        looked = {f"reward {n}": rollout.reward[..., k] for k, n in enumerate(names)}
        looked |= {"features": rollout.features, "critic's channels": rollout.seen, "advantage": advantage}
        bad = [name for name, value in looked.items() if not torch.isfinite(value).all()]
        sound = not team.largest(bool(bad))[0]
        self._count(sound, f"{(bad or ['rollout of another process'])[0]} was", "nothing is learned from them")
        return sound

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor": self.actor.state_dict(),
            "critic": self.critic.state_dict(),
            "log_std": self.log_std.detach(),
            "optimiser": self.optimiser.state_dict(),
            "rollout": self.rollout.state_dict(),
            "iteration": self.iteration,
            "bad_updates": self.bad_updates,
        }

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        self.actor.load_state_dict(kept["actor"])
        self.critic.load_state_dict(kept["critic"])
        with torch.no_grad():
            self.log_std.copy_(kept["log_std"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.rollout.load_state_dict(kept["rollout"])
        self.iteration, self.bad_updates = kept["iteration"], kept["bad_updates"]


def _check(c: PPO, task: Task) -> None:
    """Raises ContractError naming what cannot be."""
    names = [name for name, _ in c.terms]
    for ok, what in (
        (c.steps > 0 and c.epochs > 0 and c.minibatches > 0, "steps, epochs and minibatches are at least 1"),
        (c.std > 0.0, f"std is {c.std}: without exploration there is nothing to learn from"),
        (0.0 <= c.gamma <= 1.0 and 0.0 <= c.gae_lambda <= 1.0, "gamma and gae_lambda are shares, from 0 to 1"),
        (len({*names}) == len(names), f"terms: {', '.join(names)}: a term is named twice"),
        (all(math.isfinite(w) and w for _, w in c.terms), "terms: a weight is 0 or not finite; leave the term out"),
        (
            not c.actor.recurrent or c.minibatches <= task.num_envs,
            f"minibatches is {c.minibatches} with {task.num_envs} environments: a GRU learns from whole ones",
        ),
    ):
        if not ok:
            raise ContractError(what)
