"""Claim: the page of honest limits shows every bar that is missed, and no other."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from robostack.evaluate.html import meets

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("tables_of_limits", ROOT / "benchmarks/tables.py")
assert SPEC and SPEC.loader
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)


def test_every_bar_that_is_missed_is_on_the_page_of_limits() -> None:
    page = (ROOT / "docs/limits.md").read_text()
    assert "<!-- table:missed -->" in page
    shown = tables.fill(page, ROOT / "benchmarks/results")
    for path in sorted((ROOT / "benchmarks/results").glob("*.json")):
        for row in json.loads(path.read_text())["rows"]:
            assert (f"| {row['what']} |" in shown) == (meets(row) is False), f"{path.name}: {row['what']}"
