"""Sensors that are worse than the contract says: noisier, biased, silent for a while."""

from __future__ import annotations

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.qualify.finding import Finding, bar_of, levels, row, sweep

TIMES = (1, 2, 4, 8, 16)
BIASES = (0, 1, 2, 4, 8, 16)
OUTAGES = (0, 1, 2, 3, 4, 6, 8, 12)


def probe(bench: Bench) -> Finding:
    title = "Sensors"
    why = "Noise and bias in standard deviations of the contract's noise, on all sensors; one sensor, drawn for the "
    why += "episode, that is silent once for so many periods."
    noisy = any(v > 0.0 for c in bench.spec.observations if c.source == "sensor" for v in c.noise_std)
    curves = []
    if noisy:
        swept = levels(bench, "noise", TIMES)
        curves.append(sweep(bench, "noise", "sensor noise", "x", swept, lambda x: Condition(noise=x), 6000))
        swept = levels(bench, "bias", BIASES)
        curves.append(sweep(bench, "bias", "sensor bias", "x noise", swept, lambda x: Condition(bias=x), 6100))
    longest = bench.task.evaluation(1).max_episode_length // 2
    swept = levels(bench, "outage", [n for n in OUTAGES if n <= longest])
    outage = lambda x: Condition(outage_periods=int(x))  # noqa: E731
    curves.append(sweep(bench, "outage", "one sensor silent for", "periods", swept, outage, 6200))
    rows = [] if noisy else [row("sensor noise and bias", None, bar_of(bench.bars, "noise"), "the contract has none")]
    return Finding(title, why, rows + [r for c in curves for r in c.rows(bench.bars)], curves)
