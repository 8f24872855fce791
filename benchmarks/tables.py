"""Fills the tables of README.md and docs/ from benchmarks/results/*.json, so that no number is typed by hand.

    python benchmarks/tables.py            write the pages
    python benchmarks/tables.py --check    exit 1 when a page and its file disagree

A page asks for a table with `<!-- table:NAME -->` ... `<!-- /table -->`: NAME is the file without .json, and
`NAME:3` takes its first three rows. A results file is an object of FIELDS with rows of ROW_FIELDS (below).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from robostack.evaluate.html import meets, number, reference

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path("benchmarks/results")
MARKER = re.compile(r"(<!-- table:([a-z0-9_]+)(?::(\d+))? -->\n).*?(<!-- /table -->)", re.DOTALL)
FIELDS = {"name", "command", "commit", "date", "machine", "rows"}
ROW_FIELDS = {"what", "value", "unit", "bar", "better", "reference", "reference_value"}


class TableError(ValueError):
    """A results file is missing, or not of the form above; the message names it."""


def pages(root: Path) -> list[Path]:
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def fill(text: str, results: Path) -> str:
    """`text` with every marked table made anew. Raises TableError naming the file and what is wrong."""

    def table(match: re.Match[str]) -> str:
        found = read(results / f"{match[2]}.json")
        rows = found["rows"][: int(match[3])] if match[3] else found["rows"]
        return f"{match[1]}{markdown({**found, 'rows': rows})}{match[4]}"

    return MARKER.sub(table, text)


def read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TableError(f"{path} does not exist; `python benchmarks/{path.stem}.py` writes it") from error
    except ValueError as error:
        raise TableError(f"{path} is not JSON: {error}") from error
    missing = FIELDS - found.keys() if isinstance(found, dict) else FIELDS
    if missing:
        raise TableError(f"{path} lacks {', '.join(sorted(missing))}")
    for i, row in enumerate(found["rows"]):
        if row.keys() ^ ROW_FIELDS:
            raise TableError(
                f"{path} rows[{i}]: fields missing or unknown: {sorted(row.keys() ^ ROW_FIELDS)}"
            )
    return dict(found)


def markdown(found: dict[str, Any]) -> str:
    """A table, and below it what it was measured with."""
    lines = ["| what | measured | bar | | reference |", "|---|---:|---:|---|---|"]
    for row in found["rows"]:
        sign = "≤" if row["better"] == "lower" else "≥"
        bar = "" if row["bar"] is None else f"{sign} {number(row['bar'])}"
        mark = {True: "✓", False: "✗ not reached", None: ""}[meets(row)]
        value = f"{number(row['value'])} {row['unit']}".removesuffix(" 1").strip()  # unit 1: a plain number
        lines.append(
            "| "
            + " | ".join(s.replace("|", "\\|") for s in (row["what"], value, bar, mark, reference(row)))
            + " |"
        )
    machine = found["machine"]
    words = machine if isinstance(machine, str) else f"{machine.get('cpu')}, {machine.get('cores')} cores"
    lines += ["", f"`{found['command']}`, {found['date']}, commit {found['commit']}, on {words}.", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 when a page would change"
    )
    check = parser.parse_args().check
    stale = []
    for page in pages(ROOT):
        before = page.read_text(encoding="utf-8")
        try:
            after = fill(before, ROOT / RESULTS)
        except TableError as error:
            print(f"{page.relative_to(ROOT)}: {error}", file=sys.stderr)
            return 1
        if after != before:
            stale.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(after, encoding="utf-8")
    if check and stale:
        print(f"not what the results say: {', '.join(stale)}; run `make tables`", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
