"""Panels of what was flown: paths, errors, rotors, and how long each period took."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from robostack.evaluate import chart
from robostack.evaluate.chart import Level, Line
from robostack.evaluate.chart_space import Path, space
from robostack.evaluate.flight import (
    GUARDED,
    Flight,
    percentiles,
    position_error,
    rms_position_error,
    survival,
    survived,
)
from robostack.evaluate.html import THIN, nothing, number, row, section, words
from robostack.evaluate.material import Material

Tile = tuple[str, str, str]
"""A number at a glance: as text, its unit, what it is."""

MAX_RECOVERIES = 200
"""Drawn at most, the lost ones first; the figures count all."""
TONES = ("c1", "c2", "c3", "c4")
MEASURES = (
    ("instructions", 1.0, "periods", "instructions a control period on the board"),
    ("echo_s", 1e3, "round trips", "round trip of the serial line alone, ms"),
    ("answer_s", 1e3, "periods", "observation to actuation at the board's own pace, ms"),
)
"""Of `Flight.timing`: name, scale, what is counted, label."""


def flight_tiles(m: Material) -> list[Tile]:
    found: list[Tile] = []
    recoveries, eights = m.of_kind("recover"), m.of_kind("figure_eight")
    if recoveries:
        found.append((number(100 * survival(recoveries)), "%", f"of {len(recoveries)} tilted starts survived"))
        kept = [rms_position_error(f, 2.0) for f in recoveries if survived(f)]
        if kept:
            found.append((number(100 * float(np.sqrt(np.mean(np.square(kept))))), "cm", "RMS error, last 2 s"))
    if eights:
        fastest = min(eights, key=lap_s)
        text = f"figure-eight in {number(lap_s(fastest))} s, RMS"
        found.append((number(100 * rms_position_error(fastest)), "cm", text))
    instructions = percentiles(m.flights, "instructions")
    if instructions:
        found.append((number(instructions["p50"] / 1000), "k", "instructions a step on the board"))
    return found


def recoveries(m: Material) -> str:
    flights = m.of_kind("recover")
    if not flights:
        return _unless_flown(m, "Recoveries", "No recovery was flown: <code>robostack fly</code>")
    good, bad = [f for f in flights if survived(f)], [f for f in flights if not survived(f)]
    lost = [(f, "bad") for f in bad[:MAX_RECOVERIES]]
    tone = [(f, "c1") for f in good[: MAX_RECOVERIES - len(lost)]] + lost
    paths, error, tilt = [], [], []
    for f, t in tone:
        n = _until_gone(f)
        paths.append(Path(f["position"][:n] - f["reference"][:n], t, f.name, thin=True, end_dot=t == "bad"))
        error.append(Line(f.time_s[:n], position_error(f)[:n], t, f.name, thin=True, end_dot=t == "bad"))
        if "attitude" in f.columns:
            tilt.append(Line(f.time_s[:n], np.degrees(_tilt(f))[:n], t, f.name, thin=True))
    median = _median([position_error(f) for f in good])
    if len(median):
        error.append(Line(np.arange(len(median)) * flights[0].dt_s, median, "ink", "median"))
    marks = [
        ("c1", "survived"),
        *([("bad", "lost, until it left the box")] if bad else []),
        ("ink", "median"),
    ]
    size = (360, 270)
    charts = [
        space(paths, size=size),
        chart.lines(error, x_label="seconds", y_label="distance to setpoint, m", size=size),
    ]
    if tilt:
        charts.append(chart.lines(tilt, x_label="seconds", y_label="tilt, °", size=size))
    why = f"{len(good)} of {len(flights)} starts, tilted and moving, come back and stay in the box."
    return section("Recoveries", why, chart.legend(marks) + row(charts))


def figure_eights(m: Material) -> str:
    flights = sorted(m.of_kind("figure_eight"), key=lap_s, reverse=True)
    if not flights:
        return _unless_flown(m, "Figure-eight", "No figure-eight was flown: <code>robostack fly</code>")
    charts = []
    for f in flights:
        series = [
            Line(f["reference"][:, 0], f["reference"][:, 1], "muted", "reference", dashed=True),
            Line(f["position"][:, 0], f["position"][:, 1], "c1", f.name, end_dot=True),
        ]
        svg = chart.lines(series, x_label="x, m", y_label="y, m", equal=True, size=(360, 230))
        rms = f"RMS error {number(100 * rms_position_error(f))} cm in three dimensions"
        where = f", {escape(f.about['board'])}" if f.name.startswith(GUARDED) else ""
        charts.append(f'<h3>{number(lap_s(f))} s a lap{where}</h3>{svg}<p class="caption">{rms}</p>')
    marks = chart.legend([("muted", "reference"), ("c1", "flown")], dashed="muted")
    return section("Figure-eight", "Seen from above; the dot is where the flight ended.", marks + row(charts))


def errors(m: Material) -> str:
    own = [f for f in m.flights if f.about.get("kind") not in ("recover", "hover", "figure_eight")]
    others = [f for f in own if {"position", "reference"} <= f.columns.keys()]
    flights = m.of_kind("hover") + sorted(m.of_kind("figure_eight"), key=lap_s, reverse=True) + others
    flights = flights[: len(TONES)]
    if not flights:
        return ""
    series = [Line(f.time_s, position_error(f), t, f.name) for f, t in zip(flights, TONES, strict=False)]
    marks = chart.legend([(t, _title(f)) for f, t in zip(flights, TONES, strict=False)])
    svg = chart.lines(series, x_label="seconds", y_label="distance to reference, m", size=(1064, 240))
    return section("Position error", "Over the whole flight, from the first period.", marks + svg)


def rotors(m: Material) -> str:
    flights = [f for f in m.flights if "rotor_speed" in f.columns]
    chosen = [next((f for f in flights if f.about.get("kind") == k), None) for k in ("recover", "figure_eight")]
    shown = [f for f in chosen if f is not None] or flights[:1]
    if not shown:
        return ""
    commands = [a for a in m.spec.actions if a.name.startswith("rotor_speed")] if m.spec else []
    low_high = (min(commands[0].low), max(commands[0].high)) if commands else None
    levels = [Level(low_high[1], "limit")] if low_high else []
    charts, marks = [], ""
    for f in shown:
        column = f.columns["rotor_speed"]
        names = column.elements or tuple(f"rotor {i}" for i in range(column.values.shape[1]))
        series = [
            Line(f.time_s, column.values[:, i], t, names[i]) for i, t in zip(range(len(names)), TONES, strict=False)
        ]
        y_range = (low_high[0], low_high[1] * 1.08) if low_high else None
        svg = chart.lines(
            series, x_label="seconds", y_label=f"rotor speed, {column.unit}", levels=levels, y_range=y_range
        )
        charts.append(f"<h3>{escape(_title(f))}</h3>{svg}")
        marks = chart.legend([(t, words(n)) for n, t in zip(names, TONES, strict=False)])
    return section(
        "Rotor speeds",
        "What the rotors really turned at, after envelope and motor lag.",
        marks + row(charts, wide=True),
    )


def timing(m: Material) -> str:
    charts = []
    for measure, scale, of, label in MEASURES:
        parts = [f.timing[measure] for f in m.flights if measure in f.timing]
        if not parts or not sum(map(len, parts)):
            continue
        values, stats = np.concatenate(parts) * scale, percentiles(m.flights, measure)
        marks = {f"{k} {number(v * scale)}": v * scale for k, v in stats.items() if k != "max"}
        caption = f"{len(values):,} {of}, worst {number(stats['max'] * scale)}.".replace(",", THIN, 1)
        if measure == "echo_s":
            caption += f" {number(scale / float(np.mean(values)))} a second."
        svg = chart.histogram(values, x_label=label, marks=marks, of=of)
        charts.append(f'{svg}<p class="caption">{caption}</p>')
    if not charts:
        return section("Timing", "", nothing("No flight carried timing."))
    why = "Instructions are counted in the board's virtual time; the rest in wall time, the emulator's own in it."
    return section("Timing", why, row(charts, wide=True))


def _unless_flown(m: Material, title: str, what: str) -> str:
    """An empty section; none where the task flies something else."""
    return "" if m.flights else section(title, "", nothing(what))


def lap_s(flight: Flight) -> float:
    value = flight.about.get("period_s")
    return float(value) if isinstance(value, (int, float)) else float("inf")


def _title(flight: Flight) -> str:
    kind = flight.about.get("kind")
    title = f"figure-eight, {number(lap_s(flight))} s" if kind == "figure_eight" else words(str(kind or flight.name))
    over = " over the serial line" if flight.about.get("transport") == "serial" else ""
    if flight.name.startswith(GUARDED):
        over = f" on {flight.about.get('board')}"
    return f"{title}{over}{', cut short' if 'cut_short' in flight.about else ''}"


def _tilt(flight: Flight) -> Any:
    """(T,) angle between the body's z axis and up, rad, from attitude quat_wxyz."""
    q = flight["attitude"]
    return np.arccos(np.clip(1 - 2 * (q[:, 1] ** 2 + q[:, 2] ** 2), -1, 1))


def _until_gone(flight: Flight, box_m: float = 0.6) -> int:
    """Rows up to the one that is not within the box; what a lost machine does afterwards says nothing."""
    outside = ~(np.abs(flight["position"] - flight["reference"]) <= box_m).all(axis=1)
    return int(np.argmax(outside)) + 1 if outside.any() else len(flight)


def _median(errors: Sequence[Any]) -> Any:
    shortest = min(map(len, errors), default=0)
    return np.median([e[:shortest] for e in errors], axis=0) if shortest else np.array([])
