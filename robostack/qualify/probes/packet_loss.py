"""Periods in which no sample arrives, each by itself, up to three in ten: held samples age, too old ones trip."""

from __future__ import annotations

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.qualify.finding import Finding, levels, sweep

SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def probe(bench: Bench) -> Finding:
    swept = levels(bench, "loss", SHARES)
    curve = sweep(bench, "loss", "packet loss", "of 1", swept, lambda x: Condition(loss=x), 7000)
    why = "No sample of any channel in so many periods; what is held ages, and the envelope trips on what is too old."
    return Finding("Packet loss", why, curve.rows(bench.bars), [curve])
