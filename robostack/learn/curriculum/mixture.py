"""Mixtures of Gaussians, full covariance, by expectation maximisation; how many components, Akaike's criterion says.

All the candidates are fitted at once, as one batch: a fit of 250 points takes tens of milliseconds, and a curriculum
makes hundreds of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

REGULARISATION = 1e-6
"""added to every variance, of points whose extent is about one"""
MOST_STEPS = 100
TOLERANCE = 1e-3
"""a fit ends when its mean log-likelihood rises by no more"""


@dataclass(frozen=True)
class Mixture:
    """weight (k,), mean (k, d), covariance (k, d, d); `log_likelihood` of the points that it was fitted to."""

    weight: Tensor
    mean: Tensor
    covariance: Tensor
    log_likelihood: float

    @property
    def aic(self) -> float:
        """2 x free numbers - 2 x log-likelihood (Akaike 1974)."""
        k, d = self.mean.shape
        return 2.0 * (k * (1 + d + d * (d + 1) // 2) - 1) - 2.0 * self.log_likelihood


def fit_best(points: Tensor, components: range, generator: torch.Generator) -> Mixture:
    """The mixture of `points` (n, d) float64 whose number of components has the lowest criterion."""
    return min(fit(points, components, generator), key=lambda m: m.aic)


def fit(points: Tensor, components: range, generator: torch.Generator) -> list[Mixture]:
    """One mixture of `points` (n, d) float64 for each number of components; means start at points drawn at
    random. n is at least the largest number."""
    n, d = points.shape
    counts = torch.tensor(list(components))
    candidates, most = len(counts), int(counts.max())
    used = torch.arange(most) < counts[:, None]
    start = torch.rand(candidates, n, generator=generator, dtype=torch.float64).argsort(1)[:, :most]
    mean = points[start]
    floor = REGULARISATION * torch.eye(d, dtype=torch.float64)
    covariance = (torch.cov(points.T).reshape(d, d) / counts[:, None, None] ** (2.0 / d) + floor)[:, None]
    covariance = covariance.expand(candidates, most, d, d)
    weight = used / counts[:, None].double()
    before = torch.full((candidates,), -math.inf, dtype=torch.float64)
    for _ in range(MOST_STEPS):
        away = points - mean[:, :, None]  # (candidates, most, n, d)
        factor = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(factor, away.mT, upper=False)
        scale = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * d * math.log(2.0 * math.pi)
        log_joint = (weight.log() - scale)[:, :, None] - 0.5 * white.square().sum(-2)
        log_point = log_joint.logsumexp(1)
        likelihood = log_point.mean(1)
        if (likelihood - before).max() <= TOLERANCE:
            break
        before = likelihood
        share = (log_joint - log_point[:, None]).exp()
        total = share.sum(-1).clamp(min=1e-12)
        weight = torch.where(used, total, 0.0) / n
        weight = weight / weight.sum(1, keepdim=True)
        mean = share @ points / total[..., None]
        away = points - mean[:, :, None]
        covariance = (share[..., None] * away).mT @ away / total[..., None, None] + floor
    return [
        Mixture(weight[i, :k], mean[i, :k], covariance[i, :k], n * likelihood[i].item())
        for i, k in enumerate(components)
    ]
