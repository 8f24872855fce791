"""What is on the wire into a bag: bytes as they come, off everybody's control path.

    DDS thread: keeps bytes and their time of arrival -> this thread: into a queue -> writing thread: the file

Nothing is deserialised. The middleware knows when a message came, so it is enough to look a hundred times a second for
what there is: no executor wakes for each. A sender never waits for us (best effort), except of what it keeps for
latecomers, which is not sent at a rate. When the disk cannot keep up the queue fills, and what does not fit is counted.
"""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robostack.evaluate.bag import Bag
from robostack.spec import ContractError
from robostack_real.nodes import wire

QUEUE_BYTES = 64 * 2**20
DEPTH = 500
"""Messages of a topic that DDS keeps until this process gets to them."""
FLUSH_S = 1.0
"""What a lost process or power may cost."""
POLL_S = 0.01
LOOK_S = 0.2
"""between two looks for topics that have appeared"""


@dataclass
class Topic:
    """One that is recorded: absolute name, message type such as "nav_msgs/msg/Odometry", and what came of it."""

    name: str
    type: str
    expected: bool = True
    """worth waiting for"""
    count: int = 0
    lost: int = 0
    """on the way here: sent, by its sender's numbers, and never arrived; known while it has one sender"""
    last_number: int = 0
    alone: bool = True
    heard: bool = False
    """a sender has appeared"""


class Recorder:
    """Fills an open Bag with `topics` while `spin` is called; `dropped` counts what the queue had no room for."""

    def __init__(self, node: Any, bag: Bag, topics: Sequence[Topic]) -> None:
        self.topics = list(topics)
        self.dropped, self.messages, self.bytes = 0, 0, 0
        self.failure: Exception | None = None
        """why writing has ended; `spin` raises it"""
        self._node, self._bag = node, bag
        self._lines = {t.name: bag.topic(t.name, t.type) for t in self.topics}
        self._queue: queue.SimpleQueue[tuple[Any, int, bytes] | None] = queue.SimpleQueue()
        self._taken, self._queued, self._written, self._look_s = 0, 0, 0, 0.0
        self._taking: list[tuple[Topic, Any, Any]] = []
        """topic, its line in the bag, its subscription"""
        self._writer = threading.Thread(target=self._write, name="bag", daemon=True)
        self._writer.start()

    @property
    def unheard(self) -> list[str]:
        """Topics that are expected and that nobody sends yet."""
        return [t.name for t in self.topics if t.expected and not t.heard]

    def alike(self) -> list[str]:
        """Topics on the wire that are called as one of ours in another namespace."""
        wanted = {t.name.rpartition("/")[2] for t in self.topics}
        there = {name for name, _ in self._node.get_topic_names_and_types()} - {t.name for t in self.topics}
        return sorted(name for name in there if name.rpartition("/")[2] in wanted)

    def spin(self) -> None:
        """Takes what has come, or waits. Raises what ended the writing, and ContractError when a topic of the contract
        carries another type before anything was recorded."""
        if self.failure is not None:
            raise self.failure
        if time.monotonic() >= self._look_s:
            self._look()
            self._look_s = time.monotonic() + LOOK_S
        before = self._taken
        for topic, line, subscription in self._taking:
            with subscription.handle:
                while (found := subscription.handle.take_message(subscription.msg_type, True)) is not None:
                    self._take(topic, line, *found)
        if self._taken == before:
            time.sleep(POLL_S)

    def close(self) -> None:
        """Writes what is in the queue. Raises what ended the writing."""
        self._queue.put(None)
        self._writer.join()
        if self.failure is not None:
            raise self.failure

    def _take(self, topic: Topic, line: Any, raw: bytes, info: dict[str, Any]) -> None:
        topic.count += 1
        self._taken += 1
        number = info.get("publication_sequence_number") or 0
        if topic.alone and 0 < topic.last_number < number:
            topic.lost += number - topic.last_number - 1
        topic.last_number = number
        if self._queued - self._written + len(raw) > QUEUE_BYTES:
            self.dropped += 1
            return
        self._queued += len(raw)
        self._queue.put((line, info.get("received_timestamp") or time.time_ns(), raw))

    def _look(self) -> None:
        for topic in self.topics:
            senders = self._node.get_publishers_info_by_topic(topic.name)
            topic.alone = len(senders) == 1
            if topic.heard or not senders:
                continue
            other = next((s for s in senders if s.topic_type != topic.type), None)
            if other is not None and (self._taken or not topic.expected):
                continue  # no reason to end a recording; it shows as a topic without messages
            if other is not None:
                who = f"{other.node_namespace.rstrip('/')}/{other.node_name}"
                raise ContractError(
                    f"{topic.name}: {who} sends {other.topic_type}, wanted is {topic.type}; record the policy that "
                    "this stack runs, or say the right --namespace"
                )
            self._subscribe(topic, senders)

    def _subscribe(self, topic: Topic, senders: Sequence[Any]) -> None:
        qos = importlib.import_module("rclpy.qos")
        latched = all(s.qos_profile.durability == qos.DurabilityPolicy.TRANSIENT_LOCAL for s in senders)
        profile = qos.QoSProfile(
            depth=DEPTH,
            reliability=qos.ReliabilityPolicy.RELIABLE if latched else qos.ReliabilityPolicy.BEST_EFFORT,
            durability=qos.DurabilityPolicy.TRANSIENT_LOCAL if latched else qos.DurabilityPolicy.VOLATILE,
        )
        kind = wire.message_type(topic.type)
        subscription = self._node.create_subscription(kind, topic.name, lambda message: None, profile, raw=True)
        self._taking.append((topic, self._lines[topic.name], subscription))
        topic.heard = True

    def _write(self) -> None:
        flush_s = time.monotonic() + FLUSH_S
        try:
            while True:
                try:
                    item = self._queue.get(timeout=FLUSH_S)
                    if item is None:
                        return
                    line, time_ns, raw = item
                    self._bag.write(line, time_ns, raw)
                    self._written += len(raw)
                    self.messages += 1
                    self.bytes += len(raw)
                except queue.Empty:
                    pass
                if time.monotonic() >= flush_s:
                    self._bag.flush()
                    flush_s = time.monotonic() + FLUSH_S
        except Exception as error:
            self.failure = error
