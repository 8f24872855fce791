"""An arm that holds poses, over ROS 2: a Cartesian impedance controller that takes a PoseStamped and says by one where
it is. What a gripper on it feels comes by topics of the channels' names.

arm://left                                            topics /left/arm, /left/arm_target, /left/force_field and the like
arm://left?pose=current_pose&target=equilibrium_pose  others' names for the first two
anyskin:///dev/ttyACM0?on=arm://left                  its skin is on a serial port
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from robostack import quaternion
from robostack.export.onnx import LoadedPolicy
from robostack.messages import PoseTopic, Topic, Values, WrongMessage, observation_topics
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import ContractError
from robostack_real.nodes import wire

POSE, TARGET = "arm", "arm_target"
ACTIONS = ("arm_shift", "arm_turn")
FIRST_S, SILENT_S = 5.0, 0.25
"""within which the first pose has to come, and each of the next ones"""


class RosArm:
    """See robostack.devices.Device. The arm is the clock: a write sends the pose to hold, moved on by the action, and
    returns when the arm has said where it is again. Armed, it begins with the pose that the arm is in.

    Raises ContractError for a URI that says something else, and for a policy that commands no arm's pose.
    """

    paces, changes = True, True

    def __init__(self, uri: str, policy: LoadedPolicy) -> None:
        self.where, self.tripped = uri, ""
        name, _, query = uri.partition("://")[2].partition("?")
        options = dict(part.partition("=")[::2] for part in query.split("&")) if query else {}
        if others := sorted(set(options) - {"pose", "target"}):
            raise ContractError(f"{uri}: after ? can only stand pose=NAME and target=NAME, not {', '.join(others)}")
        found = {t.name: t for t in observation_topics(policy.spec)}
        moved = tuple((a.name, a.size) for a in policy.spec.actions) == tuple((n, 3) for n in ACTIONS)
        if not moved or not all(isinstance(found.get(n), PoseTopic) for n in (POSE, TARGET)):
            raise ContractError(
                f"{policy.origin}: an arm is commanded by {' and '.join(ACTIONS)} and says {POSE} and {TARGET}, poses; "
                f"this policy commands {', '.join(a.name for a in policy.spec.actions)} and reads {', '.join(found)}"
            )
        self._held, self._own = found[TARGET], found[POSE]
        measured = {c.name for c in policy.spec.observations if c.source == "sensor"}
        self._heard = {n: t for n, t in found.items() if n != TARGET and {c.name for c in t.channels} <= measured}
        self.channels = tuple(c.name for t in (*self._heard.values(), self._held) for c in t.channels)
        renamed = {POSE: options.get("pose", POSE), TARGET: options.get("target", TARGET)}
        self._names = {n: f"/{name.strip('/')}/{renamed.get(n, n)}" for n in found}
        self._fresh: dict[str, tuple[Values, float]] = {}
        self._came, self._poses, self._seen = threading.Condition(), 0, 0
        self._at: Array | None = None
        """(6,) where it was last: m, and rotation vector, rad"""
        self._position: npt.NDArray[Any] = np.zeros(3)
        self._quat_wxyz = quaternion.IDENTITY
        self._armed, self._running = False, threading.Event()

    def read(self) -> Mapping[str, Sample]:
        with self._came:
            fresh, self._fresh, self._seen = self._fresh, {}, self._poses
        now = time.monotonic()
        samples: dict[str, Sample] = {n: (v, now - s) for values, s in fresh.values() for n, v in values.items()}
        if POSE in fresh:
            samples |= {n: (v, 0.0) for n, v in self._target().items()}
        return samples

    def arm(self) -> None:
        """Raises ContractError while somebody else sends it poses."""
        if self._node.count_publishers(self._names[TARGET]) > 1:
            raise ContractError(f"{self.where}: somebody else sends {self._names[TARGET]} too; end that one first")
        self._hold_here()
        self._armed = True

    def write(self, action: Array) -> Array:
        """Raises ConnectionError where the arm has fallen silent."""
        if self._armed:
            shift, turn = np.asarray(action, float).reshape(2, 3)
            self._position = self._position + shift
            turned = quaternion.multiply(quaternion.from_rotation_vector(turn), self._quat_wxyz)
            self._quat_wxyz = quaternion.normalise(turned)
            self._held.write(self._message, self._target())
            wire.put_stamp(self._message.header, time.time_ns())
            self._sender.publish(self._message)
        else:
            self._hold_here()
        self._await_pose(SILENT_S)
        return action

    def stop(self) -> None:
        """It holds the last pose that it was sent."""
        self._armed = False

    def _hold_here(self) -> None:
        assert self._at is not None
        self._position, self._quat_wxyz = self._at[:3], quaternion.from_rotation_vector(self._at[3:])

    def _target(self) -> Values:
        position, rotation = (c.name for c in self._held.channels)
        return {position: self._position, rotation: quaternion.to_rotation_vector(self._quat_wxyz)}

    def _await_pose(self, seconds: float) -> None:
        with self._came:
            if not self._came.wait_for(lambda: self._poses > self._seen, seconds):
                raise ConnectionError(
                    f"{self.where}: no pose on {self._names[POSE]} for {seconds:g} s; is its controller running, in "
                    "this ROS_DOMAIN_ID?"
                )

    def _listener(self, topic: Topic) -> Callable[[Any], None]:
        def heard(message: Any) -> None:
            try:
                values = topic.read(message)
            except WrongMessage as error:
                self._node.get_logger().error(f"{self._names[topic.name]}: {error}")
                return
            with self._came:
                self._fresh[topic.name] = values, time.monotonic()
                if topic is self._own:
                    self._at = np.concatenate([values[c.name] for c in topic.channels])
                    self._poses += 1
                    self._came.notify_all()

        return heard

    def __enter__(self) -> Self:
        """Raises ConnectionError where no arm is heard, MissingExtraError without ROS."""
        rclpy = wire.ros()
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)
        self._node = rclpy.create_node("arm_device", context=self._context)
        for name, topic in self._heard.items():
            kind = wire.message_type(topic.type)
            self._node.create_subscription(kind, self._names[name], self._listener(topic), wire.listened())
        kind = wire.message_type(self._held.type)
        self._sender = self._node.create_publisher(kind, self._names[TARGET], wire.newest())
        self._message = self._held.blank(wire.new)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._running.set()
        self._thread = threading.Thread(target=self._serve, name=self.where, daemon=True)
        self._thread.start()
        try:
            self._await_pose(FIRST_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._running.clear()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _serve(self) -> None:
        while self._running.is_set():
            self._executor.spin_once(0.1)
