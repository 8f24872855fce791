"""policy_node: topics in, the policy behind its envelope, one action out.

Each observation of the leading topic (the first that the contract's sensors arrive in) is answered at once; when none
comes, the node ticks by itself and its channels age. What is sent passed the envelope in this process. Once that has
tripped the node commands nothing any more: its actions are not a number, which asks the device for its fallback, and
whatever comes of it is the device's, the last live element before the actuators.

While the device is not armed the policy acts in the dark: nobody obeys, it does not latch, and it starts anew, from its
reset state, in the moment the device arms.

Where actions are changes, a period is an observation: a policy that acted twice on one would count a move twice. What
was made of its last one is what the device says, and not what was sent.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message

from robostack.messages import ActionTopic, Topic, WrongMessage, action_topic, observation_topics
from robostack.runtime import loop
from robostack.runtime.controller import Controller
from robostack.runtime.margins import margins
from robostack.runtime.runner import Runner
from robostack_real.nodes import wire
from robostack_real.nodes.node import Node

READY_S = 0.2
"""The policy is ready when it has acted for as long without a trip."""
WARM_UP = 50
LOOKS = 4
"""a period that the clock is looked at, for what does not come"""
COLD_S = 0.005
"""What ran longer ago is no longer in the processor's caches, and takes twice as long."""
LATE = 0.8
"""of a period that an observation may come after it was due, before it is taken for the next one's"""
BRIEF = 0.1
"""of a period that an answer may take for it to be rehearsed: a longer one would stand in an observation's way"""
PULL = 0.1
"""of how far an observation came from when it was due, taken as where the next are due"""


