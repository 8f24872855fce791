"""A qualification on one page: the verdict, every figure against its bar, curves, the worst case."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from html import escape

import numpy as np

from robostack import machine
from robostack.evaluate import chart
from robostack.evaluate.chart import Line
from robostack.evaluate.html import definitions, number, page, row, section
from robostack.evaluate.panels_figures import figures_table
from robostack.evaluate.panels_proof import ports_section
from robostack.qualify.bench import Flown
from robostack.qualify.condition import Case
from robostack.qualify.finding import Curve, Finding
from robostack.qualify.qualification import Qualification
from robostack.task import Bar

SIZE = (360, 220)


def qualification_page(found: Qualification, replay: str) -> str:
    """HTML; `replay` is the command that flies a case again, with CASE in it."""
    bench = found.bench
    body = [_tiles(found), _verdict(found)]
    body += [_finding(f, found, replay) for f in found.findings.values()]
    body += [_contract(found), _seconds(found)]
    day = datetime.datetime.now().strftime("%d %B %Y, %H:%M")
    subtitle = f"{day} · {bench.spec.task} · policy {bench.policy.policy_hash[:16]} · {found.verdict}"
    return page("Qualification", bench.policy.origin, subtitle, body)


def _tiles(found: Qualification) -> str:
    barred = [r for r in found.rows if r["bar"] is not None]
    tone = {"passed": "good", "failed": "bad", "stopped": "muted"}[found.verdict]
    tiles = [
        (found.verdict, "", "the release gate", tone),
        (f"{len(barred) - len(found.missed)} of {len(barred)}", "", "bars met", ""),
    ]
    for start, text in (
        ("nominal", "succeed when nothing is wrong"),
        ("worst case of", "succeed in the worst case of all parameters"),
        ("Frequency-Averaged", "Frequency-Averaged Score"),
    ):
        values = [r["value"] for r in found.rows if r["what"].startswith(start) and r["value"] is not None]
        tiles += [(number(values[0]), "%", text, "")] if values else []
    tiles.append((number(sum(found.seconds.values())), "s", "that it took", ""))
    inner = "".join(
        f'<div class="tile"><b class="{tone}">{value}{f" <small>{unit}</small>" if unit else ""}</b>'
        f"<span>{text}</span></div>"
        for value, unit, text, tone in tiles
    )
    return f'<div class="tiles">{inner}</div>'


def _verdict(found: Qualification) -> str:
    why = (
        f"The exported file in ONNX Runtime behind its envelope, {found.bench.episodes} unseen episodes under each "
        "condition. Figures are the share of episodes that the task calls a success; the bars are the task's own."
    )
    stopped = "" if found.complete else '<p class="bad">It was stopped: what is missing was not judged.</p>'
    return section("Figures", why, stopped + figures_table(found.rows))


def _finding(f: Finding, found: Qualification, replay: str) -> str:
    if f.ports:
        return ports_section([asdict(p) for p in f.ports])
    inner = row([_curve(c, found.bench.bars) for c in f.curves]) if f.curves else ""
    if f.worst:
        inner += _worst(*f.worst, found.bench.nominal, found.bench.spec.control_dt_s, replay)
    return section(f.title, f.why, inner) if inner else ""


def _curve(curve: Curve, bars: Sequence[Bar]) -> str:
    success = [100.0 * o.success for o in curve.outcomes]
    fell_back = [100.0 * o.fell_back for o in curve.outcomes]
    series = [
        Line(curve.levels, fell_back, "c2", "the envelope took over", dashed=True),
        Line(curve.levels, success, "c1", "succeed", points=True),
    ]
    for bar in (b for b in bars if b.figure == curve.figure):
        ends = bar.within or (min(curve.levels), max(curve.levels))
        series.append(Line(ends, (100.0 * bar.least,) * 2, "ink", "asked"))
    drawn = chart.lines(
        series, x_label=f"{curve.label} {curve.unit}".rstrip(), y_label="% of episodes", size=SIZE, y_range=(0.0, 108.0)
    )
    marks = [("c1", "succeed"), ("c2", "envelope took over"), ("ink", "asked")]
    return f"<h3>{escape(curve.label)}</h3>{chart.legend(marks, dashed='c2')}{drawn}"


def _worst(case: Case, flown: Flown, nominal: Flown, dt_s: float, replay: str) -> str:
    drawn = [
        chart.lines(
            [Line(*_going_on(nominal, dt_s), "c1", "nominal"), Line(*_going_on(flown, dt_s), "c2", case.name)],
            x_label="seconds", y_label="% of episodes that go on", y_range=(0.0, 108.0),
        ),
        chart.lines([*_rewards(nominal, dt_s, "c1"), *_rewards(flown, dt_s, "c2")], x_label="seconds",
                    y_label="reward a step, quartiles"),
    ]  # fmt: skip
    if case.condition.message:
        rows = [("channel", escape(case.condition.message.channel))]
    else:
        rows = [(escape(name), number(value)) for name, value in case.condition.parameters.items()]
    rows.append(("again", f"<code>{escape(replay.replace('CASE', case.name))}</code>"))
    marks = chart.legend([("c1", "nominal"), ("c2", case.name.replace("_", " "))])
    return f"{marks}{row(drawn, wide=True)}{definitions(rows)}"


def _going_on(flown: Flown, dt_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds, percent."""
    going = np.isfinite(flown.rewards).mean(1)
    return dt_s * np.arange(len(going)), 100.0 * going


def _rewards(flown: Flown, dt_s: float, tone: str) -> list[Line]:
    """Quartiles over the episodes that go on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where none goes on any more
        low, middle, high = np.nanquantile(flown.rewards, (0.25, 0.5, 0.75), axis=1)
    at = dt_s * np.arange(len(middle))
    return [Line(at, low, tone, thin=True), Line(at, high, tone, thin=True), Line(at, middle, tone)]


def _contract(found: Qualification) -> str:
    policy = found.bench.policy
    rows = [
        ("file", f"<code>{escape(policy.origin)}</code>"),
        ("policy", f"<code>{policy.policy_hash}</code>"),
        ("interface", f"<code>{policy.interface_hash}</code>"),
        ("control period", f"{number(1e3 * policy.spec.control_dt_s)} ms"),
        ("episodes a condition", str(found.bench.episodes)),
        ("generations of a search", str(found.bench.generations)),
        ("seed", str(found.bench.seed)),
    ]
    return section("Policy", "What was asked; another file is another policy.", definitions(rows))


def _seconds(found: Qualification) -> str:
    described = {**machine.describe(), **machine.versions()}
    left = definitions([(escape(k), escape(str(v))) for k, v in described.items()])
    right = definitions([(k.replace("_", " "), f"{number(v)} s") for k, v in found.seconds.items()])
    return section("Machine", "", row([left, f"<h3>Time of each probe</h3>{right}"], wide=True))
