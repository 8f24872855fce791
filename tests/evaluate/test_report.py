"""Claims: the report is one file that needs nothing else, shows what was flown, and survives damage."""

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from example_run import export_example, make_example_run
from PIL import Image

from robostack.evaluate.chart import Line, histogram, lines
from robostack.evaluate.html import number
from robostack.evaluate.report import write_report
from robostack.run_folder import RunFolder

PANELS = (
    "summary",
    "training",
    "recoveries",
    "figure-eight",
    "position-error",
    "rotor-speeds",
    "timing",
    "ports",
    "contract",
    "machine",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory, make_spec):
    run = make_example_run(tmp_path_factory.mktemp("logs"))
    export_example(run, make_spec())
    return run


@pytest.fixture(scope="module")
def html(run):
    return write_report(run).read_text(encoding="utf-8")


class Strict(HTMLParser):
    """Fails on an element that is not closed, or closed twice."""

    VOID = frozenset({"meta", "link", "br", "line", "rect", "circle"})

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_report_is_well_formed(html):
    parser = Strict()
    parser.feed(html)
    assert parser.open == []


def test_the_report_asks_the_network_for_nothing(html):
    assert not re.search(r"(https?:)?//[a-z]|url\(|<script|@import|src=", html)


def test_the_report_is_light_and_dark(html):
    assert "prefers-color-scheme: dark" in html


def test_every_panel_is_there_and_none_is_empty(html):
    assert tuple(re.findall(r'<section id="([a-z-]+)">', html)) == PANELS
    assert 'class="none"' not in html


def test_a_lost_recovery_is_not_hidden(html):
    assert "39 of 40 starts" in html
    assert "lost, until it left the box" in html


def test_a_bar_that_was_not_reached_is_marked(html):
    row = next(r for r in re.findall(r"<tr>.*?</tr>", html) if "figure-eight, 3.5 s" in r)
    assert "✗" in row


def test_the_contract_on_the_page_is_the_one_in_the_policy(run, html):
    from robostack.export.onnx import load_policy

    policy = load_policy(run.policy)
    for digest in (policy.policy_hash, policy.file_sha256, policy.spec.interface_hash):
        assert digest in html
    for channel in policy.spec.observations:
        assert f"<code>{channel.name}</code>" in html


def test_an_empty_run_says_which_commands_come_next(tmp_path):
    page = write_report(RunFolder.create("quadrotor", root=tmp_path)).read_text(encoding="utf-8")
    for verb in ("train", "export", "verify", "evaluate", "fly"):
        assert f"robostack {verb}" in page


def test_damaged_files_are_named_on_the_page_and_the_rest_is_shown(tmp_path, make_spec):
    run = make_example_run(tmp_path)
    export_example(run, make_spec())
    run.policy.write_bytes(run.policy.read_bytes()[:300])
    flight = run.flights / "recover_03.npz"
    flight.write_bytes(flight.read_bytes()[:200])
    page = write_report(run).read_text(encoding="utf-8")
    assert "Could not be read" in page
    assert "recover_03.npz" in page
    assert "policy.onnx: truncated" in page
    assert "38 of 39 starts" in page


def test_text_from_a_run_cannot_write_html(tmp_path):
    run = make_example_run(tmp_path)
    run.record(fly={"rows": [{"what": "<script>alert(1)</script>", "value": 1, "unit": "<b>", "reference": "<i>"}]})
    page = write_report(run).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_browser_shows_the_report_in_light_and_dark_without_a_complaint_and_asks_nobody(run, html, browser):
    light, dark = browser.check_report(run.report, "report-quadrotor")
    paper = [sum(Image.open(io.BytesIO(p)).convert("RGB").getpixel((5, 5))) for p in (light, dark)]
    assert paper[0] > 700 and paper[1] < 100
    assert min(len(light), len(dark)) > 20_000


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, np.inf], [0.0] * 5, [1e30, -1e30], np.arange(5000.0)])
def test_a_chart_of_anything_is_finite(values):
    svg = lines([Line(np.arange(len(values)), values)], x_label="x", y_label="y") + histogram(
        values, x_label="x", marks={}
    )
    assert not re.search(r"\b(nan|inf)\b", svg)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0212, "0.021"),
        (97.14, "97.1"),
        (1610, "1\u202f610"),
        (2.1e-7, "2.1e\u221207"),
        (-3.5, "\u22123.5"),
        (None, "–"),
        (float("nan"), "–"),
        (100.0, "100"),
        (1450.0, "1\u202f450"),
    ],
)
def test_numbers_read_at_a_glance(value, text):
    assert number(value) == text
