"""Claims: a page shows a flight at the moment that is asked for, and lays one over another where they compare."""

import io
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from robostack import cli
from robostack.evaluate.flight import Column, Flight
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack.view.flights import NOTHING, FlightsPage, counterpart, row_at
from robostack.view.page import BLUE, ORANGE

DT_S = 0.01


def circle(name, kind="hover", *, steps=200, height_m=0.0, lag_s=0.0, **about):
    """A circle of 0.5 m in two seconds, `lag_s` behind its reference."""
    t = np.arange(steps) * DT_S

    def at(time_s):
        return np.stack([0.5 * np.cos(np.pi * time_s), 0.5 * np.sin(np.pi * time_s), 0 * time_s + height_m], 1)

    columns = {"position": Column(at(t - lag_s), "m"), "reference": Column(at(t), "m"),
               "attitude": Column(np.tile([1.0, 0, 0, 0], (steps, 1)), "1")}  # fmt: skip
    return Flight(name, DT_S, columns, np.zeros(steps, np.uint8), {}, {"kind": kind, **about})


SIMULATED = circle("hover")
RECORDED = circle("guarded_hover", height_m=0.8, lag_s=0.1, board="udp://127.0.0.1:19850")
FALL = {
    "position": Column(np.linspace([0, 0, 0], [0, 0, -5], 200), "m"),
    "reference": Column(np.zeros((200, 3)), "m"),
}
LOST = replace(circle("recover_02", "recover"), columns=FALL)
RECOVERIES = [circle(f"recover_{k:02d}", "recover") for k in range(2)] + [LOST]


@pytest.fixture
def opened():
    pages = []

    def open_page(*flights):
        pages.append(FlightsPage(flights, {}, "127.0.0.1", 18080))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def centre(page, group=0):
    """Of the first machine of a group, where the page draws it: of the box in the middle of its frame."""
    return page._groups[group][0]._meshes[0].vertices[:8].mean(0)


def test_scrubbing_puts_the_machine_where_it_was(opened):
    page = opened(SIMULATED)
    page.plays.value = False
    page.advance(0.0)
    assert centre(page)[:2] == pytest.approx([0.0, 0.0], abs=1e-3)
    page.time_s.value = 0.5
    page.advance(0.0)
    assert centre(page)[:2] == pytest.approx([-0.5, 0.5], abs=1e-3)
    assert "0.50 s" in page.said.content


def test_playing_goes_on_at_its_speed_and_begins_anew_at_the_end(opened):
    page = opened(SIMULATED)
    page.advance(0.0)
    page.speed.value = 2.0
    page.advance(0.25)
    assert page.time_s.value == pytest.approx(0.5)
    page.time_s.value = 1.9
    page.advance(0.25)
    assert page.time_s.value == 0.0


def test_a_recorded_flight_has_the_simulated_one_laid_over_it_from_the_same_place(opened):
    page = opened(SIMULATED, RECORDED)
    page.plays.value = False
    page.advance(0.0)
    assert (page.flight.value, page.beside.value) == ("guarded_hover", "hover")
    page.time_s.value = 1.0
    page.advance(0.0)
    apart = np.linalg.norm(centre(page, 0) - centre(page, 1))
    assert apart == pytest.approx(2 * 0.5 * np.sin(np.pi * 0.1 / 2), rel=0.02)  # the lag alone, not the height
    assert f"{apart:.3f} m from **hover**" in page.said.content


def test_all_flights_of_a_kind_are_shown_at_once_the_lost_ones_apart(opened):
    page = opened(*RECOVERIES)
    page.advance(0.0)
    assert page.flight.value == "recover, all 3"
    assert [len(flights) for _, flights in page._groups] == [2, 1]
    assert "3 flights, 1 lost" in page.said.content


def test_another_choice_clears_what_was_drawn(opened):
    page = opened(SIMULATED, *RECOVERIES)
    page.advance(0.0)
    page.flight.value = "recover_00"
    page.advance(0.0)
    assert [len(flights) for _, flights in page._groups] == [1]
    assert page.beside.value == NOTHING


def test_counterparts_have_the_same_kind_and_period():
    fast, slow = (circle(f"eight_{p}", "figure_eight", period_s=p) for p in (5.5, 15.0))
    recorded = circle("guarded_eight", "figure_eight", period_s=15.0)
    assert counterpart([recorded], [[fast], [slow], [recorded]]) == "eight_15.0"
    assert counterpart([fast], [[fast], [slow], [recorded]]) == NOTHING


def test_past_its_end_a_flight_stays_at_its_last_period():
    assert [row_at(SIMULATED, t) for t in (0.0, 0.0149, 0.02, 99.0)] == [0, 1, 2, 199]


def test_a_machine_on_a_rail_is_shown_along_x(opened):
    along = np.linspace(0.2, 0.4, 50)[:, None]
    columns = {"position": Column(along, "m"), "reference": Column(np.full((50, 1), 0.2), "m")}
    page = opened(Flight("start_0", DT_S, columns, np.zeros(50, np.uint8), {}, {"kind": "start"}))
    page.advance(0.0)
    page.time_s.value = page.time_s.max
    page.advance(0.0)
    assert centre(page) == pytest.approx([0.2, 0.0, 0.0], abs=1e-3)


def test_flights_without_a_position_are_refused_with_what_they_have():
    orbit = Flight("machine", 1.0, {"orbit": Column(np.zeros((3, 80)), "m")}, np.zeros(3, np.uint8))
    with pytest.raises(ContractError, match=r"position .*these have orbit"):
        FlightsPage([orbit], {}, "127.0.0.1", 18080)


def test_from_the_command_line(tmp_path, capsys, monkeypatch):
    run = RunFolder.create("quadrotor", root=tmp_path)
    assert cli.main(["view", str(run.path)]) == 1
    assert "robostack fly" in capsys.readouterr().err
    SIMULATED.save(run.flights / "hover.npz")
    (run.flights / "torn.npz").write_bytes(b"PK")
    assert cli.main(["view", str(run.path), "--seconds", "0.2", "--port", "18080"]) == 0
    out, err = capsys.readouterr()
    assert "1 flights" in out and "http://127.0.0.1:" in out and "torn.npz" in err
    monkeypatch.setitem(sys.modules, "viser", None)
    assert cli.main(["view", str(run.path)]) == 1
    assert "pip install 'robostack[view]'" in capsys.readouterr().err


def test_a_browser_draws_it(opened, browser):
    page = opened(SIMULATED, RECORDED)
    page.advance(0.0)
    page.advance(0.3)
    visit = browser.visit(page.where, "view-flights", size=(900, 500))
    assert [c for c in visit.complaints if "googletagmanager" not in c] == []  # viser's own page asks for that
    until, scene = time.monotonic() + 30.0, (0, 0, 560, 500)
    colours = {BLUE, ORANGE}
    while colours and time.monotonic() < until:
        time.sleep(0.5)
        shown = Image.open(io.BytesIO(browser.picture("view-flights-light"))).convert("RGB").crop(scene)
        there = np.asarray(shown).reshape(-1, 3).astype(int)
        colours = {c for c in colours if not (hues(there) @ hues(np.array([c]))[0] > 0.95).any()}
    assert not colours


def hues(colours):
    """(N, 3) directions of what a colour is besides grey; zero of what is grey."""
    apart = colours - colours.mean(1, keepdims=True)
    size = np.linalg.norm(apart, axis=1, keepdims=True)
    return np.where(size > 25, apart / np.maximum(size, 1e-9), 0.0)
