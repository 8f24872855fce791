"""How a benchmark leaves its numbers: a table on the screen and benchmarks/results/<name>.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robostack import machine
from robostack.commands.report import print_rows

RESULTS = Path(__file__).resolve().parent / "results"


def row(
    what: str,
    value: float | None,
    unit: str,
    bar: float | None = None,
    *,
    better: str = "lower",
    reference: str | None = None,
    reference_value: float | None = None,
) -> dict[str, Any]:
    """One figure; `value` is kept to four significant digits. None is a figure that there is not: a dash in the table,
    and `reference` says why."""
    return {
        "what": what,
        "value": None if value is None else float(f"{value:.4g}"),
        "unit": unit,
        "bar": bar,
        "better": better,
        "reference": reference,
        "reference_value": reference_value,
    }


def write(name: str, rows: Sequence[dict[str, Any]], out: Path | None = None) -> None:
    """Prints the rows and writes the file that tables.py reads."""
    print_rows(rows)
    found = {
        "name": name,
        "command": " ".join(["python", f"benchmarks/{name}.py", *_asked(sys.argv[1:])]),
        "commit": machine.commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine.describe(),
        "rows": list(rows),
    }
    path = out or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _asked(words: Sequence[str]) -> list[str]:
    """Without where files go, which is of no other's concern."""
    for option in ("--out", "--runs"):
        at = words.index(option) if option in words else len(words)
        words = [*words[:at], *words[at + 2 :]]
    return list(words)
