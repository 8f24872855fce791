"""Does anything grow or drift? Ten million steps of policy_node, and half an hour of the whole stack.

    python benchmarks/ros_soak.py [--quick]

*Steps*: policy_node in this process gets an observation a step, as its subscriptions hand it over, in lockstep, and
answers by its publisher, as fast as it can; all that is left out is the wire. *Stack*: the simulated quadrotor hovers
in real time, under SCHED_FIFO, in flights of five minutes, since its simulated battery runs down like a real one, and
takes off again from the same processes; memory of each process is read once a second. A slope of memory is a line
through the second half, when everything has been touched once; a quick run says nothing about it. Drift is that of
the periods which the device's loop has counted, against the stamps of its own diagnostics, from the first third to the
last.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write
from _stack import Ear, Running, flying_policy

from robostack.export.onnx import load_policy
from robostack.messages import observation_topics
from robostack_real.nodes import wire

DOMAIN = 96
FLIGHT_S = 300.0
LOOK_STEPS = 20_000
MOST_GROWTH = 1.0
"""MiB an hour of a process, and MiB a million steps; not judged in a quick run"""
LEVEL = {"attitude": np.array([1.0, 0.0, 0.0, 0.0])}


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def slope(at: Sequence[float], found: Sequence[float]) -> float:
    """Of a line through the second half."""
    half = len(at) // 2
    return float(np.polyfit(at[half:], found[half:], 1)[0])


def steps(policy: Path, count: int, most_growth: float | None) -> list[dict[str, Any]]:
    """`count` observations to a policy_node that flies."""
    import rclpy

    from robostack_real.nodes.policy_node import PolicyNode

    rclpy.init(args=["soak", "--ros-args", "-p", f"policy:={policy}", "-p", "lockstep:=true"], domain_id=DOMAIN)
    node = PolicyNode()
    if not node.start():
        raise SystemExit(node.failed)
    topics = sorted(observation_topics(node.spec), key=lambda t: t.name == "odom")  # what is answered comes last
    messages = [(t, t.blank(wire.new)) for t in topics]
    values = {c.name: LEVEL.get(c.name, np.zeros(c.shape)) for c in node.spec.observations}
    armed = wire.Report("device", "soak", "armed").put(wire.new(wire.STATUS_TYPE))
    node._heard_device(armed)
    at, memory, tripped = [], [], 0
    rates, last = [], time.process_time()
    for k in range(count):
        for topic, message in messages:
            topic.write(message, {c.name: values[c.name] for c in topic.channels})
            wire.put_stamp(message.header, 10**9 + k * 10_000_000)
            node._arrived(topic, message)
        tripped += node.state == "tripped"
        if (k + 1) % LOOK_STEPS == 0:
            now = time.process_time()  # what others leave of the machine does not matter
            at.append(float(k + 1))
            memory.append(float(resident(os.getpid())))
            rates.append(LOOK_STEPS / (now - last))
            last = now
    node.trigger_deactivate()
    node.destroy_node()
    rclpy.shutdown()
    half = len(rates) // 2
    return [
        row("policy_node: steps", count, "", count, better="higher"),
        row("policy_node: steps a second of processor time", float(np.median(rates)), "/s"),
        row("policy_node: memory, growth a million steps", max(0.0, slope(at, memory)) * 1e6 / 2**20, "MiB",
            most_growth),
        row("policy_node: speed of the second half over the first's", 100 * float(
            np.median(rates[half:]) / np.median(rates[:half])), "%", 90.0, better="higher"),
        row("policy_node: trips", tripped, "", 0),
    ]  # fmt: skip


def stack(policy: Path, seconds: float, most_growth: float | None) -> list[dict[str, Any]]:
    """The sim stack in flight for so long."""
    ear = Ear(DOMAIN)
    with Running(policy, DOMAIN, fifo=50) as running:
        began, flown_s, flights = time.monotonic(), 0.0, 0
        at: list[float] = []
        memory: dict[str, list[float]] = {role: [] for role in running.running}
        ahead_s: list[float] = []

        def diagnosed(message: Any) -> None:
            report = wire.Report.of(message.status[0])
            if report.name == "/device":
                periods = int(report.values["loop_ticks"]) + int(report.values["loop_late"])
                ahead_s.append(periods * dt_s - (wire.stamp_ns(message.header) - began_ns) * 1e-9)

        dt_s, began_ns = load_policy(policy).spec.control_dt_s, time.time_ns()
        kind = wire.message_type("diagnostic_msgs/msg/DiagnosticArray")
        ear.node.create_subscription(kind, "/diagnostics", diagnosed, 10)
        farthest, flying = 0.0, True
        while flying and flown_s < seconds:
            if not (ear.on_the_stand() and ear.take_off()):
                raise SystemExit("\n".join(running.lines))
            ear.for_s(2.0)
            flights, start = flights + 1, time.monotonic()
            while flying and time.monotonic() - start < min(FLIGHT_S, seconds - flown_s):
                ear.for_s(1.0)
                at.append(time.monotonic() - began)
                for role, process in running.running.items():
                    memory[role].append(float(resident(process.pid)))
                p = ear.newest["truth"].pose.pose.position
                farthest = max(farthest, float(np.linalg.norm([p.x, p.y, p.z])))
                flying = ear.state("device") == "armed"
            flown_s += time.monotonic() - start
        fallbacks = int(ear.report("device").values["fallbacks"])
        if fallbacks or not flying:
            print(*running.lines, sep="\n")
    ear.close()
    flown = row(f"stack: in the air, flights: {flights}", flown_s / 60, "min", seconds / 60, better="higher")
    rows = [flown]
    for role, found in memory.items():
        print(f"{role}: growth {slope(at, found) * 3600 / 2**20:.3g} MiB/h")
        rows.append(row(f"stack: memory of {role}", found[-1] / 2**20, "MiB"))
    worst = max(max(0.0, slope(at, found)) for found in memory.values())
    third = len(ahead_s) // 3
    drift_s = abs(float(np.mean(ahead_s[-third:]) - np.mean(ahead_s[:third])))
    rows += [
        row("stack: memory, the fastest growth of a process", worst * 3600 / 2**20, "MiB/h", most_growth),
        row("stack: drift of the device's loop", 1e3 * drift_s, "ms", 1e3 * dt_s),
        row("stack: fallbacks", fallbacks, "", 0),
        row("stack: farthest from where it shall hover", farthest, "m", 0.15),
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100,000 steps, 15 s")
    parser.add_argument("--out", type=Path, help="results file instead of benchmarks/results/ros_soak.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    with tempfile.TemporaryDirectory() as name:
        policy = flying_policy(Path(name))
        gc.collect()
        if args.quick:
            rows = stack(policy, 15.0, None) + steps(policy, 100_000, None)
        else:
            rows = stack(policy, 1800.0, MOST_GROWTH) + steps(policy, 10_000_000, MOST_GROWTH)
    write("ros_soak", rows, args.out)


if __name__ == "__main__":
    main()
