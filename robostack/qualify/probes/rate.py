"""The control rate, from half of the contract's to twice: the policy is asked more or less often than in training."""

from __future__ import annotations

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.qualify.finding import Curve, Finding, bar_of, levels, row

RATES = (0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0)


def probe(bench: Bench) -> Finding:
    title, why = "Control rate", "The whole loop slower or faster than the contract's period, and the policy not told."
    try:
        bench.task.at_rate(RATES[0])
    except TypeError as error:
        return Finding(title, why, [row("control rate", None, bar_of(bench.bars, "rate"), str(error))])
    swept = levels(bench, "rate", RATES)
    outcomes = [bench.fly([Condition(rate=r)], 3000 + i)[0] for i, r in enumerate(swept)]
    curve = Curve("rate", "control rate", "x", swept, tuple(outcomes))
    return Finding(title, why, curve.rows(bench.bars), [curve])
