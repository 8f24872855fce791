"""What a learner is to the run around it: it iterates, has an actor, and can be put away and taken up again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from robostack import team
from robostack.nets.actor import Actor, ActorConfig
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
        if math.isfinite(norm) and math.isfinite(loss.item()):
            optimiser.step()
            self.bad_updates = 0
            return True, norm
        self.bad_updates += 1
        if self.bad_updates > self.MAX_BAD_UPDATES:
            raise DivergedError(
                f"iteration {self.iteration}: the {what}'s loss or gradient was not finite for {self.bad_updates} "
                "updates in a row; lower learning_rate or gradient_clip"
            )
        return False, norm
