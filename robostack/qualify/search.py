"""Searches for the condition under which a policy does worst: CMA-ES (Hansen, arXiv 1604.00772) in a box.

It sees ranks alone, so an outcome may be worse in its success, then in how long episodes lasted, then in its reward:
among conditions under all of which a policy succeeds, the search still has a slope.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from cmaes import CMA

from robostack.qualify.condition import Outcome

Point = npt.NDArray[np.float64]
Flies = Callable[[list[list[Point]]], list[list[Outcome]]]
"""the candidates of each search -> their outcomes"""


def worst_points(
    starts: Sequence[Point], flies: Flies, generations: int, population: int, seed: int, box: float = 1.0
) -> list[Point]:
    """Several searches side by side, so that their episodes can be flown at once: the worst point that each met within
    [-box, box] in every dimension."""
    searches = [
        CMA(
            mean=np.resize(start, max(2, len(start))), sigma=0.5 * box, seed=seed + i, population_size=population,
            bounds=np.array([[-box, box]] * max(2, len(start))),
        )
        for i, start in enumerate(starts)
    ]  # fmt: skip
    worst: list[tuple[Outcome, Point] | None] = [None] * len(starts)
    for _ in range(generations):
        asked = [[search.ask() for _ in range(population)] for search in searches]
        outcomes = flies([[x[: len(start)] for x in xs] for xs, start in zip(asked, starts, strict=True)])
        for i, (search, points, found) in enumerate(zip(searches, asked, outcomes, strict=True)):
            order = sorted(range(population), key=found.__getitem__)
            held = worst[i]
            if held is None or found[order[0]] < held[0]:
                worst[i] = found[order[0]], points[order[0]][: len(starts[i])]
            search.tell([(points[k], float(rank)) for rank, k in enumerate(order)])
    return [held[1] for held in worst if held is not None]
