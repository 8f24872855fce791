"""Claims: what a headset sent is played as it came, gaps and all, and a file that is no recording is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_real.headset.played import HeadsetRecorder, PlayedHeadset, is_stream
from robostack_real.headset.poses import Newest

PERIOD_S = 0.01


class Sent(Newest):
    where = "test"

    def __enter__(self) -> Sent:
        return self

    def __exit__(self, *exc: object) -> None: ...


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Thirty periods; the head rises, a hand is never seen, the other one only in the first ten."""
    headset = Sent()
    with HeadsetRecorder(headset, tmp_path / "kept.npz") as recorder:
        for k in range(30):
            headset.put("head", np.array([0.0, 0.0, 1.0 + 0.01 * k]), quat.IDENTITY)
            if k < 10:
                headset.put("left_hand", np.array([0.0, 0.5, 1.0]), np.array([2.0, 0.0, 0.0, 0.0]))
            recorder.read()
            time.sleep(PERIOD_S)
    return tmp_path / "kept.npz"


def test_what_was_kept_is_played_with_its_gaps(recorded):
    assert is_stream(recorded)
    played = PlayedHeadset.load(recorded)
    end_s = float(played._time_s[-1])
    last, early = played.at(end_s), played.at(5 * PERIOD_S)
    assert last["head"].position_m == pytest.approx([0.0, 0.0, 1.29]) and last["head"].age_s == 0.0
    assert last["left_hand"].age_s > 15 * PERIOD_S > early["left_hand"].age_s + 10 * PERIOD_S
    assert last["left_hand"].rotation == pytest.approx(quat.IDENTITY)
    assert "right_hand" not in last


def test_each_frame_is_waited_for_as_it_was_sent(recorded):
    with PlayedHeadset.load(recorded) as played:
        began, frames = time.monotonic(), 0
        while not played.over:
            frames += played.wait(1.0)
    assert frames == 30
    assert time.monotonic() - began == pytest.approx(float(played._time_s[-1]), abs=0.1)
    assert played.wait(0.01) == 0, "nothing comes after the end"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"seen": None}, "is no recorded stream"),
        ({"time_s": np.zeros(30)}, "times do not go on"),
        ({"position_m": np.full((30, 3, 3), np.nan)}, "a position is no number"),
        ({"rotation": np.zeros((30, 3, 4))}, "no length"),
        ({"rotation": np.zeros((29, 3, 4))}, "do not fit"),
        ({"time_s": np.array([])}, "do not fit"),
    ],
)
def test_a_damaged_recording_is_refused(recorded, spoil, said):
    with np.load(recorded) as file:
        fields: dict[str, Any] = {**file} | spoil
    np.savez(recorded, **{k: v for k, v in fields.items() if v is not None})
    with pytest.raises(ValueError, match=said):
        PlayedHeadset.load(recorded)
    recorded.write_bytes(recorded.read_bytes()[:100])
    assert not is_stream(recorded)
    with pytest.raises(ValueError, match="is no recorded stream"):
        PlayedHeadset.load(recorded)
