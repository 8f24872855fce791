"""All declared parameters at once, where the policy does worst: CMA-ES within what the task's bars ask of each.

A corner that no bar asks for (a rotor three times as slow) would be found at once and say nothing; `parameters` has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product

import numpy as np

from robostack.evaluate.html import number
from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition, Outcome
from robostack.qualify.finding import Finding, bar_of, flown_case, row
from robostack.qualify.search import Point, worst_points
from robostack.task import Bar, Parameter

POPULATION = 16
SEED = 2000
CORNERED = 4
"""parameters up to which every corner of the box is a finalist beside what the search found"""


def probe(bench: Bench) -> Finding:
    title = "Worst case"
    why = (
        "All parameters at once where the policy does worst, within what is asked of each, found by CMA-ES; the figure "
    )
    why += "is of fresh episodes there, not of those that found it."
    bar = bar_of(bench.bars, "worst_case")
    box = [asked(p, bench.bars) for p in bench.task.parameters]
    if not box:
        return Finding(title, why, [row("worst case", None, bar, "the task declares no parameter")])
    each = max(1, bench.episodes // 4)
    flights = iter(range(SEED, SEED + 100_000, POPULATION))

    def flies(points: list[list[Point]]) -> list[list[Outcome]]:
        return [bench.fly([condition(box, x) for x in xs], next(flights), each) for xs in points]

    (found,) = worst_points([np.zeros(len(box))], flies, bench.generations, POPULATION, bench.seeded(SEED))
    corners = [np.array(x) for x in product((-1.0, 1.0), repeat=len(box))] if len(box) <= CORNERED else []
    case, flown = flown_case(bench, "worst_case", [condition(box, x) for x in (*found, *corners)], SEED - 500)
    where = ", ".join(f"{p.name} {number(case.condition.parameters[p.name])}" for p in box)
    rows = [row("worst case of all parameters", case.outcome.success, bar, where)]
    return Finding(title, why, rows, worst=(case, flown))


def asked(parameter: Parameter, bars: Sequence[Bar]) -> Parameter:
    """The parameter over what a bar asks of it, or over its own range."""
    bar = bar_of(bars, parameter.name)
    low, high = bar.within if bar and bar.within else (parameter.low, parameter.high)
    return Parameter(**{**asdict(parameter), "low": low, "high": high})


def condition(box: list[Parameter], point: Point) -> Condition:
    """Of a point in [-1, 1]: the low and the high end of each."""
    values = {}
    for p, x in zip(box, 0.5 * (1.0 + point), strict=True):
        values[p.name] = float(p.low * (p.high / p.low) ** x if p.log else p.low + (p.high - p.low) * x)
    return Condition(parameters=values)
