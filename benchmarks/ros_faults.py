"""What policy_node makes of lost inputs: 1,000 losses, and ten minutes in which nothing is lost for long.

    python benchmarks/ros_faults.py [--quick]

A plant sends what a quadrotor measures at 100 Hz and a setpoint at 50 Hz, on a real wire, to a node in its own process.
*Losses*: at a random moment one of the two topics falls silent; timed is from its last message until an action that
is not a number arrives, which is how a policy asks its device for the fallback. It has to come within the channel's
declared age and one control period. *False trips*: 5 % of all messages are left out, two hogs compute all the time, and
nothing may trip. Both sides are under SCHED_FIFO.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _results import row, write

from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.learn.shac import SHAC
from robostack.learn.trained import export_actor
from robostack.messages import action_topic, observation_topics
from robostack.nets.actor import Actor
from robostack.runtime import loop
from robostack.spec import Channel
from robostack_real.nodes import wire
from robostack_real.nodes.realtime import schedule
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.stack import NodeDescription
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor

from ros_round_trip import hogs  # isort: skip

DOMAIN = 98
PATIENCE_S = 5.0
LEVEL = {"attitude": np.array([1.0, 0.0, 0.0, 0.0])}


class Plant:
    """Sends level flight, period by period, and keeps what comes back."""

    def __init__(self, policy: LoadedPolicy) -> None:
        import rclpy
        from rclpy.experimental.events_executor import EventsExecutor

        rclpy.init(domain_id=DOMAIN)
        self._node = rclpy.create_node("plant", start_parameter_services=False, enable_rosout=False)
        self.spec = policy.spec
        self._lines = {
            t.name: (
                t,
                t.blank(wire.new),
                self._node.create_publisher(wire.message_type(t.type), t.name, wire.newest()),
            )
            for t in observation_topics(self.spec)
        }
        self.topics = tuple(self._lines)
        self._values = {c.name: LEVEL.get(c.name, np.zeros(c.size)) for c in self.spec.observations}
        status = wire.message_type(wire.STATUS_TYPE)
        self._device = self._node.create_publisher(status, "device_status", wire.newest())
        self._status = wire.new(wire.STATUS_TYPE)
        kind = wire.message_type(action_topic(self.spec).type)
        self._node.create_subscription(kind, "action", self._answered, wire.listened())
        self._node.create_subscription(status, "policy_status", self._told, wire.listened())
        self._executor = EventsExecutor()
        self._executor.add_node(self._node)
        self.state, self.nothing_s, self.armed, self.periods = "", 0.0, False, 0
        self.sent_s = dict.fromkeys(self.topics, 0.0)

    def fly(self, seconds: float, lost: str = "", loss: float = 0.0, until: Any = lambda: False) -> bool:
        """Sends for so long, without the topic `lost` and without a share `loss` of all; true when `until()` was."""
        random = np.random.default_rng(self.periods)

        def tick(missed: int) -> None:
            self.periods += 1
            for name, (topic, message, publisher) in self._lines.items():
                command = name != "odom"
                if name == lost or random.random() < loss or (command and self.periods % 2):
                    continue
                topic.write(message, {c.name: self._values[c.name] for c in topic.channels})
                wire.put_stamp(message.header, time.time_ns())
                self.sent_s[name] = time.monotonic()
                publisher.publish(message)
            if self.periods % 5 == 0:
                state = "armed" if self.armed else "disarmed"
                self._device.publish(wire.Report("device", "plant", state).put(self._status))
            if until():
                raise loop.Stop

        dt = self.spec.control_dt_s
        loop.run(tick, dt, stop=lambda: None, periods=round(seconds / dt), sleep=self._executor.spin_once)
        return bool(until())

    def take_off(self) -> None:
        """Until the policy acts. Raises RuntimeError when it does not."""
        self.armed = False
        ready = self.fly(PATIENCE_S, until=lambda: self.state == "ready")
        self.armed, self.nothing_s = True, 0.0
        if not (ready and self.fly(PATIENCE_S, until=lambda: self.state == "acting")):
            raise RuntimeError(f"the policy is {self.state!r} after {PATIENCE_S:g} s")

    def age_s(self, topic: str) -> float:
        """What the contract allows the quickest of its channels."""
        return min(c.max_age_s for c in self._lines[topic][0].channels if isinstance(c, Channel))

    def _answered(self, message: Any) -> None:
        if message.velocity[0] != message.velocity[0] and not self.nothing_s:
            self.nothing_s = time.monotonic()

    def _told(self, message: Any) -> None:
        self.state = message.message


def losses(plant: Plant, count: int) -> dict[str, list[float]]:
    """Seconds from a topic's last message to the request of the fallback, by topic; infinite where none came."""
    from rich.progress import track

    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in plant.topics}
    for k in track(range(count), "losses"):
        name = "setpoint" if k % 5 == 0 else "odom"
        plant.take_off()
        plant.fly(0.01 * random.integers(5, 15))
        plant.nothing_s = 0.0
        came = plant.fly(PATIENCE_S, lost=name, until=lambda: plant.nothing_s > 0.0)
        found[name].append(plant.nothing_s - plant.sent_s[name] if came else float("inf"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50 losses, 20 s")
    parser.add_argument("--out", type=Path, help="results file instead of benchmarks/results/ros_faults.json")
    args = parser.parse_args()
    count, calm_s = (50, 20.0) if args.quick else (1000, 600.0)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "policy.onnx"
        task = Quadrotor(QuadrotorConfig(num_envs=1))
        export_actor(task, Actor(task, SHAC().actor).eval(), path)  # what it commands does not matter here
        nodes = [NodeDescription("policy", {"policy": str(path)}, fifo=50)]
        with Processes(nodes, environment={"ROS_DOMAIN_ID": str(DOMAIN)}):
            if lacking := schedule(50):
                print(lacking)
            plant = Plant(load_policy(path))
            found = losses(plant, count)
            for topic, seconds in found.items():
                bar = 1e3 * (plant.age_s(topic) + plant.spec.control_dt_s)
                rows.append(row(f"{topic} lost, {len(seconds)} times: fallback asked for, p50",
                                1e3 * float(np.median(seconds)), "ms"))  # fmt: skip
                rows.append(row(f"{topic} lost: latest", 1e3 * max(seconds), "ms", bar))
            missed = sum(not np.isfinite(s) for each in found.values() for s in each)
            rows.append(row("losses without a fallback", missed, f"of {count}", 0))
            plant.take_off()
            with hogs(2):
                trips = 0
                end = time.monotonic() + calm_s
                while time.monotonic() < end:
                    if plant.fly(end - time.monotonic(), loss=0.05, until=lambda: plant.nothing_s > 0.0):
                        trips += 1
                        plant.take_off()
            rows.append(row(f"false trips in {calm_s / 60:.3g} min, 5 % lost, two hogs", trips, "", 0))
    write("ros_faults", rows, args.out)


if __name__ == "__main__":
    main()
