"""Claims: the manual is built from docs/ without a warning, and reads and searches as files, with nothing fetched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import Browser
from pages import PAGES, ROOT

from robostack import cli


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manual")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    front = (site / "index.html").read_text()
    for page in PAGES.keys() - {"README.md"}:
        place = page.removeprefix("docs/").replace(".md", ".html")
        assert (site / place).is_file()
        assert f'href="{place}"' in front or place == "index.html", place


def test_nothing_of_a_page_comes_from_the_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^>]*", page.read_text()
        )
        assert not fetched, (page, fetched)
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style.read_text()), style


def test_every_verb_is_in_the_reference_with_its_options(site: Path) -> None:
    page = (site / "reference/verbs.html").read_text()
    for verb in cli.summaries():
        assert re.search(rf"robostack {verb}\b", page), verb
    assert "max_flash_kb" in page and "Flash that the policy may take of a board" in page


def test_equations_are_in_the_page_itself(site: Path) -> None:
    page = (site / "learners.html").read_text()
    assert page.count("<math") == PAGES["docs/learners.md"].count("```math")
    assert "\\frac" not in page


def test_the_front_page_shows_in_light_and_dark_and_complains_of_nothing(site: Path, browser: Browser) -> None:
    pictures = []
    for dark in (False, True):
        visit = browser.visit((site / "index.html").as_uri(), "manual", dark=dark, size=(1440, 1000))
        assert visit.complaints == []
        assert all(uri.startswith(("file:", "data:")) for uri in visit.asked), visit.asked
        pictures.append(visit.picture)
    assert pictures[0] != pictures[1]


def test_a_page_opened_as_a_file_can_be_searched(site: Path, browser: Browser) -> None:
    visit = browser.visit((site / "index.html").as_uri() + "?q=Pop-Art", "manual-search", size=(1440, 1000))
    assert visit.complaints == []
    assert "The learners and their equations" in browser.text(".md-search-result__item")
