"""Claims: a frame is head and hands that came together, whether in one message or one by one, and none is waited for in
vain."""

from __future__ import annotations

import time

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_real.headset import poses
from robostack_real.headset.poses import TRACKED, Newest
from robostack_real.headset.steady import SILENT_S

PERIOD_S = 0.014


class Clock:
    """Goes on when a test says so."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(poses, "time", found)
    return found


@pytest.fixture
def newest(clock: Clock) -> Newest:
    """Of a headset that sends its parts one after the other, a millisecond apart, for two periods by now."""
    found = Newest()
    for _ in range(2):
        put(found, clock, *TRACKED)
        clock.now_s += PERIOD_S
    return found


def put(newest: Newest, clock: Clock, *parts: str) -> int:
    """Frames that are there after it."""
    for part in parts:
        newest.put(part, np.zeros(3), quat.IDENTITY)
        clock.now_s += 0.001
    return newest.wait(0.0)


def test_a_frame_is_there_with_the_last_of_its_parts(newest, clock):
    assert [put(newest, clock, part) for part in TRACKED] == [0, 0, 1]


def test_frames_that_were_passed_over_are_counted(newest, clock):
    assert put(newest, clock, *TRACKED, *TRACKED, *TRACKED) == 3
    assert newest.wait(0.0) == 0


def test_a_hand_that_fell_silent_is_not_waited_for(newest, clock):
    assert put(newest, clock, "head", "left_hand") == 0, "the right one may still come"
    clock.now_s += SILENT_S
    put(newest, clock, "head", "left_hand")
    assert put(newest, clock, "head", "left_hand") == 1


def test_silence_ends_the_waiting():
    began = time.monotonic()
    assert Newest().wait(0.05) == 0
    assert 0.04 < time.monotonic() - began < 5.0