class PolicyNode(Node):
    ROLE = "policy"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare_policy("path of the policy.onnx")
        self.declare("lockstep", False, "every observation is one period, whatever the clock says (simulation)")
        self.declare("changes", False, "actions are changes: each answers one observation, and none is made twice")
        self.state = "unconfigured"
        self.work = loop.Distribution()
        """from an observation's arrival to its action, before it is sent: assembly, inference, envelope"""

    def configure(self) -> None:
        self.policy = self.load()
        spec = self.spec = self.policy.spec
        self.dt_s = spec.control_dt_s
        self.period_s = min(self.dt_s / LOOKS, wire.STATUS_PERIOD_S)
        self._runner = Runner(self.policy)
        self.controller = Controller(self._runner, spec)
        self._samples: dict[str, tuple[Any, float]] = {}
        self._arrived_s: dict[str, float] = {}
        self._max_age_s = {c.name: c.max_age_s for c in spec.observations}
        self._stamps: dict[str, int] = {}
        self._complaints: dict[str, str] = {}
        self.repeated = 0
        changes = bool(self.value("changes"))
        self._lockstep = changes or bool(self.value("lockstep"))
        self._ticked_s = self._tripped_s = self._answered_s = self._sent_s = time.monotonic()
        self._counted = 0
        """periods ticked since the last observation"""
        self._device_armed = False
        self._topic = action_topic(spec)
        self._action = self._topic.blank(wire.new)
        self._action.header.frame_id = self.session
        self._publisher = self.create_publisher(wire.message_type(self._topic.type), self._topic.name, wire.newest())
        topics = observation_topics(spec)
        sensors = {c.name for c in spec.observations if c.source == "sensor"}
        self._leading = next((t for t in topics if sensors & {c.name for c in t.channels}), topics[0])
        for topic in topics:
            kind = wire.message_type(topic.type)
            self.create_subscription(kind, topic.name, self._listener(topic), wire.listened())
            deserialize_message(serialize_message(topic.blank(wire.new)), kind)  # the first of a type takes 30 ms
        self.create_subscription(
            wire.message_type(wire.STATUS_TYPE), "device_status", self._heard_device, wire.listened()
        )
        if changes:
            self._applied = ActionTopic("applied_action", spec.actions)
            kind = wire.message_type(self._applied.type)
            self.create_subscription(kind, self._applied.name, self._heard_applied, wire.listened())
        self._topic.write_packed(self._action, np.zeros(spec.action_size))
        self._zeros = {c.name: np.zeros(c.shape, np.float32) for c in spec.observations}
        for _ in range(WARM_UP):
            self._rehearse()
        self.state = "configured"

    def _rehearse(self) -> None:
        """What an observation will ask for, to nobody's knowledge: so that it is quick when it counts."""
        self._runner.infer(self._zeros, np.zeros(self.spec.action_size, np.float32), self._runner.reset())
        serialize_message(self._action)

    def activate(self) -> None:
        self._ticked_s = self._tripped_s = self._sent_s = time.monotonic()
        self.controller.arm(False)
        self.controller.arm()

    def deactivate(self) -> None:
        """In flight this asks for the fallback, at once."""
        self.controller.arm(False)
        self._send(np.full(self.spec.action_size, np.nan), time.time_ns())
        self.state = "inactive"
        self.tell(self.state)

    def tick(self, missed: int) -> None:
        """What the clock does: ages, when no observation came for a period and a half; and finds what has become too
        old since the last period."""
        if not self._lockstep and time.monotonic() - self._sent_s > 1.5 * self.dt_s:
            # rounded up, so that what is lost is found out within its age and one period
            wanted = math.ceil((time.monotonic() - self._answered_s) / self.dt_s - 0.05)
            if wanted > self._counted:
                periods, self._counted = wanted - self._counted, wanted
                self._act(time.time_ns(), periods)
        if not self._lockstep and self.state == "acting" and self._expired():
            for _ in range(LOOKS):  # it may be waiting to be handled
                self.wait(0.0)
            if self.state == "acting" and (stale := self._expired()):
                self.controller.fall_back(stale)
                self._answer(np.full(self.spec.action_size, np.nan), time.time_ns())
        idle_s = time.monotonic() - self._answered_s
        if idle_s > min(1.5 * self.dt_s, wire.STATUS_PERIOD_S):
            self.tell(self.state)  # else after the next answer, when no observation waits for it
        elif self.dt_s > COLD_S and 0.4 < idle_s / self.dt_s < 0.8 and self.work.mean_s < BRIEF * self.dt_s:
            self._rehearse()

    def report(self) -> wire.Report:
        status = self.controller.status
        ages = {f"age_{n}_s": a for n, a in status.age_s.items()}
        why = f"{status.reason.name.lower()} {status.channel or ''}".strip() if status.tripped else ""
        level = {"acting": 0, "ready": 0, "waiting": 1}.get(self.state, 2)
        return wire.Report(self.ROLE, self.session, self.state, wire.texts({
            "policy_hash": self.policy.policy_hash, "interface_hash": self.policy.interface_hash, "why": why,
            "complaint": "; ".join(self._complaints.values()), "repeated": self.repeated, **ages,
            **margins(self.spec, status, self.controller.applied_action),
            "work_p50_s": self.work.quantile(0.5), "work_p99_s": self.work.quantile(0.99),
            "work_max_s": self.work.max_s, "work_counts": " ".join(map(str, self.work.counts)),
        }), level)  # fmt: skip

    def _listener(self, topic: Topic) -> Any:
        return lambda message: self._arrived(topic, message)

    def _arrived(self, topic: Topic, message: Any) -> None:
        now = time.monotonic()
        stamp = wire.stamp_ns(message.header) if topic.stamped else 0
        try:
            values = topic.read(message)
        except WrongMessage as error:
            if self._complaints.get(topic.name) != str(error):
                self.get_logger().error(f"topic {topic.name}: {error}")
            self._complaints[topic.name] = str(error)
            return
        self._complaints.pop(topic.name, None)
        if stamp and stamp == self._stamps.get(topic.name):
            self.repeated += 1  # an old sample sent again is not a new one; a stamp that jumps back is a clock's affair
            return
        self._stamps[topic.name] = stamp
        self._samples |= {name: (value, now) for name, value in values.items()}
        self._arrived_s |= dict.fromkeys(values, now)
        if topic is self._leading and self.active:
            early = now - self._ticked_s < 0.5 * self.dt_s
            if self._lockstep or not early:
                passed = math.floor((now - self._ticked_s) / self.dt_s + 1.0 - LATE)
                self._answered_s, self._counted = now, 0
                self._act(stamp, 1 if self._lockstep else max(1, passed))
                self.work.add(self._acted_s - now)

    def _act(self, stamp_ns: int, periods: int) -> None:
        """Ticks, `periods` after the last time, and sends."""
        now = time.monotonic()
        age = 0.0 if self._lockstep else 1.0
        samples = {name: (value, age * (now - arrived)) for name, (value, arrived) in self._samples.items()}
        self._samples.clear()
        # by where the sender's clock is, and not by this one observation's: after a late one the next is not early
        off_s = now - (self._ticked_s + periods * self.dt_s)
        self._ticked_s = now - (1.0 - PULL) * min(max(off_s, -0.5 * self.dt_s), 0.5 * self.dt_s)
        self._answer(self.controller.tick(samples, periods - 1), stamp_ns)

    def _expired(self) -> str | None:
        """A channel whose newest sample is older than it may be, by the clock."""
        now = time.monotonic()
        return next((n for n, came in self._arrived_s.items() if now - came > self._max_age_s[n]), None)

    def _answer(self, action: Any, stamp_ns: int) -> None:
        """Sends it, or once tripped what is no number; and knows what state that is."""
        now = self._acted_s = time.monotonic()
        tripped = self.controller.status.tripped
        self._send(np.full(action.size, np.nan) if tripped else action, stamp_ns)
        if tripped:
            self._tripped_s = now
            if not self._device_armed:
                self.controller.arm()
        ready = now - self._tripped_s > READY_S
        self.state = "tripped" if tripped and self._device_armed else "ready" if ready else "waiting"
        if self._device_armed and not tripped:
            self.state = "acting"
        self.tell(self.state)

    def _send(self, action: Any, stamp_ns: int) -> None:
        self._topic.write_packed(self._action, action)
        wire.put_stamp(self._action.header, stamp_ns)
        self._publisher.publish(self._action)
        self._sent_s = time.monotonic()

    def _heard_applied(self, message: Any) -> None:
        try:
            self.controller.applied(self._applied.read_packed(message))
        except WrongMessage as error:
            self._complaints[self._applied.name] = str(error)

    def _heard_device(self, message: Any) -> None:
        armed = message.message == "armed"
        if armed and not self._device_armed:
            self.controller.arm(False)
            self.controller.arm()
        self._device_armed = armed or message.message == "fallback"
