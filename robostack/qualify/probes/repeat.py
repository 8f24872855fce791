"""An action held for 1 to 30 periods before the policy is asked again, and the Frequency-Averaged Score over them.

FAS is that of Sequence Reinforcement Learning (arXiv 2410.08979), the area under score against length, here with the
share of episodes that succeed as the score and over the span of lengths, so that 100 % is a policy to which the length
of a decision does not matter.
"""

from __future__ import annotations

import numpy as np

from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.qualify.finding import Curve, Finding, bar_of, row, sweep

LENGTHS = tuple(range(1, 31))


def probe(bench: Bench) -> Finding:
    title, why = "Action repeat", "Each action held for so many periods; the area under this curve is the "
    why += "Frequency-Averaged Score."
    try:
        bench.task.at_rate(1.0)
    except TypeError as error:
        return Finding(title, why, [row("Frequency-Averaged Score", None, bar_of(bench.bars, "repeat"), str(error))])
    curve = sweep(bench, "repeat", "action repeat", "periods", LENGTHS, lambda x: Condition(repeat=int(x)), 4000)
    score = row("Frequency-Averaged Score, action repeat 1 to 30", frequency_averaged(curve), bar_of(bench.bars, "fas"))
    return Finding(title, why, [*(r for r in curve.rows(bench.bars) if r["bar"] is not None), score], [curve])


def frequency_averaged(curve: Curve) -> float:
    """The mean of the curve by the trapezoidal rule, a share of 1."""
    score, at = np.array([o.success for o in curve.outcomes]), np.array(curve.levels)
    area = (0.5 * (score[1:] + score[:-1]) * np.diff(at)).sum()
    return float(area / (at[-1] - at[0]))
