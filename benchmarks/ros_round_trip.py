"""policy_node on a real wire: from an observation of 24 joints to its action, two processes, and what hogs do to it.

    python benchmarks/ros_round_trip.py [--quick]

A plant publishes joint states at a fixed rate and waits for the action that answers each: 24 joints, a network of
72-256-256-128-24 in ONNX Runtime, the envelope. `hogs` are two processes that compute all the time; `FIFO` is
`--fifo 50` on both sides, which needs the right to (it is said when it is lacking); beside it an empty loop at a higher
priority counts the periods in which the machine, a virtual one perhaps, had taken a core away.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from _results import row, write
from onnx import TensorProto, helper, numpy_helper

from robostack.export.onnx import wrap_onnx
from robostack.messages import action_topic, observation_topics
from robostack.runtime import loop
from robostack.spec import ActionChannel, Channel, Cut, Envelope, PolicySpec
from robostack_real.nodes import wire
from robostack_real.nodes.realtime import schedule
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.stack import NodeDescription

JOINTS = tuple(f"joint_{i}" for i in range(24))
DOMAIN = 99
SETTLE_S = 2.0
# an ordinary process, whatever the scheduler of the one that starts it, which children inherit
HOG = "import os; os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))\nwhile True: pass"
BARE = """
import os, sys, time
cpu, period_s, periods = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
os.sched_setaffinity(0, {cpu})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))
due, late = time.monotonic(), 0
for _ in range(periods):
    due += period_s
    time.sleep(max(0.0, due - time.monotonic()))
    late += time.monotonic() - due > period_s / 2
