"""Parts of a contract in words, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Sequence

from robostack.evaluate.html import number
from robostack.spec import Cut, HoldLast, LevelDescend, RampTo, Rung


def limits(values: Sequence[float]) -> str:
    """One number when all elements share it, else one an element (the first six)."""
    if len(set(values)) == 1:
        return number(values[0])
    return " ".join(number(v) for v in values[:6]) + (" …" if len(values) > 6 else "")


def milliseconds(*span_s: float) -> str:
    """`10 ms`, `0 to 20 ms`, or `none` for a span of zeros."""
    if len(span_s) > 1 and not any(span_s):
        return "none"
    return " to ".join(number(1e3 * s) for s in span_s) + " ms"


def rung_in_words(rung: Rung) -> str:
    """What a rung of the fallback ladder does, and what it needs."""
    if isinstance(rung, LevelDescend):
        needs = f"{rung.attitude} and {rung.body_rate}"
        return f"level_descend for at most {number(rung.max_s)} s, while {needs} are valid"
    if isinstance(rung, RampTo):
        return f"ramp_to {limits(rung.target)} at {limits(rung.rate_per_s)} a second"
    if isinstance(rung, Cut):
        return f"cut to {limits(rung.value)}"
    assert isinstance(rung, HoldLast)
    return "hold_last: keep what was applied last"
