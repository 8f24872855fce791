"""Claims: a table on a page is its results file, and whatever does not fit is named."""

import importlib.util
import json
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks/tables.py"
SPEC = importlib.util.spec_from_file_location("tables", PATH)
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)

ROW = {
    "what": "survival",
    "value": 96.4,
    "unit": "%",
    "bar": 93,
    "better": "higher",
    "reference": "L2F",
    "reference_value": 83.1,
}
FOUND = {"name": "quality", "command": "python benchmarks/quality.py", "commit": "abc", "date": "2026-01-01",
         "machine": {"cpu": "a processor", "cores": "2"}, "rows": [ROW, {**ROW, "what": "error", "unit": "m",
         "value": 0.05, "bar": 0.04, "better": "lower"}]}  # fmt: skip
PAGE = "before\n<!-- table:quality -->\nold\n<!-- /table -->\nafter\n"


@pytest.fixture
def results(tmp_path):
    (tmp_path / "quality.json").write_text(json.dumps(FOUND))
    return tmp_path


def test_filling_a_page_changes_only_the_table_and_is_stable(results):
    filled = tables.fill(PAGE, results)
    assert filled.startswith("before\n<!-- table:quality -->\n| what |")
    assert filled.endswith("<!-- /table -->\nafter\n")
    assert "| survival | 96.4 % | ≥ 93 | ✓ | L2F: 83.1 % |" in filled
    assert "| error | 0.05 m | ≤ 0.04 | ✗ not reached |" in filled
    assert "old" not in filled
    assert tables.fill(filled, results) == filled


def test_a_page_may_show_the_first_rows_only(results):
    filled = tables.fill(PAGE.replace("table:quality", "table:quality:1"), results)
    assert "survival" in filled
    assert "error" not in filled


def test_a_missing_file_names_the_command_that_writes_it(results):
    with pytest.raises(
        tables.TableError, match=r"absent\.json does not exist; `python benchmarks/absent\.py`"
    ):
        tables.fill(PAGE.replace("quality", "absent"), results)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rows": [{**ROW, "vlaue": 1}]}, "vlaue"),
        ({"rows": [{k: v for k, v in ROW.items() if k != "bar"}]}, "bar"),
    ],
)
def test_a_row_of_another_form_is_named(results, change, named):
    (results / "quality.json").write_text(json.dumps({**FOUND, **change}))
    with pytest.raises(tables.TableError, match=rf"rows\[0\].*{named}"):
        tables.fill(PAGE, results)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": "quality"}'])
def test_a_results_file_that_is_none_is_named(results, text):
    (results / "quality.json").write_text(text)
    with pytest.raises(tables.TableError, match="quality"):
        tables.fill(PAGE, results)
