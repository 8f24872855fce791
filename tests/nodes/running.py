"""A listener in a DDS domain of its own, and a running stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_srvs.srv import SetBool, Trigger

from robostack_real.nodes import wire
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.quadrotor import quadrotor
from robostack_real.stacks.stack import NodeDescription, Request, Stack

ANSWER_S = 2.0
WAIT_S = 20.0
"""for what may take long on a loaded machine and is not what a test is about; discovery alone may take 3 s"""


class Ear:
    """A node of the test's own: keeps the newest of every topic it was told to listen to, with arrival times."""

    def __init__(self, domain: int) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("ear", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.newest: dict[str, Any] = {}
        self.reports: dict[str, wire.Report] = {}

    def listen(self, topic: str, type_name: str) -> None:
        def heard(message: Any) -> None:
            self.newest[topic] = message
            if type_name == wire.STATUS_TYPE:
                self.reports[topic] = wire.Report.of(message)

        self.node.create_subscription(wire.message_type(type_name), topic, heard, wire.listened())

    def keep(self, topic: str, type_name: str) -> list[tuple[float, Any]]:
        """All that comes on it, with the times at which it was sent, s."""
        heard: list[tuple[float, Any]] = []
        quality = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)

        def keep(message: Any, info: Any) -> None:
            heard.append((info["source_timestamp"] * 1e-9, message))

        self.node.create_subscription(wire.message_type(type_name), topic, keep, quality)
        return heard

    def report(self, role: str) -> wire.Report | None:
        """The newest, with the time that it came."""
        return self.reports.get(f"{role}_status")

    def state(self, role: str) -> str:
        found = self.report(role)
        return found.state if found else ""

    def until(self, true: Callable[[], object], what: str, seconds: float = WAIT_S) -> None:
        """Listens until `true()`."""
        end = time.monotonic() + seconds
        while not true():
            states = {r: (s.state, s.values.get("why")) for r in ROLES if (s := self.report(r))}
            assert time.monotonic() < end, f"not in {seconds:g} s: {what}; states {states}"
            self._executor.spin_once(0.02)

    def for_s(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(left)

    def ask(self, service: str) -> Any:
        """Calls a service of the supervisor; its response."""
        kind, request = (SetBool, SetBool.Request(data=True)) if service == "estop" else (Trigger, Trigger.Request())
        client = self.node.create_client(kind, f"/supervisor/{service}")
        self.until(client.service_is_ready, f"service {service}")
        for _ in range(round(WAIT_S / ANSWER_S)):  # until both ends have found each other, DDS may lose an answer
            answer = client.call_async(request)
            end = time.monotonic() + ANSWER_S
            while not answer.done() and time.monotonic() < end:
                self._executor.spin_once(0.02)
            if answer.done():
                return answer.result()
        raise AssertionError(f"no answer of {service} in {WAIT_S:g} s")

    def reset(self) -> None:
        """As soon as the supervisor knows that the device has stopped."""
        self.until(lambda: self.ask("reset").success or self.state("supervisor") == "idle", "reset")

    def start(self) -> None:
        """Has the supervisor start, once it has heard of everybody."""
        said: list[str] = []

        def started() -> bool:
            answer = self.ask("start")
            said.append(answer.message)
            # asked again after a lost answer, it has started already
            return bool(answer.success) or self.state("supervisor") in ("soft_start", "active")

        try:
            self.until(started, "started")
        except AssertionError as error:
            raise AssertionError(f"{error}; {said[-1:]}") from None

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


ROLES = ("policy", "device", "supervisor", "setpoint")


class Running(Processes):
    """The quadrotor stack, or another; `lines` is all that its nodes said."""

    def __init__(
        self,
        policy: Path,
        domain: int,
        stack: Stack = quadrotor,
        environment: Mapping[str, str] | None = None,
        **asked: Any,
    ) -> None:
        self.lines: list[str] = []
        request = Request(policy, start=False, fifo=50, view_port=0, **asked)
        self.described = {n.role: n for n in stack.describe(request)}
        super().__init__(
            tuple(self.described.values()),
            environment={"ROS_DOMAIN_ID": str(domain), **(environment or {})},
            show=lambda role, line: self.lines.append(f"{role}: {line}"),
        )

    def await_ready(self, ear: Ear) -> None:
        try:
            ear.until(lambda: ear.state("policy") == "ready" and ear.state("device") == "disarmed", "the stack is up")
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(self.lines)) from None

    def again(self, role: str) -> NodeDescription:
        self.start(self.described[role])
        return self.described[role]


def alive(pid: int) -> bool:
    """And no zombie that nobody has waited for."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
