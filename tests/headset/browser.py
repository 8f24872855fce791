"""A page in a Chromium without a window, driven by the DevTools protocol."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import connect

START_S = 60.0
FLAGS = ("--headless", "--no-sandbox", "--no-first-run", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
         "--ignore-certificate-errors", "--remote-debugging-port=0")  # fmt: skip


class Page:
    """`complaints` is what a console shows in yellow and red, as far as it was listened to: by `evaluate`."""

    def __init__(self, chromium: str, profile: Path, *, before: str) -> None:
        """`before` is run in every document before its own scripts."""
        self._profile, self._before = profile, before
        self._command = [chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.complaints: list[str] = []
        self._count = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._line = connect(self._address(), max_size=None, ping_interval=None)
        except BaseException:
            self._process.kill()
            raise
        self._socket = self._line.__enter__()
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._call("Page.addScriptToEvaluateOnNewDocument", source=self._before)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._line.__exit__(*exc)
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, url: str) -> None:
        failed = self._call("Page.navigate", url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        self.until("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self, element: str) -> str:
        return str(self.evaluate(f"document.getElementById('{element}').textContent"))

    def until(self, expression: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"not in {seconds:g} s: {expression}; {self.complaints}"
            time.sleep(0.02)

    def _address(self) -> str:
        """Of the one page, once the browser has said at which port it listens."""
        said, end = self._profile / "DevToolsActivePort", time.monotonic() + START_S
        while not (said.exists() and said.read_text().count("\n")):
            assert self._process.poll() is None and time.monotonic() < end, "the browser did not start"
            time.sleep(0.02)
        port = said.read_text().splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            return str(next(t for t in json.load(answer) if t["type"] == "page")["webSocketDebuggerUrl"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=START_S))
            if message.get("id") == self._count:
                assert "error" not in message, message
                return dict(message["result"])
            self._hear(message.get("method", ""), message.get("params", {}))

    def _hear(self, event: str, about: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(about["args"]))
        elif event == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(about["entry"]["text"])
