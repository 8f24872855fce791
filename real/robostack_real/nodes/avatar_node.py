"""avatar_node: head and hands that come by ROS lead a character; its joints and its bodies go out, once a frame.

There is no machine that could hurt somebody, so none is armed: what moves is a picture, by inverse kinematics, or a
body in simulated physics that a policy keeps on its feet behind its envelope. Like `robostack avatar live` it waits for
the headset's frames and not for a clock, and before that until the wearer has stood in a T.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from robostack.registry import MissingExtraError
from robostack_real.headset.ros import RosHeadset
from robostack_real.nodes import wire
from robostack_real.nodes.node import Node

if TYPE_CHECKING:
    from robostack_real.twins.avatar import LiveAvatar

LONGEST_PERIODS = 1.5
"""that a frame is waited for"""
VIEW_HZ = 30.0


class _Heard(RosHeadset):
    """What the node itself hears while it waits."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._waiting = node

    def wait(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        self._waiting.wait(0.0)
        while not (found := super().wait(0.0)) and (left := end - time.monotonic()) > 0.0:
            self._waiting.wait(left)
        return found


class AvatarNode(Node):
    ROLE = "avatar"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.declare("character", "human", "human, mouse, dinosaur, or a folder with a character.toml")
        self.declare_policy("path of a policy.onnx, or none for inverse kinematics alone; the character's own, if any")
        self.declare("rate_hz", 72.0, "frames a second that the headset sends", 1.0, 1000.0)
        self.declare("port", 0, "of a page that shows it, on 127.0.0.1; 0: none")
        self.state = "unconfigured"
        self.paced = False

    def configure(self) -> None:
        from robostack_real.twins.avatar import LiveAvatar

        self.period_s = 1.0 / float(self.value("rate_hz"))
        self._headset = _Heard(self)
        keys = [k for k in [str(self.value("require_signature"))] if k]
        policy = str(self.value("policy")) or None
        self.avatar = LiveAvatar.of(str(self.value("character")), self._headset, policy=policy, keys=keys)
        self._joints = wire.message_type("sensor_msgs/msg/JointState")()
        self._joints.name = [*self.avatar.joints]
        self._joints_out = self.create_publisher(type(self._joints), "joint_states", wire.newest())
        self._root = wire.message_type("geometry_msgs/msg/PoseStamped")()
        self._root.header.frame_id = room(self.avatar)
        self._root_out = self.create_publisher(type(self._root), "root_pose", wire.newest())
        try:
            self._frames_out = self.create_publisher(wire.message_type("tf2_msgs/msg/TFMessage"), "/tf", 100)
        except MissingExtraError:  # no wheel has it
            self._frames_out = None
        self._view: Any = None
        self._shown_s = 0.0
        self._show()
        self._headset.attach(self)  # last: who holds a T for us begins now
        self.state = "waiting"

    def activate(self) -> None:
        self._show()
        self.get_logger().info(f"waiting for a headset: {self._headset.where}")

    def deactivate(self) -> None:
        if self._view:
            self._view.close()
            self._view = None

    def _show(self) -> None:
        port = int(self.value("port"))
        if port and not self._view:
            from robostack_real.twins.avatar_view import AvatarView

            self._view = AvatarView(self.avatar.character, self.avatar.recalibrate, port=port)
            self.get_logger().info(f"see it at {self._view.where}")

    def tick(self, missed: int) -> None:
        avatar = self.avatar
        avatar.follow(LONGEST_PERIODS * self.period_s)
        avatar.timing.rows.clear()  # nobody reads them here, and a node may run for days
        for line in self._headset.told():
            self.get_logger().warning(line)
        state = "led" if avatar.calibration else "waiting"
        if state != self.state:
            self.get_logger().info(f"{avatar.character.name} is {state}")
            self.state = state
        self._publish()
        now = time.monotonic()
        if self._view and now - self._shown_s > 1.0 / VIEW_HZ:
            self._shown_s = now
            self._view.show(avatar.qpos, avatar.targets, avatar.waits_for, avatar.wearer_bones_m)
        self.tell(self.state)

    def report(self) -> wire.Report:
        avatar = self.avatar
        return wire.Report(self.ROLE, self.session, self.state, wire.texts({
            "character": avatar.character.name, "waits_for": avatar.waits_for, "dropped": avatar.dropped,
            **({"falls": avatar.body.falls, "fell_back": avatar.body.fell_back} if avatar.body else {}),
        }))  # fmt: skip

    def _publish(self) -> None:
        stamp = time.time_ns()
        self._joints.position = self.avatar.qpos[[*self.avatar.joints.values()]].tolist()
        wire.put_stamp(self._joints.header, stamp)
        self._joints_out.publish(self._joints)
        (place, turn), _ = self.avatar.bones()
        pose = self._root.pose
        pose.position.x, pose.position.y, pose.position.z = place.tolist()
        _put_turn(pose.orientation, turn)
        wire.put_stamp(self._root.header, stamp)
        self._root_out.publish(self._root)
        if self._frames_out:
            message = self._frames_out.msg_type()
            message.transforms = transforms(self.avatar, stamp)
            self._frames_out.publish(message)


def room(avatar: LiveAvatar) -> str:
    """Its frame: the character stands at its origin, wherever the wearer is in theirs."""
    return f"{avatar.character.name}/world"


def transforms(avatar: LiveAvatar, stamp_ns: int) -> list[Any]:
    """A TransformStamped of each body, NAME/BODY, in its parent's frame; the root's in the room's."""
    root, bones = avatar.bones()
    found = []
    for body, (place, turn) in {avatar.root: root, **bones}.items():
        message = wire.message_type("geometry_msgs/msg/TransformStamped")()
        wire.put_stamp(message.header, stamp_ns)
        parent, name = avatar.parents.get(body), avatar.character.name
        message.child_frame_id = f"{name}/{body}"
        message.header.frame_id = f"{name}/{parent}" if parent else room(avatar)
        there = message.transform.translation
        there.x, there.y, there.z = place.tolist()
        _put_turn(message.transform.rotation, turn)
        found.append(message)
    return found


def _put_turn(message: Any, turn: np.ndarray) -> None:
    message.w, message.x, message.y, message.z = turn.tolist()
