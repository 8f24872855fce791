"""What a learner is to the run around it: it iterates, has an actor, and can be put away and taken up again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from robostack import team
from robostack.learn.adam import Adam
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.critic import Critic
from robostack.task import Task


class DivergedError(RuntimeError):
    """Loss or gradient stayed non-finite; what was good before is kept."""


class Algorithm(Protocol):
    """Settings of a learner: a frozen dataclass with defaults that train."""

    @property
    def iterations(self) -> int: ...

    @property
    def actor(self) -> ActorConfig: ...

    def learner(self, task: Task) -> Learner:
        """Raises ContractError or TypeError where the algorithm cannot do this task or these settings."""


class Learner(ABC):
    """`iterate()` collects and updates once. `actor` is the policy that is judged and exported.

    Several processes may train one policy (robostack.team). `descend` and Normaliser.update are over all of them, and
    modules that are attributes start with the weights of the first; each has environments, random numbers and
    a replay of its own. So a learner calls these two equally often in every process, and what else it decides by
    data (a rate that follows a divergence, say) it decides by `team.average` of it.
    """

    JUDGED_AT: ClassVar[tuple[float, ...]] = tuple(k / 10 for k in range(1, 11))
    """shares of a training at which the policy is judged; the best of them is exported"""
    MAX_BAD_UPDATES = 20

    task: Task
    config: Any
    actor: Actor
    critic: Critic | None = None
    """kept beside the actor that judged best: what `robostack.distill.aacd` starts from"""
    iteration: int = 0
    bad_updates: int = 0

    @property
    @abstractmethod
    def steps_per_iteration(self) -> int:
        """Steps that an iteration asks of every environment."""

    @abstractmethod
    def iterate(self) -> dict[str, float]:
        """One iteration. Returns scalars to log, `reward` (mean a step) among them. Raises DivergedError."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs to go on to the bit, the task's own state aside."""

    @abstractmethod
    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave."""

    def value(self, obs: Tensor) -> Tensor | None:
        """(num_envs, channels) packed observations -> (num_envs,) return that a critic expects; None without one."""
        return None

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        return self.iteration / max(1, self.config.iterations)

    def descend(self, what: str, loss: Tensor, optimiser: Optimizer, clip: float) -> tuple[bool, float]:
        """One step down the gradient of `loss`, its norm clipped, over everything that `optimiser` holds. Says whether
        it was taken, and the norm before clipping. In a team loss and gradient are the mean over its processes.

        A step whose loss or gradient is not finite is left out. Raises DivergedError naming `what` after more than
        MAX_BAD_UPDATES of them in a row.
        """
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        loss = team.average_gradients(parameters, loss)
        norm = clip_grad_norm_(parameters, clip).item()
        sound = math.isfinite(norm) and math.isfinite(loss.item())
        if sound:
            optimiser.step()
        self._count(sound, f"{what}'s loss or gradient was", "lower learning_rate or gradient_clip")
        return sound, norm

    def follow(self, loss: Tensor, optimiser: Adam) -> Tensor:
        """One step down the gradient of `loss`, in a team down the mean of theirs; unguarded: one of many inside
        `all_or_nothing`. Returns the loss alone."""
        optimiser.step(team.averaged(grad(loss, optimiser.parameters)))
        return loss.detach()

    @torch.no_grad()
    def all_or_nothing(self, what: str, changed: Sequence[Tensor], updates: Callable[[], Tensor]) -> bool:
        """Runs `updates`, many steps that change the tensors `changed` and return their loss (). Says whether they
        were kept.

        Where the loss or a tensor is not finite afterwards all tensors are put back: what was not finite once never
        becomes finite again in any of them, so one look is as good as one a step and costs the device one wait.
        Raises DivergedError as `descend`.
        """
        before = [t.detach().clone() for t in changed]
        loss = updates()
        sound = bool(torch.isfinite(torch.stack([loss, *torch._foreach_norm(changed)])).all())
        sound = not team.largest(not sound)[0]
        if not sound:
            torch._foreach_copy_(changed, before)
        self._count(sound, f"{what}'s loss or weights were", "lower learning_rate")
        return sound

    def _count(self, sound: bool, what: str, remedy: str) -> None:
        self.bad_updates = 0 if sound else self.bad_updates + 1
        if self.bad_updates > self.MAX_BAD_UPDATES:
            raise DivergedError(
                f"iteration {self.iteration}: the {what} not finite for {self.bad_updates} updates in a row; {remedy}"
            )
