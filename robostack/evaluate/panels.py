"""The panels of a report: each a function from Material to one HTML section, most important first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from robostack.evaluate import chart
from robostack.evaluate.chart import Level, Line
from robostack.evaluate.contract_words import limits, milliseconds, rung_in_words
from robostack.evaluate.flight import (
    Flight,
    percentiles,
    position_error,
    rms_position_error,
    survival,
    survived,
)
from robostack.evaluate.html import (
    THIN,
    count,
    definitions,
    is_number,
    meets,
    nothing,
    number,
    reference,
    row,
    section,
    small,
    table,
    words,
)
from robostack.evaluate.material import Material
from robostack.spec import Channel

MAX_CURVES = 6
FEW = 12
"""Points of a training curve that are shown one by one."""
MAX_RECOVERIES = 200
"""Drawn at most, the lost ones first; the figures count all."""
TONES = ("c1", "c2", "c3", "c4")


def tiles(m: Material) -> str:
    """The few figures that answer "did it work", read at a glance."""
    found: list[tuple[str, str, str]] = []
    train, recoveries, eights = m.section("train"), m.of_kind("recover"), m.of_kind("figure_eight")
    if isinstance(train.get("wall_s"), (int, float)):
        found.append((number(train["wall_s"]), "s", "to train"))
    if recoveries:
        found.append(
            (number(100 * survival(recoveries)), "%", f"of {len(recoveries)} tilted starts survived")
        )
        kept = [rms_position_error(f, 2.0) for f in recoveries if survived(f)]
        if kept:
            found.append(
                (number(100 * float(np.sqrt(np.mean(np.square(kept))))), "cm", "RMS error, last 2 s")
            )
    if eights:
        fastest = min(eights, key=_period)
        text = f"figure-eight in {number(_period(fastest))} s, RMS"
        found.append((number(100 * rms_position_error(fastest)), "cm", text))
    instructions = percentiles(m.flights, "instructions")
    if instructions:
        found.append((number(instructions["p50"] / 1000), "k", "instructions a step on the board"))
    ports = m.section("verify").get("ports") or []
    if ports:
        names = {str(p.get("port")) for p in ports}
        bad = {str(p.get("port")) for p in ports if p.get("status") != "passed"}
        found.append((f"{len(names - bad)} of {len(names)}", "", "ports compute the same actions"))
    inner = "".join(
        f'<div class="tile"><b>{v}{f" <small>{u}</small>" if u else ""}</b><span>{escape(text)}</span></div>'
        for v, u, text in found
    )
    return f'<div class="tiles">{inner}</div>' if found else ""


def summary(m: Material) -> str:
    rows = m.section("fly").get("rows") or []
    if not rows:
        return section("Summary", "", nothing("Nothing was flown yet: <code>robostack fly</code>"))
    head = ("what", "measured", "bar", "", "reference")
    body = [
        [
            escape(str(r.get("what", ""))),
            _value(r, "value"),
            _bar_text(r),
            _bullet(r),
            f'<span class="soft">{escape(reference(r))}</span>',
        ]
        for r in rows
    ]
    why = "Each figure against the bar it has to reach, the vertical mark. Every flight had its envelope on."
    return section("Summary", why, table(head, body, numeric=(1, 2), bar=3))


def training(m: Material) -> str:
    train = m.section("train")
    history = [h for h in train.get("history") or [] if isinstance(h, dict)]
    if not history:
        return section("Training", "", nothing("No history was recorded: <code>robostack train</code>"))
    x_key = "wall_s" if all("wall_s" in h for h in history) else "iteration"
    keys = dict.fromkeys(
        k for h in history for k in h if k not in ("wall_s", "iteration") and is_number(h[k])
    )
    best, wide = train.get("best_iteration"), len(keys) <= 2
    charts = []
    for key, tone in zip(list(keys)[:MAX_CURVES], TONES * MAX_CURVES, strict=False):
        rows = [h for h in history if is_number(h.get(key))]
        series = [Line([h[x_key] for h in rows], [h[key] for h in rows], tone, points=len(rows) < FEW)]
        kept = [h for h in rows if h.get("iteration") == best]
        if kept:
            series.append(Line([kept[0][x_key]], [kept[0][key]], "ink", "kept", end_dot=True))
        x_label = "seconds" if x_key == "wall_s" else x_key
        charts.append(
            chart.lines(series, x_label=x_label, y_label=words(key), size=(520, 230) if wide else (360, 210))
        )
    why = "The black dot is the checkpoint that was kept: chosen by evaluation, not for being last."
    return section("Training", why, row(charts, wide=wide))


def recoveries(m: Material) -> str:
    flights = m.of_kind("recover")
    if not flights:
        return section("Recoveries", "", nothing("No recovery was flown: <code>robostack fly</code>"))
    good, bad = [f for f in flights if survived(f)], [f for f in flights if not survived(f)]
    lost = [(f, "bad") for f in bad[:MAX_RECOVERIES]]
    tone = [(f, "c1") for f in good[: MAX_RECOVERIES - len(lost)]] + lost
    paths, error, tilt = [], [], []
    for f, t in tone:
        n = _until_gone(f)
        paths.append(
            Line(f["position"][:n, 0], f["position"][:n, 2], t, f.name, thin=True, end_dot=t == "bad")
        )
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
        chart.lines(paths, x_label="x, m", y_label="z, m", equal=True, size=size),
        chart.lines(error, x_label="seconds", y_label="distance to setpoint, m", size=size),
    ]
    if tilt:
        charts.append(chart.lines(tilt, x_label="seconds", y_label="tilt, °", size=size))
    why = f"{len(good)} of {len(flights)} starts, tilted and moving, come back and stay in the box."
    return section("Recoveries", why, chart.legend(marks) + row(charts))


def figure_eights(m: Material) -> str:
    flights = sorted(m.of_kind("figure_eight"), key=_period, reverse=True)
    if not flights:
        return section("Figure-eight", "", nothing("No figure-eight was flown: <code>robostack fly</code>"))
    charts = []
    for f in flights:
        series = [
            Line(f["reference"][:, 0], f["reference"][:, 1], "muted", "reference", dashed=True),
            Line(f["position"][:, 0], f["position"][:, 1], "c1", f.name, end_dot=True),
        ]
        svg = chart.lines(series, x_label="x, m", y_label="y, m", equal=True, size=(360, 230))
        rms = f"RMS error {number(100 * rms_position_error(f))} cm in three dimensions"
        charts.append(f'<h3>{number(_period(f))} s a lap</h3>{svg}<p class="caption">{rms}</p>')
    marks = chart.legend([("muted", "reference"), ("c1", "flown")], dashed="muted")
    return section("Figure-eight", "Seen from above; the dot is where the flight ended.", marks + row(charts))


def errors(m: Material) -> str:
    flights = m.of_kind("hover") + sorted(m.of_kind("figure_eight"), key=_period, reverse=True)
    flights = flights[:4]
    if not flights:
        return ""
    series = [Line(f.time_s, position_error(f), t, f.name) for f, t in zip(flights, TONES, strict=False)]
    marks = chart.legend([(t, _title(f)) for f, t in zip(flights, TONES, strict=False)])
    svg = chart.lines(series, x_label="seconds", y_label="distance to reference, m", size=(1064, 240))
    return section("Position error", "Over the whole flight, from the first period.", marks + svg)


def rotors(m: Material) -> str:
    flights = [f for f in m.flights if "rotor_speed" in f.columns]
    chosen = [
        next((f for f in flights if f.about.get("kind") == k), None) for k in ("recover", "figure_eight")
    ]
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
            Line(f.time_s, column.values[:, i], t, names[i])
            for i, t in zip(range(len(names)), TONES, strict=False)
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
    for measure, scale, label in (
        ("instructions", 1.0, "instructions a control period on the board"),
        ("round_trip_s", 1e3, "round trip over the serial line, ms"),
    ):
        parts = [f.timing[measure] for f in m.flights if measure in f.timing]
        if not parts or not sum(map(len, parts)):
            continue
        values = np.concatenate(parts) * scale
        stats = percentiles(m.flights, measure)
        marks = {f"{k} {number(v * scale)}": v * scale for k, v in stats.items() if k != "max"}
        rate = (
            f" {number(1 / float(np.mean(values / scale)))} round trips a second."
            if measure == "round_trip_s"
            else ""
        )
        caption = f"{len(values):,} periods, worst {number(stats['max'] * scale)}.{rate}".replace(
            ",", THIN, 1
        )
        charts.append(
            f'{chart.histogram(values, x_label=label, marks=marks)}<p class="caption">{caption}</p>'
        )
    if not charts:
        return section("Timing", "", nothing("No flight carried timing."))
    return section(
        "Timing",
        "Instructions are counted in the board's virtual time; round trips in wall time.",
        row(charts, wide=True),
    )


def ports(m: Material) -> str:
    rows = m.section("verify").get("ports") or []
    if not rows:
        return section("Ports", "", nothing("Not verified yet: <code>robostack verify</code>"))
    verdicts = {
        "passed": '<span class="good">✓ agrees</span>',
        "failed": '<span class="bad">✗ differs</span>',
        "missing": '<span class="soft">not run</span>',
    }
    bits = {True: "same", False: '<span class="bad">differ</span>'}
    body = [
        [
            escape(str(p.get("port", "")).replace("_", " on ").replace("onnxruntime", "ONNX Runtime")),
            f"{count(p.get('count'))} {escape(str(p.get('vectors', '')).replace('_', '-'))}",
            verdicts.get(str(p.get("status")), ""),
            small(p.get("error")),
            small(p.get("tolerance")),
            bits.get(p.get("bit_identical"), ""),
            f'<span class="soft">{escape(str(p.get("note") or ""))}</span>',
        ]
        for p in rows
    ]
    head = ("port", "vectors", "", "worst error", "tolerance", "bits", "")
    why = (
        "The same inputs through every runtime: the vectors recorded inside policy.onnx, and random ones. "
        "Errors are shares of an action's range; C ports must agree bit for bit."
    )
    return section("Ports", why, table(head, body, numeric=(3, 4)))


def contract(m: Material) -> str:
    if m.policy is None:
        return section("Contract", "", nothing("No policy was exported yet: <code>robostack export</code>"))
    s = m.policy.spec
    head = ("channel", "elements", "unit", "frame", "low", "high", "oldest", "held")
    body = [_channel_row(c) for c in s.observations]
    actions = [
        [
            f"<code>{escape(a.name)}</code>",
            _chips(a.elements),
            escape(a.unit),
            limits(a.low),
            limits(a.high),
            limits(a.neutral),
            "not limited" if a.slew_per_s is None else limits(a.slew_per_s),
        ]
        for a in s.actions
    ]
    action_head = ("action", "elements", "unit", "low", "high", "neutral", "slew a second")
    ladder = "".join(f"<li>{escape(rung_in_words(r))}</li>" for r in s.envelope.fallback)
    tumble = s.envelope.tumble
    cut = (
        f"Cut off when tilted past {number(np.degrees(tumble.max_tilt_rad))}° for {number(tumble.for_s)} s."
        if tumble
        else "No tumble cut-off."
    )
    timing_text = [
        ("control period", milliseconds(s.control_dt_s)),
        ("observation delay", milliseconds(*s.obs_delay_s)),
        ("action delay", milliseconds(*s.action_delay_s)),
        ("jitter", milliseconds(s.jitter_s)),
        ("recurrent state", f"{s.state.size} values" if s.state.size else "none"),
        ("policy", f"<code>{m.policy.policy_hash}</code>"),
        ("file", f"<code>{m.policy.file_sha256}</code>"),
        ("interface", f"<code>{s.interface_hash}</code>"),
        *((f"· {name}", f"<code>{digest[:16]}</code>") for name, digest in s.section_digests().items()),
    ]
    inner = (
        f'<div class="scroll">{table(head, body, numeric=(4, 5, 6, 7))}</div><br>'
        f'<div class="scroll">{table(action_head, actions)}</div><br>'
        f'<div class="row wide"><div><h3>Fallback ladder</h3><ol class="ladder">{ladder}</ol>'
        f'<p class="caption">{cut}</p></div><div>{definitions(timing_text)}</div></div>'
    )
    why = "What a machine must measure and accept: inside policy.onnx, checked by every board and node."
    return section("Contract", why, inner)


def machine(m: Material) -> str:
    rows = {**m.section("machine"), **m.section("versions")}
    stages = m.section("stages")
    if not rows and not stages:
        return ""
    left = definitions([(escape(k), escape(str(v))) for k, v in rows.items()])
    right = definitions([(escape(k), f"{number(v)} s") for k, v in stages.items()])
    inner = f'<div class="row wide"><div>{left}</div>' + (
        f"<div><h3>Time of each stage</h3>{right}</div>" if stages else ""
    )
    return section("Machine", "", inner + "</div>")


PANELS: tuple[Callable[[Material], str], ...] = (
    summary,
    training,
    recoveries,
    figure_eights,
    errors,
    rotors,
    timing,
    ports,
    contract,
    machine,
)


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
    share = min(100.0, max(0.5, 60.0 * row["value"] / row["bar"]))
    return f'<div class="track {"good" if met else "bad"}"><i style="width:{share:.1f}%"></i><u></u></div>'


def _channel_row(c: Channel) -> list[str]:
    held = f"{c.hold_periods} periods"
    return [
        f"<code>{escape(c.name)}</code>",
        _chips(c.element_names),
        escape(c.unit),
        escape(c.frame),
        limits(c.low),
        limits(c.high),
        f"{number(1e3 * c.max_age_s)} ms",
        held,
    ]


def _chips(names: Sequence[str]) -> str:
    shown = ", ".join(escape(n) for n in names[:9])
    return f'<span class="mono soft">{shown}{f" … {len(names)} in all" if len(names) > 9 else ""}</span>'


def _period(flight: Flight) -> float:
    value = flight.about.get("period_s")
    return float(value) if isinstance(value, (int, float)) else float("inf")


def _title(flight: Flight) -> str:
    kind = flight.about.get("kind")
    return (
        f"figure-eight, {number(_period(flight))} s"
        if kind == "figure_eight"
        else words(str(kind or flight.name))
    )


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
