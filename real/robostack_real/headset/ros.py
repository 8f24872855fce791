"""Head and hands by ROS 2: a PoseStamped topic each, or frames of TF, whichever is sent.

Names are those of NVIDIA's Isaac Teleop as far as it has them; other names by ROS's own remapping. TF's message comes
with an installed ROS only (there is no wheel of tf2_msgs), so that without one the topics alone are listened to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np

from robostack import quaternion as quat
from robostack.axes import from_openxr
from robostack.registry import MissingExtraError
from robostack.spec import ContractError
from robostack_real.headset.poses import Listening
from robostack_real.nodes import wire

TOPICS = {"head": "xr_teleop/head_pose", "left_hand": "xr_teleop/left_hand_pose",
          "right_hand": "xr_teleop/right_hand_pose"}  # fmt: skip
FRAMES = ("world_frame", "head_frame", "left_wrist_frame", "right_wrist_frame")
"""the room's, and those of head, left and right hand"""
AXES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"ros": np.asarray, "openxr": from_openxr}
LONGEST_CHAIN = 64
"""of frames from a hand to the room: a longer one goes in a circle"""
QUEUE = 100
"""transforms that may come in one go: all of TF shares a topic"""


class RosHeadset(Listening):
    """`remap` are rules FROM:=TO of names. `axes`: "ros" for x ahead, y left, z up (REP-103), "openxr" for a sender
    that passes on what its headset says (y up, -z ahead). The domain is ROS_DOMAIN_ID's."""

    where = "ros"

    def __init__(
        self, *, remap: Sequence[str] = (), frames: Sequence[str] = FRAMES, axes: Literal["ros", "openxr"] = "ros"
    ) -> None:
        for rule in remap:
            if ":=" not in rule:
                raise ContractError(f"{rule!r} is no rule for ROS names; write FROM:=TO")
        self._remap, self._axes = remap, AXES[axes]
        self._room, *parts = (f.strip("/") for f in frames)
        self._parts = dict(zip(TOPICS, parts, strict=True))
        self._frame: str | None = None
        self._transforms: dict[str, tuple[str, np.ndarray, np.ndarray]] = {}
        self._static: set[str] = set()
        super().__init__()

    def __enter__(self) -> Self:
        rclpy = wire.ros()
        from rclpy.executors import SingleThreadedExecutor

        rules = [word for rule in self._remap for word in ("-r", rule)]
        self._context = rclpy.Context()
        rclpy.init(args=["--ros-args", *rules], context=self._context)
        self.attach(rclpy.create_node("avatar_headset", context=self._context))
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._running = threading.Event()
        self._running.set()
        self._thread = threading.Thread(target=self._serve, name="ROS", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._running.clear()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def attach(self, node: Any) -> None:
        """Listens by a node that somebody else spins: it need not be entered then."""
        self._node = node
        pose = wire.message_type("geometry_msgs/msg/PoseStamped")
        topics = [self._listen(part, topic, pose) for part, topic in TOPICS.items()]
        self.where = ", ".join(topics)
        try:
            self._listen_to_tf()
            self.where += f"; TF: {self._room} to {', '.join(self._parts.values())}"
        except MissingExtraError:
            self.where += "; no TF without an installed ROS"

    def hear(self, part: str, message: Any) -> None:
        """A PoseStamped of head or a hand. One frame for all: the first that is heard."""
        frame = message.header.frame_id
        if self._frame is None:
            self._frame = frame
        if frame != self._frame:
            self._newest.say(f"{part} comes in frame {frame!r}, what came first in {self._frame!r}; send all in one")
            return
        p, q = message.pose.position, message.pose.orientation
        self._put(part, np.array([p.x, p.y, p.z]), np.array([q.w, q.x, q.y, q.z]))

    def hear_transforms(self, message: Any, static: bool = False) -> None:
        """A TFMessage. A part is there anew when the nearest frame to it that moves is."""
        fresh = set()
        for transform in message.transforms:
            child = transform.child_frame_id.strip("/")
            p, q = transform.transform.translation, transform.transform.rotation
            try:
                turn = quat.normalise(np.array([q.w, q.x, q.y, q.z]))
            except ValueError as error:
                self._newest.say(f"TF, {child}: {error}; the last one holds")
                continue
            self._transforms[child] = transform.header.frame_id.strip("/"), np.array([p.x, p.y, p.z]), turn
            fresh.add(child)
        if static:
            self._static |= fresh
        for part, frame in self._parts.items():
            chain = self._chain(frame)
            if chain and next((c for c in chain if c not in self._static), frame) in fresh:
                self._put(part, *self._along(chain))

    def _chain(self, frame: str) -> list[str]:
        """Frames from this one up to the one below the room; empty where there is no way."""
        found: list[str] = []
        while frame != self._room:
            if frame not in self._transforms or len(found) == LONGEST_CHAIN:
                if found:
                    self._newest.say(f"TF: no way from {found[0]} to {self._room}; it ends at {frame}")
                return []
            found.append(frame)
            frame = self._transforms[frame][0]
        return found

    def _along(self, chain: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        position, rotation = np.zeros(3), quat.IDENTITY
        for frame in chain:
            _, offset, turn = self._transforms[frame]
            position, rotation = offset + quat.rotate(turn, position), quat.multiply(turn, rotation)
        return position, rotation

    def _put(self, part: str, position: np.ndarray, rotation: np.ndarray) -> None:
        self._newest.put(part, self._axes(position), self._axes(rotation))

    def _listen(self, part: str, topic: str, kind: Any) -> str:
        def heard(message: Any) -> None:
            if self._node.count_publishers(subscription.topic_name) > 1:
                self._newest.say(f"several send on {subscription.topic_name}; end all but one")
            self.hear(part, message)

        subscription = self._node.create_subscription(kind, topic, heard, wire.listened())
        return str(subscription.topic_name)

    def _listen_to_tf(self) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

        kind = wire.message_type("tf2_msgs/msg/TFMessage")
        newest = QoSProfile(depth=QUEUE, reliability=ReliabilityPolicy.BEST_EFFORT)
        kept = QoSProfile(depth=QUEUE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node.create_subscription(kind, "/tf", self.hear_transforms, newest)
        self._node.create_subscription(kind, "/tf_static", lambda m: self.hear_transforms(m, static=True), kept)

    def _serve(self) -> None:
        while self._running.is_set():
            self._executor.spin_once(0.1)
