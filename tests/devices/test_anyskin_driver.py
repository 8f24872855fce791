"""Claims: the driver reads a skin's every frame, says what cannot be believed, and survives being unplugged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from robostack_real.devices.anyskin import LIMIT_UT, AnySkin, Board
from robostack_real.link.errors import LinkLost, NoAnswer, PortAbsent
from robostack_real.twins.anyskin import VirtualSkin, untouched


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[VirtualSkin]:
    with VirtualSkin(tmp_path / "skin", script=untouched) as twin:
        yield twin


@pytest.fixture
def skin(twin: VirtualSkin) -> Iterator[AnySkin]:
    with AnySkin(str(twin.link)) as skin:
        yield skin


def becomes(true: Callable[[], bool], within_s: float = 3.0) -> bool:
    end = time.monotonic() + within_s
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


def later(skin: AnySkin, least: int = 5) -> list:
    """So many readings from now on, or more."""
    skin.read_all()
    found: list = []
    assert becomes(lambda: len(found.extend(skin.read_all()) or found) >= least)
    return found


def test_it_reads_what_the_board_sent_without_what_was_there_before(twin, skin):
    found = np.mean([t.values for t in later(skin, 40)], 0)
    assert np.abs(skin.baseline_ut).max() > 2.0  # of the magnetised skin alone
    assert np.abs(found).max() < 0.5
    newest = later(skin)[-1]
    assert newest.age_s < 0.2 and newest.valid.all()
    sent = np.array([skin.board.from_wire(f[:, 1:]) for f in list(twin.sent)])
    assert np.abs(sent - newest.values - skin.baseline_ut).max((1, 2)).min() < 1e-3
    twin.script = lambda _: (0.0, 0.0, 0.0008)
    assert becomes(lambda: np.abs(later(skin)[-1].values).max() > 5.0)
    assert skin.dropped == 0 and skin.state == "live"


def test_frames_that_are_cut_are_counted_and_the_next_are_read(twin, skin):
    before = skin.frames
    for size in (1, 40, 81):
        twin.lose = size
        assert becomes(lambda: twin.lose == 0)
        time.sleep(0.02)
    twin.inject = b"\r\n\0noise\r\n"
    assert becomes(lambda: skin.dropped >= 4)
    assert becomes(lambda: skin.frames > before + 20) and skin.dropped < 10


def test_a_dead_magnetometer_and_one_at_its_limit_are_declared_in_the_contracts_order(twin, skin):
    chip_left, chip_down = 1, 4
    twin.dead.add(chip_left)
    twin.saturated.add(chip_down)
    assert becomes(lambda: skin.dead.sum() > 0)
    last = later(skin)[-1]
    assert last.valid[:, 0].tolist() == [True, True, False, False, True]  # +y, -x
    assert skin.dead.tolist() == [False, False, False, True, False]
    twin.dead.clear()
    twin.saturated.clear()
    assert becomes(lambda: later(skin)[-1].valid.sum() == 5)


def test_unplugged_it_says_so_and_back_it_goes_on_with_its_baseline(twin, skin):
    baseline = skin.baseline_ut.copy()
    twin.unplug()
    assert becomes(lambda: skin.state == "unplugged")
    with pytest.raises(LinkLost, match="unplugged"):
        skin.read()
    twin.plug()
    assert becomes(lambda: skin.state == "live")
    assert np.abs(np.mean([t.values for t in later(skin, 40)], 0)).max() < 0.5
    assert skin.reconnects == 1 and np.array_equal(skin.baseline_ut, baseline)


def test_a_board_that_falls_silent_is_silent_and_has_no_news(twin, skin):
    twin.rate_hz = 1.0
    assert becomes(lambda: skin.state == "silent")
    skin.read()
    assert skin.read() is None


def test_what_is_no_skin_is_told_what_is_wrong_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("robostack_real.devices.anyskin.TARE_S", 0.2)
    with pytest.raises(PortAbsent, match="no such port"), AnySkin(str(tmp_path / "none")):
        pass
    ours, theirs = os.openpty()
    try:
        with pytest.raises(NoAnswer, match="nothing came in"), AnySkin(os.ttyname(theirs)):
            pass
        os.write(ours, b"")
        skin = AnySkin(os.ttyname(theirs))
        reset = AnySkin._open

        def text_comes(self: AnySkin) -> None:
            reset(self)
            os.write(ours, b"25.1 -13.2 45.7 99.1\r\n" * 20)

        monkeypatch.setattr(AnySkin, "_open", text_comes)
        with pytest.raises(NoAnswer, match=r"440 bytes came and no frame of 82.*5X_binary_burst_stream"), skin:
            pass
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_boards_order_and_turns_go_there_and_back():
    board, random = Board(), np.random.default_rng(0)
    field = random.normal(size=(5, 3)).astype(np.float32)
    assert board.to_wire(board.from_wire(field)) == pytest.approx(field)
    assert board.from_wire(board.to_wire(field)) == pytest.approx(field)
    east = np.zeros((5, 3), np.float32)
    east[2] = (1.0, 0.0, 0.5)  # the chip on the right, turned half round
    assert board.from_wire(east)[1].tolist() == [-1.0, 0.0, 0.5]
    assert LIMIT_UT[0] == pytest.approx(4915.05)
