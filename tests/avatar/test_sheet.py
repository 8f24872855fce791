"""Claims: clips are shown as stick figures on a page of their own."""

from pathlib import Path

from browsing import Browser

from robostack import cli
from robostack_sim.avatar.motion.reading import named


def test_a_browser_shows_the_sheet_without_a_complaint(tmp_path: Path, browser: Browser) -> None:
    named("punch").save(tmp_path / "punch.npz")
    page = tmp_path / "sheet.html"
    assert cli.main(["avatar", "clips", str(tmp_path), "--sheet", str(page)]) == 0
    browser.check_report(page, "clips")
