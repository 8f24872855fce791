"""Fills the tables of README.md and docs/ from benchmarks/results/*.json, so that no number is typed by hand.

    python benchmarks/tables.py            write the pages; a table whose results are not there yet stays as it is
    python benchmarks/tables.py --check    exit 1 when a page and its file disagree, or a file is not there

A page asks for a table with `<!-- table:NAME -->` ... `<!-- /table -->`: NAME is the file without .json; `NAME:1,3-5`
takes these rows, counted from 1; `ONE:1-3+OTHER:2` joins rows of several files; `missed` is every row of any file that
is worse than its bar. A results file is an object of FIELDS
with rows of ROW_FIELDS (below); benchmarks/_results.py writes it.
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
MARKER = re.compile(r"(<!-- table:([a-z0-9_:,+-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
MISSED = "missed"
FIELDS = {"name", "command", "commit", "date", "machine", "rows"}
ROW_FIELDS = {"what", "value", "unit", "bar", "better", "reference", "reference_value"}


class TableError(ValueError):
    """A results file is missing, or not of the form above; the message names it."""


def pages(root: Path) -> list[Path]:
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def sources(text: str) -> list[str]:
    """Names of the results that a page shows."""
    shown = [match[2] for match in MARKER.finditer(text) if match[2] != MISSED]
    return [part.partition(":")[0] for names in shown for part in names.split("+")]


def fill(text: str, results: Path, missing: list[str] | None = None) -> str:
    """`text` with every marked table made anew. Raises TableError naming the file and what is wrong.

    With `missing`, a table of which a file does not exist stays as it is, and the file's error is added to it.
    """

    def table(match: re.Match[str]) -> str:
        try:
            names = match[2].split("+")
            found = missed(results) if match[2] == MISSED else [chosen(part, results) for part in names]
        except FileNotFoundError as error:
            if missing is None:
                raise TableError(str(error)) from error
            missing.append(str(error))
            return match[0]
        return f"{match[1]}{markdown(found)}{match[3]}"

    return MARKER.sub(table, text)


def chosen(part: str, results: Path) -> dict[str, Any]:
    """The results that `NAME` or `NAME:1,3-5` stands for. Raises FileNotFoundError, TableError."""
    name, _, ranges = part.partition(":")
    found = read(results / f"{name}.json")
    if not ranges:
        return found
    rows: list[Any] = []
    for one in ranges.split(","):
        first, _, last = one.partition("-")
        numbers = range(int(first or 0), int(last or first or 0) + 1)
        if not numbers or numbers[0] < 1 or numbers[-1] > len(found["rows"]):
            raise TableError(f"table:{part}: {name}.json has no rows {one!r}, it has 1-{len(found['rows'])}")
        rows += [found["rows"][n - 1] for n in numbers]
    return {**found, "rows": rows}


def missed(results: Path) -> list[dict[str, Any]]:
    """Of all results the rows that do not meet their bar."""
    every = [read(path) for path in sorted(results.glob("*.json"))]
    each = [{**found, "rows": [row for row in found["rows"] if meets(row) is False]} for found in every]
    return [found for found in each if found["rows"]]


def read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = f"{path.name} does not exist; `python benchmarks/{path.stem}.py` writes it"
        raise FileNotFoundError(what) from error
    except ValueError as error:
        raise TableError(f"{path} is not JSON: {error}") from error
    missing = FIELDS - found.keys() if isinstance(found, dict) else FIELDS
    if missing:
        raise TableError(f"{path} lacks {', '.join(sorted(missing))}")
    for i, row in enumerate(found["rows"]):
        if row.keys() ^ ROW_FIELDS:
            raise TableError(f"{path} rows[{i}]: fields missing or unknown: {sorted(row.keys() ^ ROW_FIELDS)}")
    return dict(found)


def markdown(found: list[dict[str, Any]]) -> str:
    """One table of all rows, and below it what they were measured with."""
    lines = ["| what | measured | bar | | reference |", "|---|---:|---:|---|---|"]
    for row in (row for one in found for row in one["rows"]):
        sign = "≤" if row["better"] == "lower" else "≥"
        bar = "" if row["bar"] is None else f"{sign} {number(row['bar'])}"
        mark = {True: "✓", False: "✗ not reached", None: ""}[meets(row)]
        value = f"{number(row['value'])} {row['unit']}".strip()
        cells = (row["what"], value, bar, mark, reference(row))
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    commands: dict[str, list[str]] = {}
    for one in found:
        machine = one["machine"]
        words = machine
        if not isinstance(machine, str):
            words = f"{machine.get('cpu')}, {machine.get('cores')} core{'' if machine.get('cores') == '1' else 's'}"
        where = f"{one['date']}, commit {one['commit']}, on {words}"
        commands.setdefault(where, []).append(f"`{one['command']}`")
    lines += ["", "; ".join(f"{', '.join(c)}, {where}" for where, c in commands.items()) + ".", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page would change")
    check = parser.parse_args().check
    stale, missing = [], []
    for page in pages(ROOT):
        name, before = str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")
        absent: list[str] = []
        try:
            after = fill(before, ROOT / RESULTS, absent)
        except TableError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        missing += [f"{name}: {what}" for what in absent]
        if after != before:
            stale.append(name)
            if not check:
                page.write_text(after, encoding="utf-8")
    for line in missing:
        print(line, file=sys.stderr)
    if check and stale:
        print(f"not what the results say: {', '.join(stale)}; run `make tables`", file=sys.stderr)
    return int(check and bool(stale or missing))


if __name__ == "__main__":
    raise SystemExit(main())
