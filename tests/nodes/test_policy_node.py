"""Claims about policy_node alone, on a real wire: what comes in badly ages, trips, and is said."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Ear

from robostack import signature
from robostack.export.onnx import load_policy
from robostack.messages import observation_topics
from robostack_real.nodes import wire
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.stack import NodeDescription

LEVEL = {"position": np.zeros(3), "velocity": np.zeros(3), "attitude": np.array([1.0, 0, 0, 0]),
         "body_rate": np.zeros(3), "setpoint": np.zeros(9)}  # fmt: skip


class Drone:
    """Sends what a machine and its pilot would, and says that it is armed."""

    def __init__(self, ear: Ear, policy: Path) -> None:
        self.ear = ear
        self.spec = load_policy(policy).spec
        self._lines = [
            (t, t.blank(wire.new), ear.node.create_publisher(wire.message_type(t.type), t.name, wire.newest()))
            for t in observation_topics(self.spec)
        ]
        self._status = ear.node.create_publisher(wire.message_type(wire.STATUS_TYPE), "device_status", wire.newest())
        self.armed = False

    def send(self, spoil: Callable[[str, Any], None] = lambda topic, message: None, periods: int = 1) -> None:
        for _ in range(periods):
            for topic, message, publisher in self._lines:
                topic.write(message, LEVEL)
                wire.put_stamp(message.header, time.time_ns())
                spoil(topic.name, message)
                publisher.publish(message)
            report = wire.Report("device", "drone", "armed" if self.armed else "disarmed")
            self._status.publish(report.put(wire.new(wire.STATUS_TYPE)))
            self.ear.for_s(self.spec.control_dt_s)

    def until(
        self, true: Callable[[], bool], seconds: float = 10.0, spoil: Callable[[str, Any], None] = lambda t, m: None
    ) -> None:
        """Sends until `true()`."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.ear.report("policy")
            self.send(spoil)

    def fly(self) -> None:
        self.armed = False
        self.until(lambda: self.ear.state("policy") == "ready")
        self.armed = True
        self.until(lambda: self.ear.state("policy") == "acting")

    def until_tripped(self, spoil: Callable[[str, Any], None]) -> wire.Report:
        self.until(lambda: self.ear.state("policy") == "tripped", 5.0, spoil)
        self.until(lambda: not np.isfinite(self.action()).any(), 1.0, spoil)
        found = self.ear.report("policy")
        assert found is not None
        return found

    def action(self) -> np.ndarray:
        return np.array(self.ear.newest["action"].velocity)


@pytest.fixture(scope="module")
def drone(policy: Path, domain: int, ear: Ear) -> Iterator[Drone]:
    lines: list[str] = []
    nodes = [NodeDescription("policy", {"policy": str(policy)}, fifo=50)]
    with Processes(nodes, environment={"ROS_DOMAIN_ID": str(domain)}, show=lambda role, line: lines.append(line)):
        yield Drone(ear, policy)


def test_it_answers_each_observation_with_its_stamp_and_its_session(drone: Drone) -> None:
    drone.fly()
    action = drone.ear.newest["action"]
    assert tuple(action.name) == drone.spec.action_names
    assert np.isfinite(action.velocity).all() and action.header.frame_id.startswith("policy-")
    assert abs(wire.stamp_ns(action.header) - time.time_ns()) < 0.2e9


def test_a_frozen_driver_is_stale_though_it_goes_on_sending(drone: Drone) -> None:
    drone.fly()
    frozen = time.time_ns()

    def repeat(topic: str, message: Any) -> None:
        if topic == "odom":
            wire.put_stamp(message.header, frozen)

    report = drone.until_tripped(repeat)
    assert report.values["why"].startswith("stale") and int(report.values["repeated"]) > 1


