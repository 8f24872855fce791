"""A replay on one page: the table, and for each action element both actions over time and close up at the worst."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from robostack.evaluate import chart
from robostack.evaluate.chart import Level, Line
from robostack.evaluate.html import nothing, number, page, row, section, table
from robostack.evaluate.replay import Difference, Replay

MAX_CHARTS = 12
"""elements drawn, those that differ most; the table has all"""
CLOSE_UP_S = 0.5
"""on either side of the worst moment"""
REASONS = {
    "stale": "a sample too old",
    "invalid": "bad samples on end",
    "never_seen": "no good sample ever",
    "tumble": "tilted for too long",
    "non_finite_action": "an action that is not finite",
    "non_finite_state": "a state that is not finite",
}


def replay_page(replay: Replay, name: str, subtitle: str, tolerance: float) -> str:
    """HTML; `tolerance` is a share of each element's range."""
    return page("Replay", name, subtitle, [_differences(replay, tolerance), _trips(replay), _charts(replay, tolerance)])


def _differences(replay: Replay, tolerance: float) -> str:
    rows = [
        (
            escape(d.name), escape(d.unit), number(d.largest), number(d.rms),
            f'<span class="{"good" if d.share <= tolerance else "bad"}">{percent(d.share)}</span>', f"{d.at_s:.2f}",
        )
        for d in replay.elements
    ]  # fmt: skip
    head = ("action", "unit", "largest", "rms", "largest, of range", "at, s")
    count = f"{int(replay.compared.sum()):,}"
    why = f"Over {count} periods in which both policies acted; up to {percent(tolerance)} of the range is allowed."
    return section("Differences", why, table(head, rows, numeric=(2, 3, 4, 5)))


def _trips(replay: Replay) -> str:
    if not replay.trips:
        return section("Trips", "", nothing("Its envelope would not have tripped."))
    dt_s = replay.spec.control_dt_s
    rows = [
        (f"{t.at_s:.2f}", f"{t.periods * dt_s:.2f}", REASONS.get(t.reason, t.reason), escape(t.channel or ""))
        for t in replay.trips
    ]
    why = "Where its envelope would have handed over to the fallback."
    return section("Trips", why, table(("at, s", "for, s", "reason", "channel"), rows, numeric=(0, 1)))


def _charts(replay: Replay, tolerance: float) -> str:
    names, elements = replay.spec.action_names, replay.elements
    shown = sorted(elements, key=lambda d: d.share, reverse=True)[:MAX_CHARTS]
    charts = []
    for d in shown:
        i = names.index(d.name)
        near = np.abs(replay.time_s - d.at_s) <= CLOSE_UP_S
        everywhere = np.ones(len(replay.time_s), dtype=bool)
        charts.append(f"<h3>{escape(d.name)}</h3>{_chart(replay, i, d, everywhere)}")
        charts.append(f"<h3>around {d.at_s:.2f} s</h3>{_chart(replay, i, d, near)}")
    marks = [("c1", "logged"), ("c2", "replayed"), *([("bad", "would have tripped")] if replay.trips else [])]
    why = "The whole recording, and close to where the two differ most."
    if len(shown) < len(elements):
        why += f" The {len(shown)} of {len(elements)} elements that differ most."
    return section("Actions", why, chart.legend(marks) + row(charts, wide=True))


def _chart(replay: Replay, i: int, d: Difference, rows: Sequence[bool] | np.ndarray) -> str:
    t, low, high = replay.time_s[rows], replay.spec.action_limit("low")[i], replay.spec.action_limit("high")[i]
    found = np.where(replay.compared, replay.found[:, i], np.nan)[rows]
    series = [Line(t, replay.logged[rows, i], "c1", "logged"), Line(t, found, "c2", "replayed")]
    span = (low - 0.04 * (high - low), high + 0.08 * (high - low))
    series += [
        Line((trip.at_s, trip.at_s), span, "bad", trip.reason)
        for trip in replay.trips
        if len(t) and t[0] <= trip.at_s <= t[-1]
    ]
    return chart.lines(
        series, x_label="seconds", y_label=f"{d.name}, {d.unit}", y_range=span, levels=[Level(high, "limit")]
    )


def percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
