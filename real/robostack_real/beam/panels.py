"""What a report shows of orbit corrections: each machine, its orbit before and after, convergence, currents."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from robostack.evaluate import chart
from robostack.evaluate.chart import Level, Line
from robostack.evaluate.flight import Flight, percentiles
from robostack.evaluate.html import nothing, number, row, section, table
from robostack.evaluate.material import Material
from robostack.evaluate.panels import TaskPanels
from robostack.evaluate.panels_flights import Tile
from robostack_real.beam.corrections import CONTROLLERS, KIND, PER_MM, UNDER_M, machines, moves_to

TONES = {"policy": "c1", "gain_filter": "c3", "svd": "c2"}
BAR = Level(PER_MM * UNDER_M, "1 mm")


def tiles(m: Material) -> list[Tile]:
    found: list[Tile] = []
    for controller, name in CONTROLLERS.items():
        own = [moves_to(f) for f in m.of_kind(KIND) if f.about["controller"] == controller]
        if own:
            share = f"{len([o for o in own if o is not None])} of {len(own)}"
            found.append((share, "", f"unknown machines under 1 mm, live: {name}"))
    return found


def unknown_machines(m: Material) -> str:
    flights = m.of_kind(KIND)
    if not flights:
        return section("Unknown machines", "", nothing("None was corrected yet: <code>robostack trial</code>"))
    own = _controllers(flights)
    head = ("machine", "reversed correctors", "dead BPM", "before", *(CONTROLLERS[c] for c in own))
    body = [
        [
            str(entry["machine"]),
            f'<span class="soft">{escape(", ".join(entry["flipped"]))}</span>',
            f'<span class="soft">{escape(", ".join(entry["dead"]))}</span>',
            _mm(entry["before_m"]),
            *(_end(entry["controllers"].get(c)) for c in own),
        ]
        for entry in machines(flights)
    ]
    why = (
        "RMS of the true orbit about its target at the BPMs that live, mm: before, and after the moves of each "
        "controller; and when it was first below 1 mm. All machines also have unknown offsets, optics and gains. "
        "Corrected live over EPICS Channel Access, every controller on the same machine as it was at first."
    )
    numeric = tuple(range(3, len(head)))
    return section("Unknown machines", why, f'<div class="scroll">{table(head, body, numeric=numeric)}</div>')


def orbits(m: Material) -> str:
    flights = m.of_kind(KIND)
    if not flights:
        return ""
    charts = []
    for entry in machines(flights):
        own = [f for f in flights if f.about["machine"] == entry["machine"]]
        own.sort(key=lambda f: [*TONES].index(f.about["controller"]), reverse=True)  # the policy on top
        before = own[0]["true_orbit"][0]
        ends = PER_MM * np.concatenate([before, *(f["true_orbit"][-1] for f in own)])
        series = _planes(before, "muted", "before")
        for f in own:
            controller = f.about["controller"]
            series += _planes(f["true_orbit"][-1], TONES[controller], CONTROLLERS[controller])
        svg = chart.lines(
            series,
            x_label="BPM, horizontal and vertical",
            y_label="true orbit, mm",
            x_ticks=_places(len(before) // 2),
            y_range=(float(ends.min() - 0.06 * np.ptp(ends)), float(ends.max() + 0.2 * np.ptp(ends))),  # room for words
            size=(360, 250),
        )
        charts.append(f"<h3>{escape(_title(entry))}</h3>{svg}")
    marks = [("muted", "before"), *((TONES[c], CONTROLLERS[c]) for c in _controllers(flights))]
    why = "Where the beam really is at each BPM, dead ones too, before the first move and when the run has ended."
    return section("Orbits", why, chart.legend(marks, dashed="muted") + row(charts))


def convergence(m: Material) -> str:
    flights = m.of_kind(KIND)
    if not flights:
        return ""
    charts = []
    top = 1.2 * PER_MM * max(float(_curve(f).max()) for f in flights)
    for controller in _controllers(flights):
        own = [f for f in flights if f.about["controller"] == controller]
        series = []
        for f in own:
            curve = PER_MM * _curve(f)
            label = f"machine {f.about['machine']}"
            held = "cut_short" in f.about
            tone = "bad" if held else TONES[controller]
            series.append(Line(np.arange(len(curve)), curve, tone, label, thin=True, end_dot=held))
        whole = [_curve(f) for f in own if len(_curve(f)) == f.about["moves"] + 1]
        if whole:
            series.append(Line(np.arange(len(whole[0])), PER_MM * np.median(whole, 0), "ink", "median"))
        svg = chart.lines(series, x_label="moves", y_label="RMS, mm", y_range=(0.0, top), levels=[BAR], size=(360, 230))
        charts.append(f"<h3>{escape(CONTROLLERS[controller])}</h3>{svg}")
    marks = [("ink", "median of the machines")]
    if any("cut_short" in f.about for f in flights):
        marks.append(("bad", "ended in a hold"))
    spent = percentiles(flights, "move_s")
    why = "RMS of the true orbit at the BPMs that live."
    if spent:
        took = f"{number(spent['p50'])} s, p99 {number(spent['p99'])} s"
        why += f" A move, with its ramp, settling and reading, took {took}."
    return section("Convergence", why, chart.legend(marks) + row(charts))


def currents(m: Material) -> str:
    flights = m.of_kind(KIND)
    if not flights:
        return ""
    worst = max(machines(flights), key=lambda e: float(e["before_m"]))
    shown = {f.about["controller"]: f for f in flights if f.about["machine"] == worst["machine"]}
    top = 1.3 * max(float(np.abs(f["corrector_current"]).max()) for f in shown.values()) or 1.0
    charts = []
    for controller in _controllers([*shown.values()]):
        column = shown[controller].columns["corrector_current"]
        series = [
            Line(np.arange(len(column.values)), column.values[:, i], TONES[controller], name, thin=True, end_dot=True)
            for i, name in enumerate(column.elements)
        ]
        svg = chart.lines(series, x_label="moves", y_label="setpoint, A", y_range=(-top, top), size=(360, 230))
        charts.append(f"<h3>{escape(CONTROLLERS[controller])}</h3>{svg}")
    why = (
        f"Of the machine that was furthest off, number {worst['machine']}. A run whose last orbit is worse than its "
        "best ends with a move back to that one."
    )
    return section("Corrector currents", why, row(charts))


BEAM_ORBIT = TaskPanels(tiles, (unknown_machines, orbits, convergence, currents))


def _controllers(flights: Sequence[Flight]) -> list[str]:
    there = {f.about["controller"] for f in flights}
    return [c for c in CONTROLLERS if c in there]


def _curve(flight: Flight) -> Any:
    """(moves + 1,) m, without the way back to the best."""
    return flight["rms"][: flight.about["moves"] + 1, 0]


def _planes(orbit_m: Any, tone: str, label: str) -> list[Line]:
    """(R,) x and y of each BPM as two lines side by side."""
    n, before = len(orbit_m) // 2, tone == "muted"
    return [
        Line(np.arange(1, n + 1) + i * (n + 1), PER_MM * orbit_m[i::2], tone, label, dashed=before, points=not before)
        for i in (0, 1)
    ]


def _places(bpms: int) -> list[tuple[float, str]]:
    step = -(-bpms // 6)
    return [(i + 1 + p * (bpms + 1), f"{i + 1}{axis}") for p, axis in enumerate("xy") for i in range(0, bpms, step)]


def _title(entry: dict[str, Any]) -> str:
    wrong = [f"{len(entry['flipped'])} reversed"] * bool(entry["flipped"]) + [f"{name} dead" for name in entry["dead"]]
    return f"machine {entry['machine']}{': ' if wrong else ''}{', '.join(wrong)}"


def _mm(value_m: float) -> str:
    return f"{PER_MM * value_m:.2f}"


def _end(end: dict[str, Any] | None) -> str:
    if end is None:
        return ""
    if end["held"]:
        return f'{_mm(end["after_m"])} <span class="bad" title="{escape(end["held"])}">held</span>'
    when = "never" if end["moves"] is None else f"after {end['moves']}"
    return f'{_mm(end["after_m"])} <span class="{"bad" if end["moves"] is None else "soft"}">{when}</span>'
