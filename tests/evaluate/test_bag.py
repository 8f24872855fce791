"""A flight as an MCAP file, read back by rosbags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from robostack.evaluate import bag
from robostack.evaluate.flight import STATUS, Column, Flight
from robostack.registry import MissingExtraError
from robostack.run_folder import RunFolderError

BEGAN_NS = 1_700_000_000_000_000_000


@pytest.fixture
def flight() -> Flight:
    rows = np.arange(5.0)
    still = np.tile([1.0, 0.0, 0.0, 0.0], (5, 1))
    columns = {
        "position": Column(np.stack([rows, rows, rows], 1), "m"), "velocity": Column(np.ones((5, 3)), "m/s"),
        "attitude": Column(still, "1"), "reference": Column(np.zeros((5, 3)), "m"),
        "action": Column(np.full((5, 4), 7.0), "rad/s", ("a", "b", "c", "d")), "supply": Column(np.full(5, 3.9), "V"),
    }  # fmt: skip
    status = [STATUS.index(s) for s in ("stock", "stock", "policy", "policy", "stock")]
    return Flight("guarded_hover", 0.02, columns, np.array(status, np.uint8), {}, {"kind": "hover"})


def read(path: Path) -> list[tuple[str, int, Any]]:
    with AnyReader([path]) as reader:
        return [(c.topic, t, reader.deserialize(raw, c.msgtype)) for c, t, raw in reader.messages()]


def test_every_row_of_a_flight_is_in_the_bag(flight: Flight, tmp_path: Path) -> None:
    found = read(bag.save(flight, tmp_path / "x.mcap", BEGAN_NS))
    odom = [(t, m) for topic, t, m in found if topic == "odom"]
    assert [t for t, _ in odom] == [BEGAN_NS + 20_000_000 * i for i in range(5)]
    assert [m.pose.pose.position.x for _, m in odom] == [0, 1, 2, 3, 4]
    assert odom[3][1].header.stamp.nanosec == 60_000_000
    assert np.isnan(odom[0][1].twist.twist.angular.x)  # nobody measured it
    actions = [m for topic, _, m in found if topic == "action"]
    assert actions[0].name == ["a", "b", "c", "d"] and actions[0].velocity.tolist() == [7.0] * 4
    assert [m.voltage for topic, _, m in found if topic == "supply"] == pytest.approx([3.9] * 5)
    assert [m.data for topic, _, m in found if topic == "about"] == ['{"name": "guarded_hover", "kind": "hover"}']


def test_the_status_is_told_when_it_changes(flight: Flight, tmp_path: Path) -> None:
    said = [(t - BEGAN_NS, m.data) for topic, t, m in read(bag.save(flight, tmp_path / "x.mcap", BEGAN_NS))
            if topic == "status"]  # fmt: skip
    assert said == [(0, "stock"), (40_000_000, "policy"), (80_000_000, "stock")]


def test_a_bag_that_cannot_be_written_leaves_nothing(flight: Flight, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"x\.mcap cannot be written"):
        bag.save(flight, tmp_path / "file" / "x.mcap")
    blocked = tmp_path / "x.mcap"
    blocked.mkdir()
    with pytest.raises(RunFolderError):
        bag.save(flight, blocked)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "x.mcap"]


def test_without_rosbags_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    with pytest.raises(MissingExtraError, match=r"robostack\[record\]"):
        bag.Messages()
