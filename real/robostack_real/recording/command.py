"""`robostack record`: keep what a stack's topics say as MCAP"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy
    from robostack_real.recording.recorder import Recorder, Topic

REPORT = "diagnostic_msgs/msg/DiagnosticStatus"
NODES = {
    "applied_action": "sensor_msgs/msg/JointState",
    "truth": "nav_msgs/msg/Odometry",
    "estop": "std_msgs/msg/Bool",
    **dict.fromkeys(("policy_status", "device_status", "supervisor_status", "setpoint_status"), REPORT),
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
"""What a stack's nodes say besides; recorded where they do."""
WAIT_S = 10.0
"""for senders: discovery takes up to three seconds"""
WAIT_AFTER_S = 0.3
"""for the last messages on their way"""


@dataclass(frozen=True)
class Command:
    """Record the topics of a policy's contract, and what the nodes say, as MCAP for Foxglove, `ros2 bag` and replay.

    A process of its own, which nobody waits for. Topics that appear later are recorded from then on. Ctrl-C ends it
    with a whole file. The domain is ROS_DOMAIN_ID's.

    Example: robostack record --policy policy.onnx -o run.mcap
    Example: robostack record --policy policy.onnx -o run.mcap --namespace drone1 --topic imu:sensor_msgs/msg/Imu
    """

    policy: Annotated[str | None, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("run.mcap")
    """The file to write; one that is there is never overwritten."""
    namespace: str = ""
    """Of the stack's topics."""
    topic: tuple[str, ...] = ()
    """More topics, each as NAME:TYPE; a name without a leading / is in the namespace."""
    seconds: float | None = None
    """End by itself after so long. Default: at Ctrl-C."""
    mend: Path | None = None
    """Record nothing; complete a file whose recording was killed, as far as it goes."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the result as JSON for a script."""

    def run(self) -> int:
        if self.mend is not None:
            from robostack.evaluate.mend import mend

            lost = mend(self.mend)
            if self.json:
                answer({"recording": self.mend, "bytes_lost": lost})
            else:
                print(f"{self.mend}: whole again, {lost:,} bytes of its end are lost")
            return 0
        from robostack.evaluate import bag
        from robostack.export.onnx import load_policy
        from robostack_real.nodes import wire
        from robostack_real.recording.recorder import Recorder

        policy = load_policy(RunFolder.find_policy(self.policy, self.root))
        rclpy, make = wire.ros(), bag.Messages()
        place = self.namespace.strip("/")
        namespace = f"/{place}/" if place else "/"
        topics = self._topics(policy, namespace)
        context = rclpy.Context()
        rclpy.init(context=context, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
        try:
            with _asked_to_end() as ended, bag.Bag(self.output, make) as file:
                try:
                    file.say(file.topic(namespace + bag.ABOUT, bag.TEXT), time.time_ns(), json.dumps(_about(policy)))
                    options = {"enable_rosout": False, "start_parameter_services": False}
                    node = rclpy.create_node("recorder", namespace=f"/{place}", context=context, **options)
                    recorder = Recorder(node, file, topics)
                    try:
                        self._record(recorder, ended)
                        alike = recorder.alike()
                    finally:
                        recorder.close()
                        node.destroy_node()
                finally:
                    if not any(t.count for t in topics):
                        self.output.unlink()
        finally:
            context.try_shutdown()
        return self._report(recorder, alike)

    def _topics(self, policy: LoadedPolicy, namespace: str) -> list[Topic]:
        from robostack.messages import action_topic, observation_topics
        from robostack_real.recording.recorder import Topic

        def absolute(name: str) -> str:
            return name if name.startswith("/") else namespace + name

        contract = (*observation_topics(policy.spec), action_topic(policy.spec))
        found = [Topic(absolute(t.name), t.type) for t in contract]
        for text in self.topic:
            name, _, kind = text.partition(":")
            if not name or len(kind.split("/")) not in (2, 3):
                raise ContractError(f"--topic {text}: say NAME:TYPE, such as imu:sensor_msgs/msg/Imu")
            package, *_, message = kind.split("/")
            found.append(Topic(absolute(name), f"{package}/msg/{message}"))
        names = [t.name for t in found]
        for name in names:
            if not re.fullmatch(r"(/[A-Za-z_][A-Za-z0-9_]*)+", name):
                raise ContractError(f"{name} is no name of a topic: letters, digits and _ between slashes")
        twice = [n for n in names if names.count(n) > 1]
        if twice:
            raise ContractError(f"{twice[0]} would be recorded twice; leave out its --topic")
        return found + [
            Topic(absolute(n), kind, expected=False) for n, kind in NODES.items() if absolute(n) not in names
        ]

    def _record(self, recorder: Recorder, ended: Sequence[int]) -> None:
        began, told = time.monotonic(), 0.0
        waiting = True
        while not ended and (self.seconds is None or time.monotonic() - began < self.seconds):
            recorder.spin()
            now = time.monotonic()
            if waiting and (not recorder.unheard or now - began > WAIT_S):
                waiting = False
                missing = f"; nobody sends {', '.join(recorder.unheard)} yet" if recorder.unheard else ""
                print(f"\rrecording into {self.output}{missing}", file=sys.stderr)
            if sys.stderr.isatty() and now - told > 0.5:
                told = now
                size = f"{recorder.messages:,} messages, {recorder.bytes / 1e6:.1f} MB"
                dropped = f", {recorder.dropped:,} dropped" if recorder.dropped else ""
                wait = f"waiting for {', '.join(recorder.unheard)}: " if waiting else ""
                print(f"\r\x1b[K{now - began:6.1f} s  {wait}{size}{dropped}", end="", file=sys.stderr, flush=True)
        until = time.monotonic() + WAIT_AFTER_S
        while time.monotonic() < until:
            recorder.spin()

    def _report(self, recorder: Recorder, alike: Sequence[str]) -> int:
        seen = [t for t in recorder.topics if t.count]
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
        if not seen:
            hint = f"; there is {', '.join(alike)}" if alike else ""
            raise ContractError(
                f"nothing was heard in domain {os.environ.get('ROS_DOMAIN_ID', '0')} on "
                f"{', '.join(recorder.unheard)}: is the stack up, in this ROS_DOMAIN_ID and this namespace "
                f"(--namespace)?{hint}"
            )
        size = self.output.stat().st_size
        if self.json:
            topics = {t.name: {"messages": t.count, "lost": t.lost} for t in seen}
            answer({"recording": self.output, "bytes": size, "dropped": recorder.dropped, "topics": topics})
            return 0
        print(f"{self.output}: {recorder.messages:,} messages of {len(seen)} topics, {size:,} bytes")
        for t in (t for t in recorder.topics if t.expected or t.count):
            print(f"  {t.name:<40} {t.count:>9,}{f'  {t.lost:,} lost on the way' if t.lost else ''}")
        if recorder.dropped:
            print(f"  dropped, because the disk did not keep up: {recorder.dropped:,}")
        return 0


def _about(policy: LoadedPolicy) -> dict[str, Any]:
    contract = policy.spec.model_dump(mode="json", exclude={"self_test", "calibration"})
    return {"policy_hash": policy.policy_hash, "file_sha256": policy.file_sha256, "contract": contract}


@contextlib.contextmanager
def _asked_to_end() -> Iterator[Sequence[int]]:
    """Fills when Ctrl-C or SIGTERM (a service manager) asks to end."""
    asked: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda number, _: asked.append(number)) for kind in kinds]
    try:
        yield asked
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler if handler is not None else signal.SIG_DFL)
