"""Uniform over the declared ranges: plain domain randomisation (Tobin et al. 2017), which learns from nothing."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robostack.learn.curriculum.curriculum import Curriculum
from robostack.task import Parameter


@dataclass(frozen=True)
class Uniform:
    """Settings of the curriculum."""

    parameters: tuple[str, ...] = ()
    """names of those that it sets; none: all that the task declares"""

    def curriculum(self, parameters: tuple[Parameter, ...], seed: int) -> UniformCurriculum:
        return UniformCurriculum(parameters, seed)


class UniformCurriculum(Curriculum):
    def propose(self, n: int) -> Tensor:
        return self.uniform(n, len(self.parameters))

    def learn(self, points: Tensor, returns: Tensor, value_error: Tensor, solved: Tensor) -> None:
        """Nothing."""
