"""A real browser without a window, spoken to by its DevTools protocol: what a page complains of and asks for, and how
it looks. Pictures stay in build/screenshots/, for somebody to look at.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from websockets.sync.client import connect

SCREENSHOTS = Path(__file__).resolve().parent.parent / "build" / "screenshots"
PATIENCE_S = 120.0


@dataclass
class Visit:
    """What came of loading a page."""

    complaints: list[str] = field(default_factory=list)
    """errors on its console, and exceptions"""
    asked: list[str] = field(default_factory=list)
    """every address that it asked for, its own first"""
    picture: bytes = b""
    """PNG of all of it"""


MAX_BYTES = 3_000_000
"""of a report"""


class Browser:
    """One process for many visits. WebGL is drawn by the CPU."""

    def __init__(self, chromium: str, profile: Path) -> None:
        flags = ("--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars", "--use-angle=swiftshader",
                 "--enable-unsafe-swiftshader", "--remote-debugging-port=0", f"--user-data-dir={profile}")  # fmt: skip
        self._process = subprocess.Popen([chromium, *flags, "about:blank"], stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"ws://127\.0\.0\.1:(\d+)/", line):
                break
        else:
            raise RuntimeError("chromium did not come up")
        asked = urllib.request.Request(f"http://127.0.0.1:{found[1]}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(asked) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        self._open = ExitStack()
        self._line = self._open.enter_context(connect(address, max_size=None, close_timeout=1.0, ping_interval=None))
        self._count = 0
        self._events: list[dict] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def visit(self, uri: str, name: str, *, dark: bool = False, size: tuple[int, int] = (1240, 1000)) -> Visit:
        """Loads a page in light or dark, and keeps its picture as `name`."""
        scheme = "dark" if dark else "light"
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        width, height = size
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._load("about:blank")  # or what the page before still has to complain of would be this one's
        self._load(uri)
        found = Visit(picture=self.picture(f"{name}-{scheme}"))
        for event in self._events:
            said = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.complaints.append(json.dumps(said["exceptionDetails"])[:500])
            elif event["method"] == "Log.entryAdded" and said["entry"]["level"] == "error":
                found.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
            elif event["method"] == "Runtime.consoleAPICalled" and said["type"] == "error":
                found.complaints.append(str(said["args"])[:500])
            elif event["method"] == "Network.requestWillBeSent":
                found.asked.append(said["request"]["url"])
        return found

    def _load(self, uri: str) -> None:
        self._events.clear()
        self._call("Page.navigate", url=uri)
        end = time.monotonic() + PATIENCE_S
        while not any(e["method"] == "Page.loadEventFired" for e in self._events):
            self._hear(end)

    def picture(self, name: str) -> bytes:
        """PNG of the page as it is now, kept as `name`."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        data = base64.b64decode(shot["data"])
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / f"{name}.png").write_bytes(data)
        return data

    def text(self, selector: str) -> str:
        """Of the first element that fits, once it is on the page."""
        end = time.monotonic() + PATIENCE_S
        look = f"document.querySelector({json.dumps(selector)})?.innerText ?? null"
        while (found := self._call("Runtime.evaluate", expression=look)["result"].get("value")) is None:
            assert time.monotonic() < end, f"{selector}: not on the page"
            time.sleep(0.05)
        return str(found)

    def check_report(self, page: Path, name: str) -> list[bytes]:
        """Fails on a page that complains, asks for anything but itself, or is too large. Returns its pictures, light
        and dark."""
        assert page.stat().st_size < MAX_BYTES
        pictures = []
        for dark in (False, True):
            visit = self.visit(page.as_uri(), name, dark=dark)
            assert visit.complaints == [], visit.complaints
            assert [uri for uri in visit.asked if not uri.startswith("data:")] == [page.as_uri()]
            pictures.append(visit.picture)
        return pictures

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._open.close()

    def _call(self, method: str, **params: object) -> dict:
        self._count += 1
        self._line.send(json.dumps({"id": self._count, "method": method, "params": params}))
        end = time.monotonic() + PATIENCE_S
        while True:
            message = self._hear(end)
            if message.get("id") == self._count:
                assert "error" not in message, message["error"]
                return message["result"]

    def _hear(self, end: float) -> dict:
        """The next message; an event is kept."""
        message: dict = json.loads(self._line.recv(timeout=max(0.0, end - time.monotonic())))
        if "method" in message:
            self._events.append(message)
        return message
