"""A flight as an MCAP file, read back by rosbags."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from robostack.evaluate import bag
from robostack.evaluate.flight import STATUS, Column, Flight
from robostack.evaluate.mend import mend
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


TOPIC = "std_msgs/msg/String"


def write_until_full(path: Path, count: int = 400) -> None:
    """Numbers, each pair of them in the wrong order, as messages of several topics may come."""
    with bag.Bag(path, bag.Messages()) as growing:
        topic = growing.topic("/notes", TOPIC)
        for i in range(count):
            growing.say(topic, BEGAN_NS + (i ^ 1), f"{i ^ 1:05d}" * 200)
            if i % 10 == 9:
                growing.flush()


@pytest.mark.parametrize("room", [3_000, 100_000, 250_000, 401_234])
def test_a_full_disk_is_said_and_what_was_written_can_be_read_by_anybody(tmp_path: Path, room: int) -> None:
    path = tmp_path / "x.mcap"
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_bag import write_until_full\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        f"write_until_full(Path({str(path)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode and "RunFolderError" in done.stderr
    assert "File too large; what was written until then is kept" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["x.mcap"] and path.stat().st_size <= room
    numbers = [int(m.data[:5]) for _, _, m in read(path)]
    assert numbers == list(range(len(numbers))) and len(numbers) > room / 1100 - 12  # ten may wait
    assert by_foxglove(path) == numbers


def by_foxglove(path: Path) -> list[int]:
    """Numbers in time's order, by another reader."""
    with path.open("rb") as file:
        return [int(message.data[8:13]) for _, _, message in make_reader(file).iter_messages()]


def test_a_bag_cut_anywhere_is_mended(tmp_path: Path) -> None:
    cut = tmp_path / "cut.mcap"
    write_until_full(cut, 60)
    whole = cut.read_bytes()
    for size in (len(whole), len(whole) - 1, len(whole) - 30, *range(len(whole) - 100, 1000, -4321)):
        cut.write_bytes(whole[:size])
        assert 0 <= mend(cut) <= 12_000
        numbers = [int(m.data[:5]) for _, _, m in read(cut)]
        assert numbers == list(range(len(numbers))) == by_foxglove(cut) and len(numbers) > size / 1100 - 12
        again = cut.read_bytes()
        mend(cut)
        assert cut.read_bytes() == again  # nothing was wrong with it
    cut.write_bytes(whole[:10])
    with pytest.raises(RunFolderError, match=r"cut\.mcap: cut within its first bytes"):
        mend(cut)
    cut.write_text("not a bag")
    with pytest.raises(RunFolderError, match=r"cut\.mcap: not an MCAP file"):
        mend(cut)


def test_a_bag_is_never_overwritten_and_ends_whole_on_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "x.mcap"

    def interrupted() -> None:
        with bag.Bag(path, bag.Messages()) as growing:
            growing.say(growing.topic("/notes", TOPIC), BEGAN_NS, "one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [m.data for _, _, m in read(path)] == ["one"]
    with pytest.raises(FileExistsError, match="never overwritten"), bag.Bag(path, bag.Messages()):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["x.mcap"]


def test_a_type_that_is_no_standard_message_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RunFolderError, match=r"/x: my_msgs/msg/Own is none of"),
        bag.Bag(tmp_path / "x.mcap", bag.Messages()) as growing,
    ):
        growing.topic("/x", "my_msgs/msg/Own")
