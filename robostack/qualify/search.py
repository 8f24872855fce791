"""Searches for the condition under which a policy does worst: CMA-ES (Hansen, arXiv 1604.00772) in a box.

It sees ranks alone, so an outcome may be worse in its success, then in how long episodes lasted, then in its reward:
among conditions under all of which a policy succeeds, the search still has a slope. The worst that was met is partly
bad luck, so several are returned for who can fly them afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from cmaes import CMA

from robostack.qualify.condition import Outcome

Point = npt.NDArray[np.float64]
FINALISTS = 3
"""of the points that were the worst so far, the last"""
Flies = Callable[[list[list[Point]]], list[list[Outcome]]]
"""the candidates of each search -> their outcomes"""


def worst_points(
    starts: Sequence[Point], flies: Flies, generations: int, population: int, seed: int
) -> list[list[Point]]:
    """Several searches side by side, so that their episodes can be flown at once: the worst points that each met within
    [-1, 1] in every dimension, the latest FINALISTS, and the mean that it came to."""
    searches = [
        CMA(
            mean=np.resize(start, max(2, len(start))), sigma=0.5, seed=seed + i, population_size=population,
            bounds=np.array([[-1.0, 1.0]] * max(2, len(start))),
        )
        for i, start in enumerate(starts)
    ]  # fmt: skip
    worst: list[list[tuple[Outcome, Point]]] = [[] for _ in starts]
    for _ in range(generations):
        asked = [[search.ask() for _ in range(population)] for search in searches]
        outcomes = flies([[x[: len(start)] for x in xs] for xs, start in zip(asked, starts, strict=True)])
        for met, search, points, found in zip(worst, searches, asked, outcomes, strict=True):
            order = sorted(range(population), key=found.__getitem__)
            if not met or found[order[0]] < met[-1][0]:
                met.append((found[order[0]], points[order[0]]))
            search.tell([(points[k], float(rank)) for rank, k in enumerate(order)])
    return [
        [x[: len(start)] for x in (*(x for _, x in met[-FINALISTS:]), search.mean)]
        for met, search, start in zip(worst, searches, starts, strict=True)
    ]
