"""Claims: in a browser the page finds a headset, sends what it tracks over HTTPS, survives the loss of the computer,
and its console stays empty."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("websockets")
pytest.importorskip("cryptography")

from browser import Page

from robostack import quaternion as quat
from robostack_real.headset.webxr import WebXrHeadset

AWAY = "WebSocket connection to"
"""how a browser says that nobody answers; a page cannot keep it from that"""


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, Path]:
    """Where the computer listens: as from a network, so that it is HTTPS."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "0.0.0.0", int(probe.getsockname()[1]), tmp_path_factory.mktemp("kept") / "webxr.pem"


@pytest.fixture
def headset(at: tuple[str, int, Path]) -> Iterator[WebXrHeadset]:
    with WebXrHeadset(*at) as found:
        yield found


@pytest.fixture(scope="module")
def page(need_tool: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    chromium = need_tool("chromium", "chromium-browser", "google-chrome")
    emulated = Path(__file__).with_name("emulated_xr.js").read_text(encoding="utf-8")
    with Page(chromium, tmp_path_factory.mktemp("profile"), before=emulated) as found:
        yield found


def start(page: Page, headset: WebXrHeadset, port: int) -> None:
    """Opens the page and presses its button."""
    page.open("about:blank")
    page.complaints.clear()
    page.open(f"https://127.0.0.1:{port}/")
    page.until("document.getElementById('link').textContent === 'connected'")
    page.until("!document.getElementById('start').disabled")
    assert page.text("xr") == "ready"
    page.evaluate("document.getElementById('start').click()")
    until(lambda: len(headset.read()) == 3)


@pytest.fixture
def tracking(page: Page, headset: WebXrHeadset, at: tuple[str, int, Path]) -> Page:
    start(page, headset, at[1])
    return page


def move(page: Page, part: str, numbers: list[float] | None) -> None:
    page.evaluate(f"emulated.poses.{part} = {json.dumps(numbers)}; 0")


def test_head_and_hands_arrive_in_our_axes_until_they_are_not_seen(tracking, headset):
    # one metre to the right, 1.5 up, two ahead, turned left by 90 degrees
    move(tracking, "left", [1.0, 1.5, -2.0, 0.0, 0.5**0.5, 0.0, 0.5**0.5])
    until(lambda: headset.read()["left_hand"].position_m == pytest.approx([2.0, -1.0, 1.5]))
    assert quat.yaw(headset.read()["left_hand"].rotation) == pytest.approx(0.5 * 3.14159265, abs=1e-6)
    move(tracking, "right", None)
    until(lambda: headset.read()["right_hand"].age_s > 0.3)
    assert headset.read()["head"].age_s < 0.3 and headset.read()["left_hand"].age_s < 0.3
    assert tracking.text("xr") == "tracking"
    assert tracking.complaints == []


def test_a_session_that_ends_can_be_started_again(tracking, headset):
    tracking.evaluate("emulated.session.end()")
    assert tracking.text("xr") == "ended; start again"
    until(lambda: headset.read()["head"].age_s > 0.2)
    tracking.evaluate("document.getElementById('start').click()")
    until(lambda: headset.read()["head"].age_s < 0.1)
    assert tracking.complaints == []


def test_it_connects_again_when_the_computer_was_started_anew(page, at):
    with WebXrHeadset(*at) as first:
        start(page, first, at[1])
    page.until("document.getElementById('link').textContent.startsWith('lost')")
    time.sleep(0.5)
    with WebXrHeadset(*at) as anew:
        until(lambda: len(anew.read()) == 3)
        assert page.text("link") == "connected"
        assert anew.wait(1.0) >= 1
        assert [c for c in page.complaints if AWAY not in c] == []
