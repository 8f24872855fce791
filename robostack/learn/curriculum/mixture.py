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
    random. n is at least the largest number.

    A log-density is linear in the moments x x^T, x and 1 of a point, and so are the sums that the next parameters are
    made of: both halves of a step are one matrix product with them.
    """
    n, d = points.shape
    moments = torch.cat([(points[:, :, None] * points[:, None]).flatten(1), points, torch.ones_like(points[:, :1])], 1)
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
        factor = torch.linalg.cholesky(covariance)
        precision = torch.cholesky_inverse(factor)
        slope = (precision @ mean[..., None]).squeeze(-1)
        level = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * (slope * mean).sum(-1)
        level = weight.log() - level - 0.5 * d * math.log(2.0 * math.pi)
        log_joint = torch.cat([-0.5 * precision.flatten(-2), slope, level[..., None]], -1) @ moments.T
        log_point = log_joint.logsumexp(1, keepdim=True)
        likelihood = log_point.mean((1, 2))
        if (likelihood - before).max() <= TOLERANCE:
            break
        before = likelihood
        sums = (log_joint - log_point).exp() @ moments
        total = sums[..., -1].clamp(min=1e-12)
        weight = torch.where(used, total, 0.0) / n
        mean = sums[..., d * d : -1] / total[..., None]
        second = (sums[..., : d * d] / total[..., None]).unflatten(-1, (d, d))
        covariance = second - mean[..., None] * mean[..., None, :] + floor
    return [
        Mixture(weight[i, :k], mean[i, :k], covariance[i, :k], n * likelihood[i].item())
        for i, k in enumerate(components)
    ]
