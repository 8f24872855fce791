"""setpoint_node: what a policy is asked to do, as a trajectory from where the machine was when it armed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from robostack.evaluate.trajectory import FigureEight, Hover, Trajectory
from robostack.messages import SetpointTopic, WrongMessage, observation_topics
from robostack.spec import ContractError
from robostack_real.nodes import wire
from robostack_real.nodes.node import Node


class SetpointNode(Node):
    ROLE = "setpoint"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare_policy("path of the policy.onnx; only its contract is read here")
        self.declare("trajectory", "hover", "hover or figure_eight")
        self.declare("period_s", 5.5, "of the figure-eight, 2 x 1 m", 1.0, 60.0)
        self.declare("rate_hz", 50.0, "how often it is told", 1.0, 500.0)
        self.state = "unconfigured"

    def configure(self) -> None:
        spec = self.load().spec
        self.period_s = 1.0 / float(self.value("rate_hz"))
        found = observation_topics(spec)
        setpoints = [t for t in found if isinstance(t, SetpointTopic)]
        if not setpoints or "odom" not in {t.name for t in found}:
            raise ContractError(f"task {spec.task!r} asks for no position of a body; there is nothing to send")
        self._topic = setpoints[0]
        known: dict[str, Trajectory] = {"hover": Hover(), "figure_eight": FigureEight(float(self.value("period_s")))}
        if self.value("trajectory") not in known:
            raise ContractError(f"parameter trajectory: {self.value('trajectory')!r} is none of {[*known]}")
        self._trajectory = known[self.value("trajectory")]
        self._message = self._topic.blank(wire.new)
        self._publisher = self.create_publisher(wire.message_type(self._topic.type), self._topic.name, wire.newest())
        self._channel = self._topic.channels[0].name
        self._odom = next(t for t in found if t.name == "odom")
        self.create_subscription(wire.message_type(self._odom.type), "odom", self._heard_odom, wire.listened())
        self.create_subscription(wire.message_type(wire.STATUS_TYPE), "device_status", self._heard_device,
                                 wire.listened())  # fmt: skip
        self._now_ns = 0
        self._home: np.ndarray | None = None
        self._began_ns: int | None = None
        self.state = "waiting"

    def tick(self, missed: int) -> None:
        if self._home is not None:
            elapsed_s = 0.0 if self._began_ns is None else (self._now_ns - self._began_ns) * 1e-9
            position, *rest = self._trajectory.at(elapsed_s)
            self._topic.write(self._message, {self._channel: np.concatenate([position + self._home, *rest])})
            wire.put_stamp(self._message.header, time.time_ns())
            self._publisher.publish(self._message)
        self.tell(self.state)

    def report(self) -> wire.Report:
        return wire.Report(self.ROLE, self.session, self.state, {"trajectory": self._trajectory.name})

    def _heard_odom(self, message: Any) -> None:
        """Its stamps are the time that passes; until the machine arms, where it is is where it shall stay."""
        try:
            values = self._odom.read(message)
        except WrongMessage:
            return
        self._now_ns = wire.stamp_ns(message.header)
        if self._began_ns is None:
            self._home = values[self._odom.channels[0].name]

    def _heard_device(self, message: Any) -> None:
        armed = message.message == "armed"
        if not armed:
            self._began_ns = None
        elif self._began_ns is None:
            self._began_ns = self._now_ns
        self.state = "following" if armed else "waiting"
