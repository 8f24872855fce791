"""view_node: the running stack on one page, http://127.0.0.1:8765, and a stop request.

Only this machine is served. The button asks the supervisor to stop: it goes by a browser, a thread and a service call,
and is no emergency stop.
"""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from robostack.messages import Topic, WrongMessage, action_topic, observation_topics
from robostack.runtime.loop import EDGES_S
from robostack.spec import Channel
from robostack_real.nodes import wire
from robostack_real.nodes.node import Node

PAGE = Path(__file__).with_name("view.html")
ROLES = ("supervisor", "device", "policy", "setpoint")
HZ = 10.0
NAMES = ("127.0.0.1", "localhost")


class ViewNode(Node):
    ROLE = "view"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare_policy("path of the policy.onnx; only its contract is read here")
        self.declare("port", 8765, "of the page, on 127.0.0.1; 0: any that is free")
        self.state = "unconfigured"
        self._reports: dict[str, wire.Report] = {}
        self._values: dict[str, list[float]] = {}
        self._asked = threading.Event()
        self.shown = json.dumps({})
        """what the page shows, made anew `HZ` times a second"""

    def configure(self) -> None:
        self.period_s = 1.0 / HZ
        policy = self.load()
        spec = self._spec = policy.spec
        self._policy_hash = policy.policy_hash
        topics: list[Topic] = [*observation_topics(spec), action_topic(spec)]
        for topic in topics:
            self.create_subscription(wire.message_type(topic.type), topic.name, partial(self._heard, topic),
                                     wire.listened())  # fmt: skip
        for role in ROLES:
            self.create_subscription(wire.message_type(wire.STATUS_TYPE), f"{role}_status",
                                     partial(self._told, role), wire.listened())  # fmt: skip
        from std_srvs.srv import Trigger

        self._stop = self.create_client(Trigger, "supervisor/stop")
        self._request = Trigger.Request()
        self._contract = {
            "task": spec.task, "policy_hash": self._policy_hash, "rate_hz": 1.0 / spec.control_dt_s,
            "edges_s": EDGES_S,
            "channels": [
                {"name": c.name, "elements": c.element_names, "unit": c.unit, "low": c.per_element("low"),
                 "high": c.per_element("high"), "max_age_s": c.max_age_s}
                for c in spec.observations if isinstance(c, Channel)
            ],
            "actions": [
                {"name": a.name, "elements": a.elements, "unit": a.unit, "low": a.low, "high": a.high}
                for a in spec.actions
            ],
        }  # fmt: skip
        self._server = ThreadingHTTPServer(("127.0.0.1", int(self.value("port"))), partial(_Handler, self))
        self._server.daemon_threads = True
        self.state = "serving"

    def activate(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="page", daemon=True).start()
        self.get_logger().info(f"http://127.0.0.1:{self._server.server_address[1]}")

    def deactivate(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def tick(self, missed: int) -> None:
        if self._asked.is_set():
            self._asked.clear()
            self.get_logger().warning("stop requested from the page")
            self._stop.call_async(self._request)
        self.shown = json.dumps(self._snapshot())
        self.tell(self.state)

    def report(self) -> wire.Report:
        return wire.Report(self.ROLE, self.session, self.state, {})

    def contract(self) -> str:
        return json.dumps(self._contract)

    def request_stop(self) -> bool:
        """From the page's thread; false when no supervisor is there to be asked."""
        self._asked.set()
        return bool(self._stop.service_is_ready())

    def _snapshot(self) -> dict[str, Any]:
        nodes = {
            role: {"state": r.state, "level": r.level, "age_s": r.age_s(), "session": r.session, "values": r.values}
            for role, r in self._reports.items()
        }
        return {"time_s": time.time(), "nodes": nodes, "values": self._values}

    def _heard(self, topic: Topic, message: Any) -> None:
        try:
            values = topic.read(message)
        except WrongMessage:
            return  # policy_node says what is wrong
        # what is no number has no place in JSON
        self._values |= {n: [float(x) if abs(x) < 1e30 else None for x in v] for n, v in values.items()}  # type: ignore[misc]

    def _told(self, role: str, message: Any) -> None:
        self._reports[role] = wire.Report.of(message)


class _Handler(BaseHTTPRequestHandler):
    """GET / the page, /contract once, /state as server-sent events; POST /stop."""

    protocol_version = "HTTP/1.1"

    def __init__(self, node: ViewNode, *args: Any) -> None:
        self._node = node
        super().__init__(*args)

    def do_GET(self) -> None:
        if not self._ours():
            return
        if self.path == "/":
            self._answer(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif self.path == "/contract":
            self._answer(200, "application/json", self._node.contract().encode())
        elif self.path == "/state":
            self._stream()
        else:
            self._answer(404, "text/plain", b"there is /, /contract, /state\n")

    def do_POST(self) -> None:
        if not self._ours():
            return
        if self.path != "/stop":
            self._answer(404, "text/plain", b"there is /stop\n")
        elif self._node.request_stop():
            self._answer(202, "text/plain", b"asked the supervisor to stop\n")
        else:
            self._answer(503, "text/plain", b"no supervisor answers: use the machine's own switch\n")

    def _ours(self) -> bool:
        """A page of somebody else's, by another name for this address, gets nothing."""
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if host not in NAMES:
            self._answer(403, "text/plain", b"only by 127.0.0.1 or localhost\n")
        return host in NAMES

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(f"data: {self._node.shown}\n\n".encode())
                self.wfile.flush()
                time.sleep(1.0 / HZ)
        except OSError:  # the page was closed
            self.close_connection = True

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing for each request."""
