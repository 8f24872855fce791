"""Claims: a frame is head and hands that came together, whether in one message or one by one, and none is waited for in
vain."""

from __future__ import annotations

import time

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_real.headset.poses import TRACKED, Newest
from robostack_real.headset.steady import SILENT_S

PERIOD_S = 0.014


@pytest.fixture
def newest() -> Newest:
    """Of a headset that sends all of its parts, one after the other."""
    found = Newest()
    for _ in range(2):
        for part in TRACKED:
            found.put(part, np.zeros(3), quat.IDENTITY)
        time.sleep(PERIOD_S)
    found.wait(0.0)
    return found


def put(newest: Newest, *parts: str) -> int:
    """Frames that are there after it."""
    for part in parts:
        newest.put(part, np.zeros(3), quat.IDENTITY)
    return newest.wait(0.0)


def test_a_frame_is_there_with_the_last_of_its_parts(newest):
    assert [put(newest, part) for part in TRACKED] == [0, 0, 1]


def test_frames_that_were_passed_over_are_counted(newest):
    newest.wait(0.0)
    for _ in range(3):
        for part in TRACKED:
            newest.put(part, np.zeros(3), quat.IDENTITY)
    assert newest.wait(1.0) == 3 and newest.wait(0.0) == 0


def test_a_hand_that_fell_silent_is_not_waited_for(newest):
    assert put(newest, "head", "left_hand") == 0, "the right one may still come"
    time.sleep(SILENT_S)
    put(newest, "head", "left_hand")
    assert put(newest, "head", "left_hand") == 1


def test_silence_ends_the_waiting(newest):
    began = time.monotonic()
    assert newest.wait(0.05) == 0
    assert 0.04 < time.monotonic() - began < 1.0
