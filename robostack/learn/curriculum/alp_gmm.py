"""ALP-GMM: more of what the learner gets better, or worse, at (Portelas et al. 2019, Teacher algorithms for curriculum
learning of Deep RL in continuously parameterized environments, algorithm 1).

The absolute learning progress of an episode at point p with return r is |r - r'|, r' the return of the nearest point
before it. After every `fit_every` episodes a mixture of Gaussians is fitted to the last of them as rows
(p, |progress|); Akaike's criterion says of how many. A point is then drawn from one of the Gaussians, chosen in
proportion to its mean progress; with probability `random_share`, and until the first fit, from the whole box.

Here a point is shares of the parameters' ranges, and progress is divided by the largest of a fit, so that neither
units nor the reward's scale matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robostack.learn.curriculum.curriculum import Curriculum
from robostack.learn.curriculum.mixture import fit_best
from robostack.spec import ContractError
from robostack.task import Parameter


@dataclass(frozen=True)
class AlpGmm:
    """Settings of the curriculum."""

    parameters: tuple[str, ...] = ()
    """names of those that it sets; none: all that the task declares"""
    fit_every: int = 250
    """episodes, and what a fit is of"""
    most_components: int = 10
    random_share: float = 0.2
    history: int = 5000
    """episodes that are searched for the nearest point"""

    def __post_init__(self) -> None:
        if not 2 <= self.most_components <= self.fit_every:
            raise ContractError(f"most_components = {self.most_components}: must be within [2, fit_every]")
        if not 0.0 <= self.random_share <= 1.0 or self.history < self.fit_every:
            raise ContractError("random_share must be within [0, 1], history at least fit_every")

    def curriculum(self, parameters: tuple[Parameter, ...], seed: int) -> AlpGmmCurriculum:
        return AlpGmmCurriculum(parameters, seed, self)


class AlpGmmCurriculum(Curriculum):
    """`points` (m, parameters) and `returns` (m,) of the history, oldest first; `progress` (m,) of each episode;
    `weight`, `mean`, `factor` of the Gaussians to draw from, a lower triangle each, none before the first fit."""

    KEPT: ClassVar[tuple[str, ...]] = (
        *Curriculum.KEPT, "points", "returns", "progress", "since_fit", "weight", "mean", "factor",
    )  # fmt: skip
    FIRST = 5
    """earlier points that make a nearest one meaningful"""

    def __init__(self, parameters: tuple[Parameter, ...], seed: int, settings: AlpGmm) -> None:
        super().__init__(parameters, seed)
        self.settings = settings
        d = len(parameters)
        self.points = torch.zeros(0, d, dtype=torch.float64)
        self.returns, self.progress, self.weight = torch.zeros(3, 0, dtype=torch.float64)
        self.mean, self.factor = torch.zeros(0, d, dtype=torch.float64), torch.zeros(0, d, d, dtype=torch.float64)
        self.since_fit = torch.zeros((), dtype=torch.long)

    def propose(self, n: int) -> Tensor:
        points = self.uniform(n, len(self.parameters))
        guided = (self.uniform(n) >= self.settings.random_share).nonzero().squeeze(1)
        if len(self.weight) and len(guided):
            which = torch.multinomial(self.weight, len(guided), replacement=True, generator=self.generator)
            white = torch.randn(len(guided), points.shape[1], 1, dtype=torch.float64, generator=self.generator)
            points[guided] = (self.mean[which] + (self.factor[which] @ white).squeeze(-1)).clamp(0.0, 1.0)
        return points

    def learn(self, points: Tensor, returns: Tensor, value_error: Tensor, solved: Tensor) -> None:
        progress = torch.zeros_like(returns)
        if len(self.points) > self.FIRST:
            progress = (returns - self.returns[torch.cdist(points, self.points).argmin(1)]).abs()
        most = self.settings.history
        self.points = torch.cat([self.points, points])[-most:]
        self.returns = torch.cat([self.returns, returns])[-most:]
        self.progress = torch.cat([self.progress, progress])[-self.settings.fit_every :]
        self.since_fit += len(points)
        if self.since_fit >= self.settings.fit_every:
            self.since_fit.zero_()
            self._fit()

    def _fit(self) -> None:
        d, progress = len(self.parameters), self.progress
        scaled = progress / progress.max().clamp(min=1e-12)
        rows = torch.cat([self.points[-len(progress) :], scaled[:, None]], 1)
        found = fit_best(rows, range(2, self.settings.most_components + 1), self.generator)
        weight = found.mean[:, d].clamp(min=0.0)
        self.weight = weight if weight.sum() > 0 else torch.ones_like(weight)
        self.mean, self.factor = found.mean[:, :d], torch.linalg.cholesky(found.covariance[:, :d, :d])

    def figures(self) -> dict[str, float]:
        found = {"components": float(len(self.weight))}
        return found | {"progress": self.progress.mean().item()} if len(self.progress) else found
