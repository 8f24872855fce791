"""Periods in which no sample arrives, each by itself, up to three in ten: held samples age, too old ones trip."""

from __future__ import annotations

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.qualify.finding import Finding, levels, sweep

PERCENT = (0, 2, 5, 10, 15, 20, 25, 30)


def probe(bench: Bench) -> Finding:
    swept = levels(bench, "loss", PERCENT)
    curve = sweep(bench, "loss", "packet loss", "%", swept, lambda x: Condition(loss=0.01 * x), 7000)
    why = "No sample of any channel in so many periods; what is held ages, and the envelope trips on what is too old."
    return Finding("Packet loss", why, curve.rows(bench.bars), [curve])
