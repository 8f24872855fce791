"""Every declared parameter of the task over its range, one at a time."""

from __future__ import annotations

import numpy as np

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.qualify.finding import Finding, levels, row, sweep
from robostack.task import Parameter

LEVELS = 9


def probe(bench: Bench) -> Finding:
    title, why = (
        "Parameters",
        "Each declared parameter of the task over its range, the others as evaluations draw them.",
    )
    if not bench.task.parameters:
        return Finding(title, why, [row("parameters", None, None, "the task declares none")])
    curves = []
    for i, p in enumerate(bench.task.parameters):
        space = np.geomspace if p.log else np.linspace
        swept = levels(bench, p.name, space(p.low, p.high, LEVELS) if p.low < p.high else [p.low])
        label, unit = words(p), "" if p.unit == "1" else p.unit
        condition = lambda x, name=p.name: Condition(parameters={name: x})  # noqa: E731
        curves.append(sweep(bench, p.name, label, unit, swept, condition, 1000 + 50 * i))
    return Finding(title, why, [r for c in curves for r in c.rows(bench.bars)], curves)


def words(parameter: Parameter) -> str:
    """mass_scale -> mass scale, rotor_time_s -> rotor time."""
    return parameter.name.removesuffix(f"_{parameter.unit}").replace("_", " ")
