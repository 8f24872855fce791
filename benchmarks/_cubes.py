"""A learner made of nothing but its competence: a grid of cells, each teachable once a neighbour is known.

The toy that ALP-GMM was published with (Portelas et al. 2019, section 5.1): every episode in a cell adds 1 % to the
competence there, if the cell is the first one or one before it, along an axis or the diagonal, has reached 75 %. A
cell above 75 % is mastered.
"""

from __future__ import annotations

from itertools import product

import torch

from robostack.learn.curriculum.curriculum import CurriculumSettings
from robostack.task import Parameter

PARAMETERS = (Parameter("x", 0.0, 1.0, "1"), Parameter("y", 0.0, 1.0, "1"))
CELLS = 10
KNOWN = 75


class Cubes:
    def __init__(self) -> None:
        self.competence = dict.fromkeys(product(range(CELLS), repeat=len(PARAMETERS)), 0)

    def episode(self, point: list[float]) -> float:
        """The return, competence in [0, 1], of an episode with parameters in [0, 1]."""
        cell = tuple(min(int(x * CELLS), CELLS - 1) for x in point)
        before = set(product(*({i, max(i - 1, 0)} for i in cell))) - {cell}
        if not any(cell) or any(self.competence[b] >= KNOWN for b in before):
            self.competence[cell] = min(self.competence[cell] + 1, 100)
        return self.competence[cell] / 100

    @property
    def mastered(self) -> float:
        """Share of the cells."""
        return sum(c > KNOWN for c in self.competence.values()) / len(self.competence)


def mastered(settings: CurriculumSettings, seed: int, episodes: int, together: int = 10) -> float:
    """Share of the cells after so many episodes under a curriculum, `together` of which start at once."""
    curriculum, cubes = settings.curriculum(PARAMETERS, seed), Cubes()
    for _ in range(episodes // together):
        points = curriculum.sample(together)
        returns = torch.tensor([cubes.episode(p) for p in points.tolist()])
        curriculum.update(points, returns, torch.full_like(returns, torch.nan), returns > KNOWN / 100)
    return cubes.mastered
