"""A contract and a policy with memory for the tests here, a body that it moves, and both as a process on the wire.

python flying.py POLICY PERIODS [NAMESPACE]: publishes what a stack would, once somebody listens to every topic.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from robostack.export.graph import Graph
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.messages import ATTITUDE, BODY, WORLD, action_topic, observation_topics
from robostack.runtime.controller import Controller
from robostack.runtime.runner import Runner
from robostack.spec import ActionChannel, Channel, Cut, Envelope, PolicySpec, State

DT_S = 0.01
SPEC = PolicySpec(
    task="flying",
    control_dt_s=DT_S,
    observations=(
        Channel(name="position", shape=(3,), unit="m", frame=WORLD, low=(-100.0,), high=(100.0,), max_age_s=0.2),
        Channel(name="velocity", shape=(3,), unit="m/s", frame=WORLD, low=(-30.0,), high=(30.0,), max_age_s=0.2),
        Channel(name="attitude", shape=(4,), frame=ATTITUDE, low=(-1.01,), high=(1.01,), max_age_s=0.2),
        Channel(name="body_rate", shape=(3,), unit="rad/s", frame=BODY, low=(-40.0,), high=(40.0,), max_age_s=0.2),
        Channel(name="setpoint", shape=(9,), unit="m, m/s, m/s2", frame=WORLD, source="command", low=(-100.0,),
                high=(100.0,), max_age_s=1.0),
    ),
    actions=(
        ActionChannel(name="rotor_speed_command", elements=("front", "back", "left", "right"), unit="rad/s",
                      low=(0.0,) * 4, high=(2000.0,) * 4, neutral=(0.0,) * 4),
    ),
    state=State(reset=(0.0, 0.0, 0.0)),
    envelope=Envelope(fallback=(Cut(value=(0.0,) * 4),)),
)  # fmt: skip


class Actor:
    """Rotor speeds from position error, velocity, what was applied last and the integral of the error, which is its
    state."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.weights = (300 * random.normal(0, 1, (4, 13))).astype(np.float32)
        self.weights[:, 6:10] = 0.1 * np.eye(4, dtype=np.float32)
        self.bias = np.full(4, 1000, np.float32)

    def onnx(self, graph: Graph, names: dict[str, str], applied: str, state: str | None) -> tuple[str, str | None]:
        assert state is not None
        wanted = graph.op("Gather", names["setpoint"], graph.constant(np.arange(3)), axis=1)
        error = graph.op("Sub", names["position"], wanted)
        next_state = graph.op("Add", state, graph.op("Mul", error, graph.constant(np.float32(DT_S))))
        y = graph.op("Concat", error, names["velocity"], applied, next_state, axis=1)
        return graph.op("Gemm", y, graph.constant(self.weights), graph.constant(self.bias), transB=1), next_state

    def __call__(self, observation: Any, applied: Any, state: Any, /) -> tuple[Any, Any]:
        error = observation["position"] - observation["setpoint"][:, :3]
        next_state = state + error * np.float32(DT_S)
        y = np.concatenate([error, observation["velocity"], applied, next_state], 1)
        return y @ self.weights.T + self.bias, next_state


def make_policy(path: Path, seed: int = 0, **changes: Any) -> LoadedPolicy:
    actor = Actor(seed)
    return export_onnx(actor, SPEC.model_copy(update=changes), path, reference=actor)


def measured(k: int) -> dict[str, np.ndarray]:
    """Of period k: a body that circles and yaws; the setpoint comes every tenth period."""
    t = k * DT_S
    angle = 0.5 * t
    body = {
        "position": np.array([np.sin(t), np.cos(t), 1.0 + 0.1 * t]),
        "velocity": np.array([np.cos(t), -np.sin(t), 0.1]),
        "attitude": np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)]),
        "body_rate": np.array([0.0, 0.0, 0.5]),
    }
    return body if k % 10 else {**body, "setpoint": np.array([0.5, 0.5, 1.2, *np.zeros(6)])}


def main(policy: str, periods: int, namespace: str = "") -> None:
    import importlib

    import rclpy
    from rclpy.qos import QoSProfile

    runner = Runner(policy)
    topics = (*observation_topics(runner.spec), action_topic(runner.spec))

    def new(kind: str) -> Any:
        package, _, name = kind.split("/")
        return getattr(importlib.import_module(f"{package}.msg"), name)()

    rclpy.init()
    node = rclpy.create_node("flying", namespace=namespace)
    lines = {t.name: (t, t.blank(new)) for t in topics}
    senders = {n: node.create_publisher(type(m), n, QoSProfile(depth=1)) for n, (_, m) in lines.items()}
    print("up", flush=True)
    while any(s.get_subscription_count() == 0 for s in senders.values()):
        time.sleep(0.01)

    def send(name: str, values: dict[str, np.ndarray], stamp: Any) -> None:
        topic, message = lines[name]
        topic.write(message, values)
        if topic.stamped:
            message.header.stamp = stamp
        senders[name].publish(message)

    controller = Controller(runner, runner.spec)
    controller.arm()
    began = time.monotonic() + 0.5  # the other side has to know us, too
    for k in range(periods):
        time.sleep(max(0.0, began + k * DT_S - time.monotonic()))
        values, stamp = measured(k), node.get_clock().now().to_msg()
        if "setpoint" in values:
            send("setpoint", values, stamp)
        send("odom", values, stamp)
        action = controller.tick({n: (v, 0.0) for n, v in values.items()})
        send("action", {"rotor_speed_command": action}, stamp)
    assert not controller.status.tripped
    time.sleep(0.5)  # what is on its way arrives


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
