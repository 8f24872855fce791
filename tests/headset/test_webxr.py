"""Claims: a browser gets the page and its poses arrive in our axes; a second headset and nonsense change nothing."""

from __future__ import annotations

import json
import socket
import ssl
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from robostack import quaternion as quat
from robostack_real.headset.webxr import SILENT_S, WebXrHeadset

LOOKS_AHEAD = [0.0, 0.0, 0.0, 1.0]


def until(true: Callable[[], bool], seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def headset(port: int) -> Iterator[WebXrHeadset]:
    with WebXrHeadset(port=port) as found:
        yield found


def test_the_page_is_there_and_nothing_else(headset):
    with urllib.request.urlopen(headset.where) as answer:
        page = answer.read().decode()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8" and "requestSession" in page
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(headset.where + "secret")


def test_poses_arrive_in_our_axes(headset, port):
    with connect(f"ws://127.0.0.1:{port}/") as page:
        # one metre to the right, 1.6 up, two ahead
        page.send(json.dumps({"head": [1.0, 1.6, -2.0, *LOOKS_AHEAD], "left_hand": None}))
        until(lambda: "head" in headset.read())
        pose = headset.read()["head"]
        assert pose.position_m == pytest.approx([2.0, -1.0, 1.6]) and pose.rotation == pytest.approx(quat.IDENTITY)
        assert "left_hand" not in headset.read()
    until(lambda: any("page closed" in line for line in headset.told()))


def test_one_headset_sends_at_a_time_and_another_takes_over_when_it_fell_silent(headset, port):
    def head(z: float) -> str:
        return json.dumps({"head": [0.0, z, 0.0, *LOOKS_AHEAD]})

    with connect(f"ws://127.0.0.1:{port}/") as first, connect(f"ws://127.0.0.1:{port}/") as second:
        first.send(head(1.6))
        until(lambda: "head" in headset.read())
        second.send(head(1.7))
        with pytest.raises(ConnectionClosed, match="another headset sends"):
            second.recv(timeout=3)
        assert any("sent away" in line for line in headset.told())
        assert headset.read()["head"].position_m[2] == pytest.approx(1.6)
        time.sleep(SILENT_S)
        # its line is still open: a headset that lost its network does not close it
        with connect(f"ws://127.0.0.1:{port}/") as third:
            third.send(head(1.8))
            until(lambda: headset.read()["head"].position_m[2] == pytest.approx(1.8))


def test_a_frame_is_waited_for(headset, port):
    with connect(f"ws://127.0.0.1:{port}/") as page:
        page.send(json.dumps({"head": [0.0, 1.6, 0.0, *LOOKS_AHEAD]}))
        assert headset.wait(3.0) == 1
        assert headset.wait(0.01) == 0


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{", "not a message of our page"),
        ("[1]", "not an object"),
        ('{"head": [1, 2]}', "head has 2 numbers, not 7"),
        ('{"head": [0, 1e999, 0, 0, 0, 0, 1]}', "a position is no number"),
        ('{"head": "up"}', "not a message"),
    ],
)
def test_what_is_no_pose_is_said_and_changes_nothing(message, said):
    headset = WebXrHeadset()
    headset.hear(json.dumps({"head": [0.0, 1.6, 0.0, *LOOKS_AHEAD]}))
    headset.hear(message)
    assert any(said in line for line in headset.told())
    assert headset.read()["head"].position_m == pytest.approx([0.0, 0.0, 1.6])


def test_off_this_machine_it_is_https_with_a_certificate_of_its_own(tmp_path: Path, port: int):
    pytest.importorskip("cryptography")
    pem = tmp_path / "kept" / "webxr.pem"
    with WebXrHeadset("0.0.0.0", port, pem):
        assert stat.S_IMODE(pem.stat().st_mode) == 0o600
        kept = pem.read_bytes()
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=trusting) as answer:
            assert b"requestSession" in answer.read()
    with WebXrHeadset("0.0.0.0", port, pem):
        assert pem.read_bytes() == kept, "the one that the browser knows"
    with pytest.raises(ConnectionError, match="a certificate is needed"), WebXrHeadset("0.0.0.0", port):
        pass
