"""headset_node: a recorded motion by ROS as if somebody wore a headset: a T, the motion, and again."""

from __future__ import annotations

import time
from typing import Any

from robostack.spec import ContractError
from robostack_real.headset.ros import FRAMES, TOPICS
from robostack_real.nodes import wire
from robostack_real.nodes.node import Node


class HeadsetNode(Node):
    ROLE = "headset"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare("clip", "punch", "recorded motion that is played: a file, or punch, which comes along")
        self.declare("rate_hz", 72.0, "frames a second that the headset sends", 1.0, 1000.0)
        self.state = "unconfigured"
        self._frame = 0

    def configure(self) -> None:
        from robostack_real.twins.worn import as_sent

        rate_hz = float(self.value("rate_hz"))
        self.period_s = 1.0 / rate_hz
        try:
            self._position_m, self._rotation = as_sent(str(self.value("clip")), rate_hz)
        except ValueError as error:  # no motion that can be used, and why
            raise ContractError(f"parameter clip: {error}") from error
        kind = wire.message_type("geometry_msgs/msg/PoseStamped")
        self._message = kind()
        self._message.header.frame_id = FRAMES[0]
        self._publishers = [self.create_publisher(kind, topic, wire.newest()) for topic in TOPICS.values()]
        self.state = "waiting"

    def tick(self, missed: int) -> None:
        heard = all(p.get_subscription_count() for p in self._publishers)
        self._frame = (self._frame + 1 + missed) % len(self._position_m) if heard or self._frame else 0
        self.state = "playing" if self._frame else "waiting"
        wire.put_stamp(self._message.header, time.time_ns())
        pose = self._message.pose
        for part, publisher in enumerate(self._publishers):
            pose.position.x, pose.position.y, pose.position.z = self._position_m[self._frame, part].tolist()
            w, x, y, z = self._rotation[self._frame, part].tolist()
            pose.orientation.w, pose.orientation.x, pose.orientation.y, pose.orientation.z = w, x, y, z
            publisher.publish(self._message)
        self.tell(self.state)

    def report(self) -> wire.Report:
        return wire.Report(self.ROLE, self.session, self.state, {"clip": str(self.value("clip"))})
