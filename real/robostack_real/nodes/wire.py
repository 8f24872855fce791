"""What every node has in common on the wire: messages by name, qualities of service, status, who is speaking.

rclpy may come from its PyPI wheels (the `ros` extra) or from a sourced ROS 2 Jazzy; nothing here tells them apart.
"""

from __future__ import annotations

import importlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from robostack.registry import MissingExtraError

STATUS_TYPE = "diagnostic_msgs/msg/DiagnosticStatus"
STATUS_PERIOD_S = 0.05
"""A node tells its state as often, and at once when it changes."""


def ros() -> Any:
    """rclpy. Raises MissingExtraError saying both ways to get it."""
    try:
        return importlib.import_module("rclpy")
    except ImportError as error:
        raise MissingExtraError(
            "nodes need rclpy: source an installed ROS 2 (`. /opt/ros/jazzy/setup.sh`), or, on x86-64 without one, "
            f"pip install 'robostack[ros]' ({error})"
        ) from error


def message_type(name: str) -> Any:
    """The class behind a name such as nav_msgs/msg/Odometry. Raises MissingExtraError."""
    package, _, kind = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError) as error:
        raise MissingExtraError(
            f"{name} is not installed: pip install ros-jazzy-{package.replace('_', '-')}, or source the ROS workspace "
            "that has it"
        ) from error


def new(name: str) -> Any:
    return message_type(name)()


def newest() -> Any:
    """For what is worth nothing once there is something newer. A sender offers to repeat what gets lost, so that it
    fits listeners of either kind."""
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


def listened() -> Any:
    """`newest`, from any sender, and nobody waits for us."""
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def kept() -> Any:
    """For what a latecomer has to know: the last message waits for him."""
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def session(role: str) -> str:
    """A name for this life of a process: one that was killed and started again is another sender."""
    return f"{role}-{uuid.uuid4().hex[:8]}"


def put_stamp(header: Any, time_ns: int) -> None:
    header.stamp.sec, header.stamp.nanosec = divmod(time_ns, 10**9)


def stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


@dataclass
class Report:
    """What a node says of itself, as a DiagnosticStatus: `state` is its message, `session` its hardware_id."""

    name: str
    session: str
    state: str
    values: dict[str, str] = field(default_factory=dict)
    level: int = 0
    """0 as it should be, 1 worth a look, 2 wrong"""
    arrived_s: float = 0.0
    """by this machine's monotonic clock"""

    def put(self, message: Any) -> Any:
        value = message_type("diagnostic_msgs/msg/KeyValue")
        message.level = bytes([self.level])
        message.name, message.message, message.hardware_id = self.name, self.state, self.session
        message.values = [value(key=k, value=v) for k, v in self.values.items()]
        return message

    @classmethod
    def of(cls, message: Any) -> Report:
        values = {v.key: v.value for v in message.values}
        level = message.level[0] if isinstance(message.level, bytes) else int(message.level)
        return cls(message.name, message.hardware_id, message.message, values, level, time.monotonic())

    def age_s(self) -> float:
        return time.monotonic() - self.arrived_s


class Teller:
    """Publishes a node's report now and then, and at once when its state changes."""

    def __init__(self, node: Any, topic: str) -> None:
        self._publisher = node.create_publisher(message_type(STATUS_TYPE), topic, newest())
        self._message, self._told, self._due_s = new(STATUS_TYPE), "", 0.0

    def tell(self, make: Callable[[], Report], state: str) -> None:
        """`make` is called only when it is time."""
        now = time.monotonic()
        if state != self._told or now >= self._due_s:
            self._told, self._due_s = state, now + STATUS_PERIOD_S
            self._publisher.publish(make().put(self._message))


class Speakers:
    """Who has been heard on a topic lately: two that speak at once are told from one that was started again."""

    def __init__(self, period_s: float = 0.0) -> None:
        """Lately: within half a second, or a period and a half of what they say."""
        self._active_s = max(0.5, 1.5 * period_s)
        self._heard: dict[str, float] = {}

    def heard(self, session: str) -> None:
        self._heard[session] = time.monotonic()

    def others(self, than: str | None) -> list[str]:
        """Those that spoke lately. A killed one falls silent, whatever DDS still lists."""
        now = time.monotonic()
        self._heard = {s: t for s, t in self._heard.items() if now - t < self._active_s}
        return sorted(s for s in self._heard if s != than)


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as a report has them."""
    return {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in values.items()}
