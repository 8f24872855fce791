"""A virtual arm on ROS 2: the gripper of tactile_placement with a peg in it, its Cartesian impedance towards whatever
pose it was sent last. It says where it is and what its pads feel, 60 times a second."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch

from robostack import quaternion
from robostack.messages import WrongMessage, topics
from robostack.runtime import loop
from robostack_real.nodes import wire
from robostack_sim.tactile.grips import ENDLESS
from robostack_sim.tactile.manipulation import TURN_LIMIT_RAD
from robostack_sim.tactile.placement.config import PlacementConfig
from robostack_sim.tactile.placement.task import TactilePlacement

NAME = "arm_twin"
TARGET = "arm_target"


class VirtualArm:
    """Enter it to switch it on. Topics are /NAME/arm, /NAME/arm_target and, where somebody listens, those of what it
    feels, by the channels' names. `task` is what is true; `seed` says which peg was gripped, and how.

    A pose that is none is not followed, and one outside the workspace as far as that goes.
    """

    def __init__(self, name: str = NAME, *, config: PlacementConfig | None = None, seed: int = 0,
                 domain: int | None = None) -> None:  # fmt: skip
        self.name, self._domain = name, domain
        self.task = TactilePlacement(replace(config or PlacementConfig(), num_envs=1, threads=1, steps=ENDLESS), seed)
        self._nothing = torch.zeros(1, self.task.action_size)
        self._done = threading.Event()
        self.timing = loop.Timing(self.task.step_dt)

    def __enter__(self) -> Self:
        rclpy = wire.ros()
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, domain_id=self._domain)
        self._node = rclpy.create_node("arm", context=self._context, namespace=self.name)
        self._topics = []
        # the pose last: what answers it has felt by then
        for topic in reversed(topics(tuple(c for c in self.task.actor_channels if c.source == "sensor"))):
            kind = wire.message_type(topic.type)
            if topic.name == TARGET:
                self._target = topic
                self._node.create_subscription(kind, topic.name, self._heard, wire.listened())
            else:
                sender = self._node.create_publisher(kind, topic.name, wire.newest())
                self._topics.append((topic, topic.blank(wire.new), sender))
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._serve, name=self.name, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _serve(self) -> None:
        torch.set_num_threads(1)
        loop.run(self._period, self.task.step_dt, stop=lambda: None, sleep=self._executor.spin_once, timing=self.timing)

    def _period(self, missed: int) -> None:
        if self._done.is_set():
            raise loop.Stop
        obs, *_ = self.task.step(self._nothing)
        now_ns = time.time_ns()
        for topic, message, sender in self._topics:
            if sender.get_subscription_count():
                topic.write(message, {c.name: obs[c.name][0].numpy() for c in topic.channels})
                if topic.stamped:
                    wire.put_stamp(message.header, now_ns)
                sender.publish(message)

    def _heard(self, message: Any) -> None:
        try:
            position, rotation = self._target.read(message).values()
        except WrongMessage as error:
            self._node.get_logger().error(f"{TARGET}: {error}")
            return
        if not (np.isfinite(position).all() and np.linalg.norm(rotation) <= TURN_LIMIT_RAD):
            self._node.get_logger().error(f"{TARGET}: {position} m, {rotation} rad is no pose that it takes")
            return
        self.task.arm_position.copy_(torch.from_numpy(position)[None])
        self.task.arm_quat_wxyz.copy_(torch.from_numpy(quaternion.from_rotation_vector(rotation))[None])
