"""Prioritised level replay: episodes again where the critic was most wrong (Jiang et al. 2021, Prioritized Level
Replay; with new levels next to a buffer of old ones as in Jiang et al. 2021, Replay-Guided Adversarial Environment
Design).

A level is a vector of parameters. Its score is the mean of |A_t| over its last episode, A the generalised advantage
estimate. Replayed levels are drawn from

    P = (1 - staleness_share) P_S + staleness_share P_C,
    P_S(i) in proportion to rank(i)^(-1 / temperature), the highest score has rank 1,
    P_C(i) in proportion to the episodes since level i was last drawn;

with probability `replay_share`, and as soon as there are `levels`; else a new level is uniform. A new level takes the
place of the one with the lowest score. Without a critic the score is |return - the return of the level's episode
before|, of a new level |return - the mean return of the levels|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robostack.learn.curriculum.curriculum import Curriculum
from robostack.spec import ContractError
from robostack.task import Parameter


@dataclass(frozen=True)
class PLR:
    """Settings of the curriculum; temperature and staleness are the paper's."""

    parameters: tuple[str, ...] = ()
    """names of those that it sets; none: all that the task declares"""
    levels: int = 256
    """that are kept"""
    replay_share: float = 0.8
    temperature: float = 0.1
    staleness_share: float = 0.1

    def __post_init__(self) -> None:
        if not (0.0 <= self.replay_share <= 1.0 and 0.0 <= self.staleness_share <= 1.0):
            raise ContractError("replay_share and staleness_share must be within [0, 1]")
        if self.levels < 1 or self.temperature <= 0.0:
            raise ContractError("levels must be at least 1, temperature above 0")

    def curriculum(self, parameters: tuple[Parameter, ...], seed: int) -> PlrCurriculum:
        return PlrCurriculum(parameters, seed, self)


class PlrCurriculum(Curriculum):
    """`points` (m, parameters), `score`, `returns` and `drawn` (m,) of the levels; `drawn` is the episode, of `episode`
    so far, in which a level was drawn last."""

    WANTS_VALUE_ERROR: ClassVar[bool] = True
    KEPT: ClassVar[tuple[str, ...]] = (*Curriculum.KEPT, "points", "score", "returns", "drawn", "episode")

    def __init__(self, parameters: tuple[Parameter, ...], seed: int, settings: PLR) -> None:
        super().__init__(parameters, seed)
        self.settings = settings
        self.points = torch.zeros(0, len(parameters), dtype=torch.float64)
        self.score, self.returns = torch.zeros(2, 0, dtype=torch.float64)
        self.drawn, self.episode = torch.zeros(0, dtype=torch.long), torch.zeros((), dtype=torch.long)

    def probability(self) -> Tensor:
        """(m,) of each level to be the next that is replayed."""
        rank = torch.empty_like(self.score)
        rank[self.score.argsort(descending=True, stable=True)] = torch.arange(1.0, len(rank) + 1, dtype=torch.float64)
        by_score = rank ** (-1.0 / self.settings.temperature)
        age = (self.episode - self.drawn).double()
        stale = age / age.sum() if age.sum() > 0 else torch.full_like(age, 1.0 / len(age))
        share = self.settings.staleness_share
        return (1.0 - share) * by_score / by_score.sum() + share * stale

    def propose(self, n: int) -> Tensor:
        points = self.uniform(n, len(self.parameters))
        replayed = (self.uniform(n) < self.settings.replay_share).nonzero().squeeze(1)
        if len(replayed) and len(self.points) == self.settings.levels:
            self._replay(points, replayed)
        self.episode += n
        return points

    def _replay(self, points: Tensor, rows: Tensor) -> None:
        """Episodes that start together get different levels while there are enough: at the paper's temperature all of
        them would get the first."""
        for some in rows.split(self.settings.levels):
            probability = self.probability()
            possible = int((probability > 0).sum())
            which = torch.multinomial(probability, min(len(some), possible), generator=self.generator)
            which = which.repeat(-(-len(some) // len(which)))[: len(some)]
            points[some] = self.points[which]
            self.drawn[which] = self.episode

    def learn(self, points: Tensor, returns: Tensor, value_error: Tensor, solved: Tensor) -> None:
        for point, value, error in zip(points, returns, value_error, strict=True):
            known = ((self.points - point).abs() < 1e-9).all(1).nonzero().flatten()
            before = self.returns[known[0]] if len(known) else self.returns.mean() if len(self.returns) else value
            score = error if torch.isfinite(error) else (value - before).abs()
            if len(known):
                at = int(known[0])
            elif len(self.points) < self.settings.levels:
                at = len(self.points)
                self.points = torch.cat([self.points, point[None]])
                self.score, self.returns = (torch.cat([x, value[None]]) for x in (self.score, self.returns))
                self.drawn = torch.cat([self.drawn, self.episode[None]])
            else:
                at = int(self.score.argmin())
                if score < self.score[at]:
                    continue
                self.points[at], self.drawn[at] = point, self.episode
            self.score[at], self.returns[at] = score, value

    def figures(self) -> dict[str, float]:
        found = {"levels": float(len(self.points))}
        if len(self.points):
            age = (self.episode - self.drawn).double()
            found |= {"score": self.score.mean().item(), "staleness": age.mean().item()}
        return found
