"""What a topic did while somebody listened: who sends what, how, and every sample with its arrival."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from robostack.messages import Topic, Values, WrongMessage
from robostack_real.doctor.quality import Ends, ends
from robostack_real.nodes import wire

DISCOVERY_S = 4.0
"""DDS may take as long to make a sender known, and sometimes does"""


@dataclass
class Heard:
    """One topic. Arrivals are by the monotonic clock, stamps by the sender's wall clock (0: none)."""

    topic: Topic
    senders: list[str] = field(default_factory=list)
    """nodes that publish it with the right type"""
    other_types: dict[str, list[str]] = field(default_factory=dict)
    """of a wrong type: by type, the nodes"""
    arrivals_s: list[float] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)
    """wall clock at arrival minus stamp"""
    stamps_ns: list[int] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    complaints: dict[str, int] = field(default_factory=dict)
    """why messages could not be read, and how many each"""


def listen(
    topics: Iterable[Topic],
    seconds: float,
    progress: Callable[[float], None] = lambda share: None,
    roles: Sequence[str] = (),
) -> tuple[list[Heard], list[Ends], dict[str, wire.Report]]:
    """What `topics` of this DDS domain said, and who sends and hears them how, after the time that discovery may take;
    and the newest that a node of each of `roles` told of itself, where one did. Raises MissingExtraError."""
    rclpy = wire.ros()
    from rclpy.executors import SingleThreadedExecutor

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("doctor", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    found = [Heard(topic) for topic in topics]
    reports: dict[str, wire.Report] = {}

    def told(role: str, message: Any) -> None:
        reports[role] = wire.Report.of(message)

    try:
        for heard in found:
            node.create_subscription(
                wire.message_type(heard.topic.type), heard.topic.name, _keeper(heard), wire.listened()
            )
        for role in roles:
            kind = wire.message_type(wire.STATUS_TYPE)
            node.create_subscription(kind, f"{role}_status", partial(told, role), wire.listened())
        begin = time.monotonic()
        while time.monotonic() - begin < DISCOVERY_S and not (
            all(h.arrivals_s for h in found) and reports.keys() >= {*roles}
        ):
            executor.spin_once(0.05)
        begin = time.monotonic()
        for heard in found:
            for kept in (heard.arrivals_s, heard.ages_s, heard.stamps_ns, heard.values):
                kept.clear()
            heard.complaints.clear()
        while (elapsed := time.monotonic() - begin) < seconds:
            executor.spin_once(0.05)
            progress(elapsed / seconds)
        for heard in found:
            for info in node.get_publishers_info_by_topic(heard.topic.name):
                if info.topic_type == heard.topic.type:
                    heard.senders.append(info.node_name)
                else:
                    heard.other_types.setdefault(info.topic_type, []).append(info.node_name)
        connected = ends(node, (h.topic.name for h in found))
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
    return found, connected, reports


def _keeper(heard: Heard) -> Callable[[Any], None]:
    def keep(message: Any) -> None:
        now, wall_ns = time.monotonic(), time.time_ns()
        heard.arrivals_s.append(now)
        if heard.topic.stamped:
            stamp = wire.stamp_ns(message.header)
            heard.stamps_ns.append(stamp)
            heard.ages_s.append((wall_ns - stamp) * 1e-9)
        try:
            heard.values.append(heard.topic.read(message))
        except WrongMessage as error:
            heard.complaints[str(error)] = heard.complaints.get(str(error), 0) + 1

    return keep
