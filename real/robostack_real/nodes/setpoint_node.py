"""setpoint_node: what a policy is asked to do: of a body a trajectory from where it was when it armed, of anything else
what stays as it is, such as a golden orbit."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from robostack.evaluate.trajectory import FigureEight, Hover, Trajectory
from robostack.messages import SetpointTopic, Topic, Values, WrongMessage, observation_topics
from robostack.spec import Channel, ContractError
from robostack_real.nodes import wire
from robostack_real.nodes.node import Node


class SetpointNode(Node):
    ROLE = "setpoint"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare_policy("path of the policy.onnx; only its contract is read here")
        self.declare("trajectory", "hover", "hover or figure_eight")
        self.declare("period_s", 5.5, "of the figure-eight, 2 x 1 m", 1.0, 60.0)
        self.declare(
            "constant", "", "where no body moves: ELEMENT=VALUE,ELEMENT=VALUE; an element that is left out is 0"
        )
        self.declare("rate_hz", 50.0, "how often it is told", 1.0, 500.0)
        self.state = "unconfigured"

    def configure(self) -> None:
        spec = self.load().spec
        self.period_s = 1.0 / float(self.value("rate_hz"))
        found = observation_topics(spec)
        self._home: np.ndarray | None = None
        self._now_ns = 0
        self._began_ns: int | None = None
        setpoint = next((t for t in found if isinstance(t, SetpointTopic)), None)
        odom = next((t for t in found if t.name == "odom"), None)
        self._constant: Values = {}
        if setpoint and odom:
            asked: list[Topic] = [setpoint]
            self._trajectory = self._known_trajectory()
            self._odom = odom
            self.create_subscription(wire.message_type(odom.type), "odom", self._heard_odom, wire.listened())
        else:
            told = [c for c in spec.observations if c.source == "command"]
            asked = [t for t in found if t is not setpoint and {*t.channels} <= {*told}]
            self._constant = constants(str(self.value("constant")), told)
        if not asked:
            raise ContractError(f"task {spec.task!r} asks for no position of a body; there is nothing to send")
        self._topics = [
            (t, t.blank(wire.new), self.create_publisher(wire.message_type(t.type), t.name, wire.newest()))
            for t in asked
        ]
        self.create_subscription(wire.message_type(wire.STATUS_TYPE), "device_status", self._heard_device,
                                 wire.listened())  # fmt: skip
        self.state = "waiting"

    def _known_trajectory(self) -> Trajectory:
        known: dict[str, Trajectory] = {"hover": Hover(), "figure_eight": FigureEight(float(self.value("period_s")))}
        if self.value("trajectory") not in known:
            raise ContractError(f"parameter trajectory: {self.value('trajectory')!r} is none of {[*known]}")
        return known[self.value("trajectory")]

    def tick(self, missed: int) -> None:
        values = self._constant or self._along()
        for topic, message, publisher in self._topics if values else ():
            topic.write(message, values)
            if topic.stamped:
                wire.put_stamp(message.header, time.time_ns())
            publisher.publish(message)
        self.tell(self.state)

    def report(self) -> wire.Report:
        asked = "constant" if self._constant else self._trajectory.name
        return wire.Report(self.ROLE, self.session, self.state, {"trajectory": asked})

    def _along(self) -> Values:
        """Where the trajectory is now; nothing before it is known where it begins."""
        if self._home is None:
            return {}
        elapsed_s = 0.0 if self._began_ns is None else (self._now_ns - self._began_ns) * 1e-9
        position, *rest = self._trajectory.at(elapsed_s)
        (topic, *_), *_ = self._topics
        return {topic.channels[0].name: np.concatenate([position + self._home, *rest])}

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


def constants(text: str, channels: Sequence[Channel]) -> Values:
    """By channel, in its unit. Raises ContractError for an element that is not there, or a value beyond its limits."""
    found = {c.name: np.zeros(c.size) for c in channels}
    place = {element: (c, i) for c in channels for i, element in enumerate(c.element_names)}
    for part in filter(None, text.split(",")):
        element, _, value = (word.strip() for word in part.partition("="))
        if element not in place:
            raise ContractError(f"parameter constant: {element!r} is no element; there are {', '.join(place)}")
        channel, i = place[element]
        low, high = channel.per_element("low")[i], channel.per_element("high")[i]
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise ContractError(
                f"parameter constant: {part.strip()}: needs a number in [{low:g}, {high:g}] {channel.unit}"
            )
        found[channel.name][i] = number
    return found
