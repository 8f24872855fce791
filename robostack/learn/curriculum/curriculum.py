"""What a curriculum is to the episodes it proposes: parameters out, what became of them in."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack.task import Parameter


class CurriculumSettings(Protocol):
    """Of a curriculum: a frozen dataclass with defaults that work on returns and ranges of any size."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Which of the task's parameters it sets; none named: all. The task draws the others."""
        ...

    def curriculum(self, parameters: tuple[Parameter, ...], seed: int) -> Curriculum: ...


def chosen(parameters: tuple[Parameter, ...], names: tuple[str, ...], task: str) -> tuple[Parameter, ...]:
    """The parameters of those names, in their order. Raises ContractError listing what the task has."""
    declared = {p.name: p for p in parameters}
    if not declared:
        raise ContractError(f"task {task!r} declares no parameters; train it without a curriculum")
    if unknown := [n for n in names if n not in declared]:
        raise ContractError(f"task {task!r} has no parameter {', '.join(unknown)}; it has {', '.join(declared)}")
    return tuple(declared[n] for n in names) or parameters


class Curriculum(ABC):
    """Works on the CPU in float64; every draw comes from its own `generator`, so that a state resumes to the bit.

    A method sees the unit box only: each parameter a share of its range, of the range's logarithm where the parameter
    is log-uniform.
    """

    RECENT = 512
    """episodes that the logged distribution is of"""
    WANTS_VALUE_ERROR: ClassVar[bool] = False
    """whether `update` should be told what a critic got wrong; others spare the work"""
    KEPT: ClassVar[tuple[str, ...]] = ("recent", "recent_return", "recent_solved", "refused")
    """attributes, all tensors, that a resumed run needs"""

    def __init__(self, parameters: tuple[Parameter, ...], seed: int) -> None:
        self.parameters = parameters
        self.generator = torch.Generator().manual_seed(seed)
        ends = [[math.log(e) if p.log else e for e in (p.low, p.high)] for p in parameters]
        self._low, self._high = torch.tensor(ends, dtype=torch.float64).T
        self._floor = torch.tensor([p.low for p in parameters], dtype=torch.float64)
        self._ceiling = torch.tensor([p.high for p in parameters], dtype=torch.float64)
        self._log = torch.tensor([p.log for p in parameters])
        self.recent = torch.zeros(0, len(parameters), dtype=torch.float64)
        self.recent_return = torch.zeros(0, dtype=torch.float64)
        self.recent_solved = torch.zeros(0, dtype=torch.float64)
        self.refused = torch.zeros((), dtype=torch.long)

    @abstractmethod
    def propose(self, n: int) -> Tensor:
        """(n, parameters) in [0, 1]."""

    @abstractmethod
    def learn(self, points: Tensor, returns: Tensor, value_error: Tensor, solved: Tensor) -> None:
        """From n episodes: (n, parameters) in [0, 1], then (n,) each; `value_error` is NaN where no critic says it."""

    def sample(self, n: int) -> Tensor:
        """(n, parameters) of the next n episodes, float64, in the parameters' units and within their ranges."""
        values = self._low + (self._high - self._low) * self.propose(n)
        values = torch.where(self._log, values.exp(), values).clamp(self._floor, self._ceiling)
        self.recent = torch.cat([self.recent, values])[-self.RECENT :]
        return values

    def update(self, params: Tensor, returns: Tensor, value_error: Tensor, solved: Tensor) -> None:
        """What became of n episodes that ended: (n, parameters) as sampled, then (n,) each: the sum of rewards, the
        mean error of a critic's values (NaN: there is none), whether the episode was a success.

        An episode whose return is not finite teaches nothing: it is counted in `refused`, and warned of once. Raises
        ValueError for parameters that no sample can have.
        """
        params = params.double()
        if params.shape != (len(returns), len(self.parameters)):
            names = ", ".join(p.name for p in self.parameters)
            raise ValueError(f"{len(returns)} episodes have {tuple(params.shape)} parameters; expected {names} of each")
        room = 1e-6 * (self._ceiling - self._floor)
        outside = ~((params >= self._floor - room) & (params <= self._ceiling + room)).all(0)
        if outside.any():
            p = self.parameters[int(outside.nonzero()[0])]
            raise ValueError(f"an episode's {p.name} was outside of its range [{p.low}, {p.high}] {p.unit}")
        finite = torch.isfinite(returns)
        if count := int((~finite).sum()):
            if not self.refused:
                warnings.warn(
                    f"the return of {count} episodes was not finite: the curriculum leaves such episodes out and "
                    "counts them in curriculum/refused",
                    RuntimeWarning,
                    stacklevel=2,
                )
            self.refused += count
        if not finite.any():
            return
        width = (self._high - self._low).where(self._high > self._low, 1.0)
        points = (torch.where(self._log, params.log(), params) - self._low) / width
        returns, solved = returns[finite].double(), solved[finite]
        self.recent_return = torch.cat([self.recent_return, returns])[-self.RECENT :]
        self.recent_solved = torch.cat([self.recent_solved, solved.double()])[-self.RECENT :]
        self.learn(points[finite].clamp(0.0, 1.0), returns, value_error[finite].double(), solved)

    def scalars(self) -> dict[str, float]:
        """The distribution for the log: quantiles of what was sampled lately, how those episodes ended, and the
        method's own figures."""
        found = {"refused": float(self.refused)}
        if len(self.recent):
            quantiles = self.recent.quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64), 0).T.tolist()
            for p, values in zip(self.parameters, quantiles, strict=True):
                found |= {f"{p.name}_{q}": v for q, v in zip(("p05", "p50", "p95"), values, strict=True)}
        if len(self.recent_return):
            found |= {"return": self.recent_return.mean().item(), "solved": self.recent_solved.mean().item()}
        return {f"curriculum/{k}": v for k, v in (found | self.figures()).items()}

    def figures(self) -> dict[str, float]:
        """The method's own; none by default."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs to go on to the bit; aliases what it holds."""
        return {name: getattr(self, name) for name in self.KEPT} | {"generator": self.generator.get_state()}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave. Raises KeyError or ValueError when it is of another method or box."""
        if kept["recent"].shape[1] != len(self.parameters):
            names = ", ".join(p.name for p in self.parameters)
            raise ValueError(f"the curriculum there sets {kept['recent'].shape[1]} parameters, here {names}")
        for name in self.KEPT:
            setattr(self, name, kept[name].clone())
        self.generator.set_state(kept["generator"])

    def uniform(self, *shape: int) -> Tensor:
        """In [0, 1), from the curriculum's generator."""
        return torch.rand(*shape, dtype=torch.float64, generator=self.generator)
