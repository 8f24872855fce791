"""A running quadrotor stack for benchmarks: its processes, and a listener that knows what came when."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robostack.learn.shac import SHAC
from robostack.learn.trained import export_policy
from robostack.learn.trainer import train
from robostack.run_folder import RunFolder
from robostack_real.nodes import wire
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.quadrotor import quadrotor
from robostack_real.stacks.stack import Request
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor

PATIENCE_S = 30.0
TOPICS = {"odom": "nav_msgs/msg/Odometry", "truth": "nav_msgs/msg/Odometry", "action": "sensor_msgs/msg/JointState",
          "applied_action": "sensor_msgs/msg/JointState", "heartbeat": wire.STATUS_TYPE,
          "setpoint": "trajectory_msgs/msg/MultiDOFJointTrajectory",
          "policy_status": wire.STATUS_TYPE, "device_status": wire.STATUS_TYPE,
          "supervisor_status": wire.STATUS_TYPE, "setpoint_status": wire.STATUS_TYPE}  # fmt: skip


def flying_policy(folder: Path) -> Path:
    """A policy.onnx that hovers, trained in some seconds."""
    run = RunFolder.at(folder / "quadrotor")
    with run.stage("train"):
        run.record(train=train(Quadrotor(QuadrotorConfig()), SHAC(iterations=60), run))
    export_policy(run, run.policy)
    return run.policy


class Ear:
    """A node that keeps the newest message of every topic of a stack and when it came."""

    def __init__(self, domain: int) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("ear", context=self._context, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.newest: dict[str, Any] = {}
        self.came_s: dict[str, float] = {}
        self.sent_s: dict[str, float] = {}
        """by its sender's middleware, on the wall clock: how late we hear of it does not matter"""
        self.since_s: dict[str, float] = {}
        """when a role first told the state that it is in, as `sent_s`"""
        self.gap_s: dict[str, float] = {}
        """the longest from one message to the next of its topic, since this was cleared"""
        for topic, kind in TOPICS.items():
            self.node.create_subscription(wire.message_type(kind), topic, self._keeper(topic), wire.listened())

    def state(self, role: str) -> str:
        message = self.newest.get(f"{role}_status")
        return str(message.message) if message else ""

    def report(self, role: str) -> wire.Report:
        return wire.Report.of(self.newest[f"{role}_status"])

    def session(self, role: str) -> str:
        message = self.newest.get(f"{role}_status")
        return str(message.hardware_id) if message else ""

    def speaks(self, role: str) -> bool:
        return time.monotonic() - self.came_s.get(f"{role}_status", 0.0) < 0.2

    def until(self, true: Callable[[], object], seconds: float = PATIENCE_S) -> bool:
        """Listens until `true()`; false when that is not in time."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                return False
            self._executor.spin_once(0.01)
        return True

    def for_s(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def ask(self, service: str) -> bool:
        """Calls a service of the supervisor until it answers; whether it said yes."""
        from std_srvs.srv import SetBool, Trigger

        kind, request = (SetBool, SetBool.Request(data=True)) if service == "estop" else (Trigger, Trigger.Request())
        client = self.node.create_client(kind, f"/supervisor/{service}")
        try:
            for _ in range(10):
                if self.until(client.service_is_ready, 2.0):
                    answer = client.call_async(request)
                    if self.until(answer.done, 1.0):
                        return bool(answer.result().success)
        finally:
            self.node.destroy_client(client)
        return False

    def on_the_stand(self) -> bool:
        """Brings everything there, from whatever state; false when it does not come."""
        roles = ("policy", "device", "supervisor")
        if not self.until(lambda: all(map(self.speaks, roles))):
            return False
        if self.state("supervisor") != "idle" or self.state("device") != "disarmed":
            self.ask("estop")
            self.until(lambda: self.state("supervisor") == self.state("device") == "stopped", 5.0)
            self.until(lambda: self.ask("reset") or self.state("supervisor") == "idle", 5.0)
        return self.until(
            lambda: self.state("policy") == "ready" and self.state("device") == "disarmed"
            and self.state("supervisor") == "idle"
        )  # fmt: skip

    def take_off(self) -> bool:
        """From the stand; false when it does not come to fly. Asked again where a soft start was given up."""

        def flies() -> bool:
            if self.state("supervisor") == "idle":
                self.ask("start")
            return self.state("device") == "armed" and self.state("policy") == "acting"

        return self.until(flies, 15.0)

    def close(self) -> None:
        import rclpy

        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _keeper(self, topic: str) -> Callable[[Any, dict[str, int]], None]:
        def keep(message: Any, info: dict[str, int]) -> None:
            before, self.sent_s[topic] = self.sent_s.get(topic), 1e-9 * info["source_timestamp"]
            if before is not None:
                self.gap_s[topic] = max(self.gap_s.get(topic, 0.0), self.sent_s[topic] - before)
            role = topic.removesuffix("_status")
            if role != topic and self.state(role) != message.message:
                self.since_s[role] = self.sent_s[topic]
            self.newest[topic], self.came_s[topic] = message, time.monotonic()

        return keep


class Running(Processes):
    """The stack, not started; `lines` is what its nodes said."""

    def __init__(self, policy: Path, domain: int, fifo: int = 0, **asked: Any) -> None:
        self.lines: list[str] = []
        described = quadrotor.describe(Request(policy, start=False, view_port=0, fifo=fifo, **asked))
        self.described = {n.role: n for n in described}
        super().__init__(
            described, environment={"ROS_DOMAIN_ID": str(domain)},
            show=lambda role, line: self.lines.append(f"{role}: {line}"),
        )  # fmt: skip

    @property
    def device(self) -> str:
        """The role that stands for it."""
        return "board" if "board" in self.described else "sim"