def test_a_clock_that_jumps_back_is_no_fault(drone: Drone) -> None:
    drone.fly()
    drone.send(lambda topic, message: wire.put_stamp(message.header, time.time_ns() - 3600 * 10**9), periods=50)
    assert drone.ear.state("policy") == "acting" and np.isfinite(drone.action()).all()


def test_what_is_not_a_number_trips_after_its_hold_periods(drone: Drone) -> None:
    drone.fly()

    def lose_fix(topic: str, message: Any) -> None:
        if topic == "odom":
            message.pose.pose.position.x = float("nan")

    assert drone.until_tripped(lose_fix).values["why"] == "invalid position"


def test_another_frame_is_refused_in_words(drone: Drone) -> None:
    drone.fly()

    def world(topic: str, message: Any) -> None:
        if topic == "odom":
            message.child_frame_id = "odom"

    report = drone.until_tripped(world)
    assert "child_frame_id is 'odom'" in report.values["complaint"]
    drone.armed = False
    drone.until(lambda: drone.ear.report("policy").values["complaint"] == "")


def test_a_lost_setpoint_trips_when_it_is_too_old_and_not_before(drone: Drone) -> None:
    drone.fly()
    lost = time.monotonic() - drone.spec.control_dt_s  # the last was sent a period ago
    setpoint = drone._lines.pop(next(i for i, (t, _, _) in enumerate(drone._lines) if t.name == "setpoint"))
    try:
        report = drone.until_tripped(lambda topic, message: None)
    finally:
        drone._lines.append(setpoint)
    assert report.values["why"] == "stale setpoint" and time.monotonic() - lost > 0.49


def test_it_stays_tripped_until_the_device_has_disarmed(drone: Drone) -> None:
    drone.fly()
    drone.until_tripped(lambda topic, message: setattr(message.header, "frame_id", "") or time.sleep(0.15))
    drone.send(periods=50)
    assert drone.ear.state("policy") == "tripped" and not np.isfinite(drone.action()).any()
    drone.fly()


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({}, "parameter policy: give the path"),
        ({"policy": "nowhere.onnx"}, "nowhere.onnx"),
        ({"policy": "TRUNCATED"}, "truncated.onnx"),
    ],
)
def test_a_node_that_cannot_be_configured_says_why_and_ends(
    parameters: dict[str, str], says: str, policy: Path, domain: int, tmp_path: Path
) -> None:
    cut = tmp_path / "truncated.onnx"
    cut.write_bytes(policy.read_bytes()[:5000])
    given = {k: v.replace("TRUNCATED", str(cut)) for k, v in parameters.items()}
    node = NodeDescription("policy", given)
    command = [sys.executable, "-m", "robostack_real.nodes.main", "policy", *node.arguments()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr


def test_a_node_takes_no_file_that_nobody_it_trusts_has_signed(policy: Path, tmp_path: Path) -> None:
    signature.new_key(tmp_path / "robot")
    node = NodeDescription("policy", {"policy": str(policy), "require_signature": str(tmp_path / "robot.pub")})
    command = [sys.executable, "-m", "robostack_real.nodes.main", "policy", *node.arguments()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "not signed" in done.stderr and "robostack sign" in done.stderr


@pytest.mark.parametrize(
    ("role", "parameters", "says"),
    [
        ("device", {"device": "nothing"}, "'nothing' is no URI of a device"),
        ("device", {"device": "teapot://1"}, "no device is called 'teapot'"),
        ("sim", {"device": "sim://somersault"}, "no scenario 'somersault'"),
        ("setpoint", {"trajectory": "spiral"}, "'spiral' is none of"),
        ("device", {"heartbeat_max_age_s": 100.0}, "heartbeat_max_age_s"),
    ],
)
def test_a_wrong_parameter_is_named(role: str, parameters: dict[str, Any], says: str, policy: Path) -> None:
    node = NodeDescription(role, {"policy": str(policy), **parameters})
    command = [sys.executable, "-m", "robostack_real.nodes.main", role, *node.arguments()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