print(late)
"""
"""a loop that does nothing, above all else on its core: what it misses, the machine took"""


def policy(folder: Path, rate_hz: float) -> Path:
    """A contract of 24 joints' angles and velocities and a command of them, around a random network."""
    n = len(JOINTS)
    spec = PolicySpec(
        task="joints", control_dt_s=1.0 / rate_hz,
        observations=(
            Channel(name="joint_position", shape=(n,), elements=JOINTS, unit="rad", max_age_s=1.0),
            Channel(name="joint_velocity", shape=(n,), elements=JOINTS, unit="rad/s", max_age_s=1.0),
        ),
        actions=(ActionChannel(name="joint_target", elements=JOINTS, unit="rad", low=(-3.0,) * n, high=(3.0,) * n,
                               neutral=(0.0,) * n),),
        envelope=Envelope(fallback=(Cut(value=(0.0,) * n),)),
    )  # fmt: skip
    random, sizes = np.random.default_rng(0), (3 * n, 256, 256, 128, n)
    inputs = ["joint_position", "joint_velocity", "applied_action"]
    nodes, weights, value = [helper.make_node("Concat", inputs, ["x0"], axis=1)], [], "x0"
    for k, (a, b) in enumerate(itertools.pairwise(sizes)):
        weights.append(numpy_helper.from_array(random.normal(0, 0.05, (a, b)).astype(np.float32), f"w{k}"))
        out = "action" if k == len(sizes) - 2 else f"y{k}"
        nodes.append(helper.make_node("MatMul", [value, f"w{k}"], [out]))
        value = f"x{k + 1}"
        if out != "action":
            nodes.append(helper.make_node("Tanh", [out], [value]))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", n]) for name in (*inputs, "action")]
    graph = helper.make_graph(nodes, "joints", infos[:-1], infos[-1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "plain.onnx")
    wrap_onnx(folder / "plain.onnx", spec, folder / "policy.onnx")
    return folder / "policy.onnx"


@contextlib.contextmanager
def hogs(count: int) -> Iterator[None]:
    running = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


@contextlib.contextmanager
def bare(rate_hz: float, seconds: float) -> Iterator[list[float]]:
    """Beside what is measured: the share of periods in which one of the cores was gone for half a period."""
    share: list[float] = []
    periods = round(rate_hz * seconds)
    arguments = [str(1.0 / rate_hz), str(periods)]
    running = [
        subprocess.Popen([sys.executable, "-c", BARE, str(cpu), *arguments], stdout=subprocess.PIPE, text=True)
        for cpu in sorted(os.sched_getaffinity(0))
    ]
    yield share
    share.append(sum(int(process.communicate()[0]) for process in running) / periods)


class Plant:
    """Publishes joint states and times the answers; a process of its own, see `measure`."""

    def __init__(self, path: Path, rate_hz: float) -> None:
        import rclpy
        from rclpy.experimental.events_executor import EventsExecutor

        from robostack.export.onnx import load_policy

        rclpy.init(domain_id=DOMAIN)
        self._node = rclpy.create_node("plant", start_parameter_services=False, enable_rosout=False)
        spec = load_policy(path).spec
        self._period_s = 1.0 / rate_hz
        topics = observation_topics(spec)
        self._lines = [
            (t, t.blank(wire.new), self._node.create_publisher(wire.message_type(t.type), t.name, wire.newest()))
            for t in reversed(topics)  # the leading one last: it is what gets answered
        ]
        action = action_topic(spec)
        kind = wire.message_type(action.type)
        self._node.create_subscription(kind, action.name, self._answered, wire.listened())
        self._status: Any = None
        self._node.create_subscription(
            wire.message_type(wire.STATUS_TYPE), "policy_status", self._told, wire.listened()
        )
        self._executor = EventsExecutor()
        self._executor.add_node(self._node)
        self._sent: dict[int, float] = {}
        self.trips_s: list[float] = []
        self.asked = 0
        self._values = {c.name: np.zeros(c.size) for c in spec.observations}

    def run(self, seconds: float) -> dict[str, Any]:
        self._loop(SETTLE_S)
        self.trips_s.clear()
        self.asked = 0
        timing = self._loop(seconds)
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            self._executor.spin_once(0.02)
        told = wire.Report.of(self._status)
        late = sum(t > self._period_s for t in self.trips_s) + self.asked - len(self.trips_s)
        return {
            "p50": float(np.quantile(self.trips_s, 0.5)), "p99": float(np.quantile(self.trips_s, 0.99)),
            "max": max(self.trips_s), "missed": late / self.asked, "late_loop": timing.late,
            "work_p99": float(told.values["work_p99_s"]),
        }  # fmt: skip

    def _loop(self, seconds: float) -> loop.Timing:
        return loop.run(self._tick, self._period_s, stop=lambda: None, periods=round(seconds / self._period_s),
                        sleep=self._executor.spin_once)  # fmt: skip

    def _tick(self, missed: int) -> None:
        stamp = time.time_ns()
        self._sent[stamp] = time.perf_counter()
        self.asked += 1
        for topic, message, publisher in self._lines:
            topic.write(message, self._values)
            wire.put_stamp(message.header, stamp)
            publisher.publish(message)

    def _answered(self, message: Any) -> None:
        sent = self._sent.pop(wire.stamp_ns(message.header), None)
        if sent is not None:
            self.trips_s.append(time.perf_counter() - sent)

    def _told(self, message: Any) -> None:
        self._status = message


def measure(rate_hz: float, fifo: int, hog_count: int, seconds: float) -> dict[str, Any]:
    """In a fresh process, since a scheduler is for life."""
    import json

    with tempfile.TemporaryDirectory() as name:
        path = policy(Path(name), rate_hz)
        nodes = [NodeDescription("policy", {"policy": str(path)}, fifo)]
        beside = bare(rate_hz, seconds) if fifo else contextlib.nullcontext([0.0])
        with hogs(hog_count), beside as gone, Processes(nodes, environment={"ROS_DOMAIN_ID": str(DOMAIN)}):
            command = [sys.executable, __file__, "--plant", str(path), str(rate_hz), str(fifo), str(seconds)]
            environment = {**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found | {"gone": gone[0]}


def main() -> None:
    import json

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 s each")
    parser.add_argument("--out", type=Path, help="results file instead of benchmarks/results/ros_round_trip.json")
    parser.add_argument("--plant", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plant:
        path, rate, fifo, seconds = args.plant
        if lacking := schedule(int(fifo)):
            print(lacking, file=sys.stderr)
        print(json.dumps(Plant(Path(path), float(rate)).run(float(seconds))))
        sys.stdout.flush()
        os._exit(0)
    seconds = 5.0 if args.quick else 60.0
    rows = []
    cases = (("100 Hz, idle", 100, 0, 0, 2.5), ("100 Hz, two hogs", 100, 0, 2, 10.0),
             ("100 Hz, two hogs, FIFO", 100, 50, 2, 3.0), ("500 Hz, two hogs, FIFO", 500, 50, 2, 1.0))  # fmt: skip
    for name, rate, fifo, count, bar in cases:
        found = measure(rate, fifo, count, seconds)
        rows.append(row(f"{name}: round trip, p50", 1e3 * found["p50"], "ms"))
        rows.append(row(f"{name}: round trip, p99", 1e3 * found["p99"], "ms", bar))
        rows.append(row(f"{name}: longest", 1e3 * found["max"], "ms"))
        what, gone = ("the cores were gone", 100 * found["gone"]) if fifo else (None, None)
        late, most = f"{name}: answers later than a period", 0.1 if rate == 500 else None
        rows.append(row(late, 100 * found["missed"], "%", most, reference=what, reference_value=gone))
        if name == "100 Hz, idle":
            rows.append(row("of it, policy_node's own share, p99", 1e3 * found["work_p99"], "ms", 0.5))
    write("ros_round_trip", rows, args.out)


if __name__ == "__main__":
    main()
