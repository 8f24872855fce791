"""The few HTML pieces and number formats that pages are put together from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import metadata, resources
from string import Template
from typing import Any, TypeGuard

import numpy as np

THIN = "\u202f"
"""Thin space between thousands."""


def number(value: Any) -> str:
    """Three significant digits, thin spaces between thousands; a dash for what is not a finite number."""
    if not isinstance(value, (int, float, np.floating, np.integer)) or not np.isfinite(value):
        return "–"
    size = abs(float(value))
    if size != 0 and (size < 1e-3 or size >= 1e9):
        return f"{value:.1e}".replace("-", "\u2212")
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return (text or "0").replace(",", THIN).replace("-", "\u2212")


def page(heading: str, name: str, subtitle: str, body: Sequence[str]) -> str:
    """A whole page that needs nothing else: no network, no script, light and dark."""
    template = (resources.files("robostack.evaluate") / "report_template.html").read_text(encoding="utf-8")
    version = metadata.version("robostack")
    return Template(template).substitute(
        version=escape(version),
        title=escape(f"{heading} · {name}"),
        heading=escape(heading),
        subtitle=escape(subtitle),
        body="\n".join(body),
        footer=escape(f"robostack {version} · {name}"),
    )


def section(title: str, why: str, inner: str) -> str:
    anchor = title.lower().replace(" ", "-")
    return f'<section id="{anchor}"><h2>{title}</h2>{f"<p class=why>{why}</p>" if why else ""}{inner}</section>'


def nothing(text: str) -> str:
    return f'<div class="none">{text}</div>'


def row(items: Iterable[str], wide: bool = False) -> str:
    return f'<div class="row{" wide" if wide else ""}">{"".join(f"<div>{i}</div>" for i in items)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: tuple[int, ...] = (), bar: int = -1) -> str:
    def kind(i: int) -> str:
        return ' class="n"' if i in numeric else ' class="bar"' if i == bar else ""

    top = "".join(f"<th{kind(i)}>{escape(h)}</th>" for i, h in enumerate(head))
    body = "".join("<tr>" + "".join(f"<td{kind(i)}>{c}</td>" for i, c in enumerate(r)) + "</tr>" for r in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in rows) + "</dl>"


def small(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return "–"
    return "0" if value == 0 else f"{value:.1e}".replace("-", "\u2212")


def count(value: Any) -> str:
    return f"{value:,}".replace(",", THIN) if isinstance(value, int) else ""


def words(key: str) -> str:
    for suffix, unit in (("_rad_s", ", rad/s"), ("_m", ", m"), ("_s", ", s")):
        if key.endswith(suffix):
            return key[: -len(suffix)].replace("_", " ") + unit
    return key.replace("_", " ")


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def meets(figure: Mapping[str, Any]) -> bool | None:
    """Whether a figure (a row of a benchmark's results) reaches its bar; None when it has none. What is not a number
    (JSON has no infinity) reaches none."""
    value, bar = figure.get("value"), figure.get("bar")
    if not is_number(bar):
        return None
    return is_number(value) and bool(value <= bar if figure.get("better") == "lower" else value >= bar)


def reference(figure: Mapping[str, Any]) -> str:
    """What a figure is compared with, and that one's value."""
    name, value = str(figure.get("reference") or ""), figure.get("reference_value")
    if value is None:
        return name
    text = f"{number(value)} {figure.get('unit', '')}".strip() if isinstance(value, (int, float)) else str(value)
    return f"{name}: {text}" if name else text
