"""Samples that arrive late: by whole periods on the way, and by a continuous delay in the plant where it has one."""

from __future__ import annotations

import numpy as np

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.qualify.finding import Finding, bar_of, levels, row, sweep

PERIODS = 3


def probe(bench: Bench) -> Finding:
    title, why = "Latency", "From a measurement to what comes of it, up to three periods: every sample late by whole "
    why += "periods, and the plant's own delay drawn out continuously. Samples say how old they are."
    delays = any(p.name == "delay_s" for p in bench.task.parameters)
    without = {"delay_s": 0.0} if delays else {}

    def late(periods: float) -> Condition:
        return Condition(late_periods=int(periods), parameters=without)

    curves = [sweep(bench, "latency", "samples late by", "periods", range(PERIODS + 1), late, 5000)]
    rows = curves[0].rows(bench.bars)
    if delays:
        dt_s = bench.spec.control_dt_s

        def delayed(periods: float) -> Condition:
            return Condition(parameters={"delay_s": periods * dt_s})

        swept = levels(bench, "delay", np.linspace(0.0, PERIODS, 13))
        curves.append(sweep(bench, "delay", "continuous delay", "periods", swept, delayed, 5100))
        rows += curves[1].rows(bench.bars)
    else:
        rows.append(row("continuous delay", None, bar_of(bench.bars, "delay"), "the task declares no delay_s"))
    return Finding(title, why, rows, curves)
