"""Automatic domain randomisation: a box that grows where its borders are mastered (OpenAI et al. 2019, Solving Rubik's
Cube with a Robot Hand, section 5 and algorithm 1).

Each parameter has a low and a high border. An episode is uniform in the box; with probability `boundary_share` one
parameter of it sits on a border. Of every border the share of its last episodes that were solved is kept: at
`widen_at` or more the border moves out by `step` of the range, at `narrow_at` or less it moves back in; then it
counts anew. The box starts at a point and never shrinks past it.
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
class ADR:
    """Settings of the curriculum."""

    parameters: tuple[str, ...] = ()
    """names of those that it sets; none: all that the task declares"""
    start: tuple[float, ...] = ()
    """where in its range each parameter starts, as a share of it; none: in the middle. A task must be solvable there"""
    step: float = 0.05
    """how far a border moves, a share of the range"""
    episodes: int = 20
    """that decide about a border"""
    boundary_share: float = 0.5
    widen_at: float = 0.8
    narrow_at: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.narrow_at < self.widen_at <= 1.0:
            raise ContractError(f"narrow_at = {self.narrow_at}, widen_at = {self.widen_at}: must be rising shares")
        if not (0.0 < self.step <= 1.0 and 0.0 < self.boundary_share <= 1.0 and self.episodes > 0):
            raise ContractError("step and boundary_share must be within (0, 1], episodes at least 1")
        if any(not 0.0 <= s <= 1.0 for s in self.start):
            raise ContractError(f"start = {self.start}: must be shares of the ranges, within [0, 1]")

    def curriculum(self, parameters: tuple[Parameter, ...], seed: int) -> AdrCurriculum:
        if len(self.start) not in (0, len(parameters)):
            names = ", ".join(p.name for p in parameters)
            raise ContractError(f"start has {len(self.start)} shares; give one for each of {names}, or none")
        return AdrCurriculum(parameters, seed, self)


class AdrCurriculum(Curriculum):
    """`borders` (2, parameters), low then high, in [0, 1]; `count` and `solved` of the episodes on each."""

    KEPT: ClassVar[tuple[str, ...]] = (*Curriculum.KEPT, "borders", "count", "solved")

    def __init__(self, parameters: tuple[Parameter, ...], seed: int, settings: ADR) -> None:
        super().__init__(parameters, seed)
        self.settings = settings
        self._start = torch.tensor(settings.start or [0.5] * len(parameters), dtype=torch.float64)
        self.borders = self._start.repeat(2, 1)
        self.count, self.solved = torch.zeros(2, *self.borders.shape, dtype=torch.float64)

    def propose(self, n: int) -> Tensor:
        low, high = self.borders
        points = low + (high - low) * self.uniform(n, len(low))
        rows = (self.uniform(n) < self.settings.boundary_share).nonzero().squeeze(1)
        border = (self.uniform(n) * self.borders.numel()).long()[rows]
        at = border % len(low)
        points[rows, at] = self.borders[border // len(low), at]
        return points

    def learn(self, points: Tensor, returns: Tensor, value_error: Tensor, solved: Tensor) -> None:
        on = (points[:, None] - self.borders).abs() < 1e-9  # (n, 2, parameters); of a point both borders
        self.count += on.sum(0)
        self.solved += (on & solved[:, None, None]).sum(0)
        decided = self.count >= self.settings.episodes
        share = self.solved / self.count.clamp(min=1.0)
        move = (share >= self.settings.widen_at).double() - (share <= self.settings.narrow_at).double()
        out = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        moved = self.borders + torch.where(decided, self.settings.step * move, 0.0) * out
        self.borders = torch.stack([moved[0].clamp(min=0.0).minimum(self._start),
                                    moved[1].clamp(max=1.0).maximum(self._start)])  # fmt: skip
        for seen in (self.count, self.solved):
            seen.masked_fill_(decided, 0.0)

    def figures(self) -> dict[str, float]:
        """The width of each parameter, and their entropy: the mean logarithm of the widths, 0 for the whole box."""
        width = self.borders[1] - self.borders[0]
        widths = {f"{p.name}_width": w for p, w in zip(self.parameters, width.tolist(), strict=True)}
        return {**widths, "entropy": width.clamp(min=1e-6).log().mean().item()}
