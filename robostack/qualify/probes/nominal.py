"""What the task's own evaluation draws; and the same without the envelope, which should change nothing."""

from __future__ import annotations

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.qualify.finding import Finding, bar_of, row


def probe(bench: Bench) -> Finding:
    on = bench.nominal.outcome(slice(None))
    off = bench.flown([Condition(envelope=False)] * bench.episodes, bench.seeded(0)).outcome(slice(None))
    rows = [
        row("nominal", on.success, bar_of(bench.bars, "nominal"), f"{bench.episodes} episodes"),
        row("nominal, without the envelope", off.success, bar_of(bench.bars, "envelope_off"), "the same episodes"),
        row("nominal, episodes in which the envelope took over", on.fell_back, None),
    ]
    return Finding("Nominal", "What the task's own evaluation draws, behind the envelope and without it.", rows)
