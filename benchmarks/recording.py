"""What recording costs: the sender, a core, and messages; and how fast a recording is replayed.

    python benchmarks/recording.py [--quick]

A process sends odometry and actions at 500 Hz each over DDS on loopback, first unheard, then with `robostack record`
listening. Costs are processor time, so that a busy machine tells the same; what is dropped is the recorder's own count.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _results import row, write

from robostack.evaluate import bag
from robostack.evaluate.replay import read, replay
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.messages import ATTITUDE, BODY, WORLD, action_topic, observation_topics
from robostack.runtime.runner import Runner

from firmware_step import SPEC as BARE, RandomActor  # isort: skip

RATE_HZ = 500.0
FRAMES = {"position": WORLD, "velocity": WORLD, "attitude": ATTITUDE, "body_rate": BODY, "setpoint": WORLD}
SPEC = BARE.model_copy(update={"observations": tuple(
    c.model_copy(update={"frame": FRAMES[c.name], "unit": "1" if c.name == "attitude" else c.unit})
    for c in BARE.observations
)})  # fmt: skip
ENVIRONMENT = {
    "ROS_DOMAIN_ID": "101", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",
}  # fmt: skip


def values_of(k: int) -> dict[str, Any]:
    """Of period k."""
    t = k * SPEC.control_dt_s
    return {
        "position": (0.1 * np.sin(t), 0.1 * np.cos(t), 1.0), "velocity": (0.1 * np.cos(t), 0.0, 0.0),
        "attitude": (1.0, 0.0, 0.0, 0.0), "body_rate": (0.0, 0.1, 0.0), "setpoint": (0.0, 0.0, 1.0),
        "rotor_speed": (1450.0,) * 4,
    }  # fmt: skip


def send(seconds: float, heard: bool) -> None:
    """Sends, and prints the processor time of a message, s; with `heard` only once all topics have a listener."""
    import rclpy
    from rclpy.qos import QoSProfile

    def new(kind: str) -> Any:
        package, _, name = kind.split("/")
        return getattr(importlib.import_module(f"{package}.msg"), name)()

    rclpy.init()
    node = rclpy.create_node("sender")
    lines = []
    for topic in (*observation_topics(SPEC), action_topic(SPEC)):
        message = topic.blank(new)
        topic.write(message, values_of(0))
        lines.append((node.create_publisher(type(message), topic.name, QoSProfile(depth=1)), message))
    while heard and not all(sender.get_subscription_count() for sender, _ in lines):
        time.sleep(0.05)
    began, sent, spent = time.monotonic(), 0, 0.0
    for k in range(round(seconds * RATE_HZ)):
        time.sleep(max(0.0, began + k / RATE_HZ - time.monotonic()))
        before = time.process_time()
        for sender, message in lines:
            sender.publish(message)
            sent += 1
        spent += time.process_time() - before
    time.sleep(1.0)
    print(json.dumps({"sent": sent, "per_message_s": spent / sent}))


def sender(seconds: float, heard: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--send", str(seconds), *(["--heard"] if heard else [])]
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def recorded(policy: LoadedPolicy, path: Path, seconds: float) -> tuple[dict[str, float], float, str]:
    """What the sender says, the recorder's processor time, s, and its words."""
    command = [sys.executable, "-m", "robostack", "record", "--policy", policy.origin, "-o", str(path)]
    environment = {**os.environ, **ENVIRONMENT}
    recorder = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    sent = sender(seconds, heard=True)
    recorder.send_signal(signal.SIGINT)
    assert recorder.stdout is not None
    words = recorder.stdout.read()
    _, status, usage = os.wait4(recorder.pid, 0)
    recorder.returncode = os.waitstatus_to_exitcode(status)
    return sent, usage.ru_utime + usage.ru_stime, words


def replay_rate(policy: LoadedPolicy, path: Path, periods: int) -> tuple[float, float]:
    """Periods a second of processor time: read from the bag, and replayed."""
    make = bag.Messages()
    topics = (*observation_topics(SPEC), action_topic(SPEC))
    with bag.Bag(path, make) as file:
        lines = [(t, t.blank(make.new), file.topic(t.name, t.type)) for t in topics]
        for k in range(periods):
            for topic, message, line in lines:
                topic.write(message, values_of(k))
                file.put(line, 10**18 + round(k * SPEC.control_dt_s * 1e9), message)
    start = time.process_time()
    recording = read(path, SPEC)
    middle = time.process_time()
    replay(Runner(policy), recording)
    return periods / (middle - start), periods / (time.process_time() - middle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--send", type=float)
    parser.add_argument("--heard", action="store_true")
    args = parser.parse_args()
    if args.send is not None:
        send(args.send, args.heard)
        return
    seconds, periods = (4.0, 3000) if args.quick else (30.0, 30_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        actor = RandomActor(0)
        policy = export_onnx(actor, SPEC, folder / "policy.onnx", reference=actor)
        unheard = sender(seconds, heard=False)
        short, start_s, _ = recorded(policy, folder / "short.mcap", 1.0)
        heard, spent_s, words = recorded(policy, folder / "long.mcap", seconds)
        kept = int(words.split(": ", 1)[1].split(" ", 1)[0].replace(",", ""))
        dropped = sum(int(n.replace(",", "")) for n in re.findall(r"did not keep up: ([\d,]+)", words))
        size = (folder / "long.mcap").stat().st_size
        read_rate, replayed = replay_rate(policy, folder / "replay.mcap", periods)
    rate = heard["sent"] / seconds
    per_message_s = (spent_s - start_s) / (heard["sent"] - short["sent"])
    rows = [
        row(
            f"not recorded of {heard['sent']:,.0f} messages, {rate:,.0f} a second", heard["sent"] - kept, "messages", 0
        ),
        row("of them dropped by the recorder", dropped, "messages"),
        row("a message, recorder's processor time", 1e6 * per_message_s, "us"),
        row("a core, at that rate", 100 * per_message_s * rate, "%"),
        row("a message, its sender's, unheard", 1e6 * unheard["per_message_s"], "us"),
        row("a message, its sender's, recorded", 1e6 * heard["per_message_s"], "us"),
        row("file", size / kept, "B/message"),
        row("read for replay", read_rate, "periods/s"),
        row("replayed", replayed, "periods/s", better="higher"),
    ]
    write("recording", rows, args.out)


if __name__ == "__main__":
    main()
