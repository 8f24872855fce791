"""Claim: the page of honest limits shows every bar that is missed, and no other."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

from robostack.evaluate.html import meets

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("tables_of_limits", ROOT / "benchmarks/tables.py")
assert SPEC and SPEC.loader
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)


def test_every_bar_that_is_missed_is_on_the_page_of_limits() -> None:
    missed = []
    for path in sorted((ROOT / "benchmarks/results").glob("*.json")):
        rows = json.loads(path.read_text())["rows"]
        places = [str(i) for i, row in enumerate(rows, 1) if meets(row) is False]
        missed += [f"{path.stem}:{','.join(places)}"] if places else []
    page = (ROOT / "docs/limits.md").read_text()
    (shown,) = re.findall(r"<!-- table:(\S+) -->", page)
    assert shown == "+".join(missed), "docs/limits.md: put this behind `table:` and run `make tables`"
