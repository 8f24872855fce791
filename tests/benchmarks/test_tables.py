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


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [("1", ["survival"]), ("2", ["error"]), ("1-2", ["survival", "error"]), ("2,1", ["error", "survival"])],
)
def test_a_page_may_show_some_rows_only(results, chosen, shown):
    filled = tables.fill(PAGE.replace("table:quality", f"table:quality:{chosen}"), results)
    assert [line.split(" | ")[0] for line in filled.splitlines()[4:-4]] == [f"| {what}" for what in shown]


@pytest.mark.parametrize("chosen", ["0", "3", "1-3", "2-1", "-", "1,,2"])
def test_rows_that_are_not_there_are_named(results, chosen):
    with pytest.raises(tables.TableError, match=r"quality\.json has no rows .*, it has 1-2"):
        tables.fill(PAGE.replace("table:quality", f"table:quality:{chosen}"), results)


def test_rows_of_several_files_are_one_table_that_names_each_command(results):
    speed = {**FOUND, "name": "speed", "command": "python benchmarks/speed.py", "rows": [{**ROW, "what": "fast"}]}
    (results / "speed.json").write_text(json.dumps(speed))
    filled = tables.fill(PAGE.replace("table:quality", "table:quality:1+speed"), results)
    assert filled.count("| what |") == 1
    assert filled.index("| survival |") < filled.index("| fast |")
    assert "`python benchmarks/quality.py`, `python benchmarks/speed.py`, 2026-01-01" in filled


def test_a_missing_file_names_the_command_that_writes_it(results):
    with pytest.raises(tables.TableError, match=r"absent\.json does not exist; `python benchmarks/absent\.py`"):
        tables.fill(PAGE.replace("quality", "absent"), results)


def test_a_table_whose_results_are_to_come_stays_as_it_is_where_that_is_asked_for(results):
    missing = []
    page = PAGE.replace("quality", "absent") + PAGE
    filled = tables.fill(page, results, missing)
    assert filled.startswith(PAGE.replace("quality", "absent"))
    assert "| survival |" in filled
    assert ["absent.json" in m for m in missing] == [True]


def test_every_table_on_a_page_has_its_script_and_every_script_its_table():
    shown = {name for page in tables.pages(tables.ROOT) for name in tables.sources(page.read_text(encoding="utf-8"))}
    scripts = {p.stem for p in PATH.parent.glob("*.py") if not p.stem.startswith("_")} - {"tables"}
    assert shown == scripts


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
