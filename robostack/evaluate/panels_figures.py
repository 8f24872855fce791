"""Panels of figures: what was reached at a glance, each figure against its bar, how training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from robostack.evaluate import chart
from robostack.evaluate.chart import Line
from robostack.evaluate.html import is_number, meets, nothing, number, reference, row, section, table, words
from robostack.evaluate.material import Material
from robostack.evaluate.panels_flights import TONES, Tile

MAX_CURVES = 6
FEW = 12
"""Points of a training curve that are shown one by one."""


def tiles(m: Material, own: Sequence[Tile]) -> str:
    """The few figures that answer "did it work", read at a glance."""
    found: list[Tile] = []
    train = m.section("train")
    if isinstance(train.get("wall_s"), (int, float)):
        found.append((number(train["wall_s"]), "s", "to train"))
    found += own
    ports = m.section("verify").get("ports") or []
    if ports:
        names = {str(p.get("port")) for p in ports}
        bad = {str(p.get("port")) for p in ports if p.get("status") != "passed"}
        found.append((f"{len(names - bad)} of {len(names)}", "", "ports compute the same actions"))
    gate = m.section("qualify")
    if m.policy and gate.get("policy_hash") == m.policy.policy_hash:
        found.append((escape(str(gate["verdict"])), "", "the release gate"))
    inner = "".join(
        f'<div class="tile"><b>{v}{f" <small>{u}</small>" if u else ""}</b><span>{escape(text)}</span></div>'
        for v, u, text in found
    )
    return f'<div class="tiles">{inner}</div>' if found else ""


def summary(m: Material) -> str:
    rows, lost = m.rows, m.section("fly").get("lost")
    cut = nothing(f"The flight was cut short: {escape(str(lost))}") if lost else ""
    if not rows:
        return section("Summary", "", cut or nothing("Nothing was judged yet: <code>robostack evaluate</code>"))
    barred = any(r.get("bar") is not None for r in rows)
    why = "Each figure against the bar it has to reach, the vertical mark. " * barred
    return section("Summary", f"{why}The envelope was on in all of them.", cut + figures_table(rows))


def figures_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of figures, each beside its bar where any has one."""
    barred = any(r.get("bar") is not None for r in rows)
    head = ("what", "measured", *(("bar", "") if barred else ()), "reference")
    body = [
        [
            escape(str(r.get("what", ""))),
            _value(r, "value"),
            *((_bar_text(r), _bullet(r)) if barred else ()),
            f'<span class="soft">{escape(reference(r))}</span>',
        ]
        for r in rows
    ]
    return table(head, body, numeric=(1, 2) if barred else (1,), bar=3 if barred else -1)


def training(m: Material) -> str:
    train = m.section("train")
    history = [h for h in train.get("history") or [] if isinstance(h, dict)]
    if not history:
        return section("Training", "", nothing("No history was recorded: <code>robostack train</code>"))
    x_key = "wall_s" if all("wall_s" in h for h in history) else "iteration"
    keys = dict.fromkeys(k for h in history for k in h if k not in ("wall_s", "iteration") and is_number(h[k]))
    best, wide = train.get("best_iteration"), len(keys) <= 2
    charts = []
    for key, tone in zip(list(keys)[:MAX_CURVES], TONES * MAX_CURVES, strict=False):
        rows = [h for h in history if is_number(h.get(key))]
        series = [Line([h[x_key] for h in rows], [h[key] for h in rows], tone, points=len(rows) < FEW)]
        kept = [h for h in rows if h.get("iteration") == best]
        if kept:
            series.append(Line([kept[0][x_key]], [kept[0][key]], "ink", "kept", end_dot=True))
        x_label = "seconds" if x_key == "wall_s" else x_key
        charts.append(chart.lines(series, x_label=x_label, y_label=words(key), size=(520, 230) if wide else (360, 210)))
    why = "The black dot is the checkpoint that was kept: chosen by evaluation, not for being last."
    return section("Training", why, row(charts, wide=wide))


def _value(row: Mapping[str, Any], key: str) -> str:
    met = meets(row)
    mark = "" if met is None else f' <span class="{"good" if met else "bad"}">{"✓" if met else "✗"}</span>'
    return f"{number(row.get(key))} {escape(str(row.get('unit', '')))}{mark}"


def _bar_text(row: Mapping[str, Any]) -> str:
    if row.get("bar") is None:
        return ""
    return f"{'≤' if row.get('better') == 'lower' else '≥'} {number(row['bar'])}"


def _bullet(row: Mapping[str, Any]) -> str:
    """A bar whose 60 % mark is what has to be reached."""
    met = meets(row)
    if met is None or not row["bar"]:
        return ""
    share = min(100.0, max(0.5, 60.0 * row["value"] / row["bar"])) if is_number(row["value"]) else 100.0
    return f'<div class="track {"good" if met else "bad"}"><i style="width:{share:.1f}%"></i><u></u></div>'
