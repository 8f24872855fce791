"""Claims: live corrections are counted in moves as operators count, and their panels need no machine and no trainer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from browsing import Browser

from robostack.evaluate.flight import Column, Flight
from robostack.evaluate.report import write_report
from robostack.run_folder import RunFolder
from robostack_real.beam.corrections import KIND, machines, moves_to, rows

READINGS = tuple(f"bpm_{i}_{axis}" for i in range(1, 6) for axis in "xy")
MOVES = 4


def correction(
    machine: int, controller: str, rms_mm: Sequence[float], *, held: str = "", dead: Sequence[str] = ()
) -> Flight:
    """`rms_mm` before and after each move."""
    rms = 1e-3 * np.array(rms_mm)
    orbit = np.outer(rms, np.cos(np.arange(10)))
    columns = {
        "true_orbit": Column(orbit, "m", READINGS),
        "bpm_position": Column(orbit, "m", READINGS),
        "corrector_current": Column(np.outer(np.arange(len(rms)), np.linspace(-1, 1, 10)), "A", ()),
        "rms": Column(rms, "m"),
        "rms_all": Column(2.0 * rms, "m"),
    }
    about = {"kind": KIND, "machine": machine, "controller": controller, "moves": MOVES, "flipped": ["solenoid_1_h"],
             "dead": list(dead), **({"cut_short": held} if held else {})}  # fmt: skip
    timing = {"move_s": np.full(len(rms) - 1, 0.8)}
    return Flight(f"{KIND}_{machine:02d}_{controller}", 1.0, columns, np.zeros(len(rms), np.uint8), timing, about)


FLIGHTS = [
    correction(1, "policy", [3.0, 1.5, 0.5, 0.4, 0.3]),
    correction(2, "policy", [4.0, 0.9, 0.8, 1.2, 1.3, 0.8], dead=["bpm_<2>"]),
    correction(1, "svd", [3.0, 4.0, 5.0, 6.0, 7.0, 3.0]),
    correction(2, "svd", [4.0, 0.9, 9.0], held="HCM1_ACCT:Current = 0: <the beam is gone>", dead=["bpm_<2>"]),
]


def test_moves_are_counted_until_it_is_first_below_a_millimetre() -> None:
    assert [moves_to(f) for f in FLIGHTS] == [2, 1, None, None], "neither the way back nor a held run counts"
    assert moves_to(correction(1, "policy", [0.9, 0.8])) == 0


def test_a_machine_is_one_entry_with_every_controller() -> None:
    first, second = machines(FLIGHTS)
    assert (first["machine"], first["before_m"]) == (1, pytest.approx(3e-3))
    assert [*first["controllers"]] == ["policy", "svd"]
    assert second["controllers"]["policy"]["after_m"] == pytest.approx(0.8e-3)
    assert second["controllers"]["policy"]["after_all_m"] == pytest.approx(1.6e-3)
    assert "the beam is gone" in second["controllers"]["svd"]["held"]


def test_figures_are_shares_and_medians_of_the_machines() -> None:
    found = {r["what"]: r for r in rows(FLIGHTS)}
    share = found["live, policy: under 1 mm in 4 moves"]
    assert share["value"] == 100.0 and share["reference"] == "of 2, median 1.5 moves"
    svd = found["live, SVD, nominal matrix: under 1 mm in 4 moves"]
    assert svd["value"] == 0.0 and "most never" in svd["reference"]
    end = found["live, policy: RMS then, median"]
    assert end["value"] == pytest.approx(0.55) and end["reference"] == "from 3.50 mm; all BPMs 1.10 mm"


@pytest.fixture
def page(tmp_path: Path) -> str:
    run = RunFolder.create("beam_orbit", root=tmp_path)
    for flight in FLIGHTS:
        flight.save(run.flights / f"{flight.name}.npz")
    run.record(trial={"rows": rows(FLIGHTS), "machines": machines(FLIGHTS)})
    return write_report(run).read_text(encoding="utf-8")


def test_the_report_has_the_beams_panels_and_none_of_a_flights(page: str) -> None:
    sections = re.findall(r'<section id="([a-z-]+)">', page)
    own = ["unknown-machines", "orbits", "convergence", "corrector-currents"]
    assert sections[:6] == ["summary", "training", *own]
    assert "2 of 2" in page and "0 of 2" in page, "at a glance"
    assert page.count("<svg") == 2 + 2 + 2, "a chart a machine, then one a controller, twice"
    assert "live, policy: under 1 mm" in page


def test_a_browser_shows_it_without_a_complaint(page: str, tmp_path: Path, browser: Browser) -> None:
    browser.check_report(next(tmp_path.rglob("report.html")), "report-beam_orbit")


def test_a_dead_bpm_and_a_hold_are_not_hidden_and_cannot_write_html(page: str) -> None:
    assert "machine 2: 1 reversed, bpm_&lt;2&gt; dead" in page
    assert 'title="HCM1_ACCT:Current = 0: &lt;the beam is gone&gt;"' in page and "ended in a hold" in page
    assert "<the beam" not in page and "bpm_<2>" not in page


def test_without_a_trial_the_page_says_which_command_makes_one(tmp_path: Path) -> None:
    page = write_report(RunFolder.create("beam_orbit", root=tmp_path)).read_text(encoding="utf-8")
    assert "robostack trial" in page and "robostack fly" not in page


def test_a_report_needs_neither_libca_nor_a_trainer() -> None:
    code = "import sys; import robostack_real.beam.panels; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"epics", "torch", "onnxruntime"} & set(done.stdout.split())
