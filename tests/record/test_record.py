"""Claims: what a stack says over DDS is in the bag, byte for byte and whole, however the recording ends; and the policy
that was recorded does the same again.

Real publishers in a process of their own, the recorder as a user starts it, a DDS domain for each test.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

sys.path.insert(0, str(Path(__file__).parent))
from flying import make_policy, measured

from robostack import cli
from robostack.evaluate import bag
from robostack.evaluate.replay import read, replay
from robostack.runtime.runner import Runner
from robostack_real.recording import recorder

FLYING = Path(__file__).with_name("flying.py")
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def policy(tmp_path: Path) -> Runner:
    return Runner(make_policy(tmp_path / "policy.onnx"))


@pytest.fixture
def record(start: Start, policy: Runner, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def record(*words: object, **options: Any) -> subprocess.Popen[str]:
        command = ("-m", "robostack", "record", "--policy", policy.policy.origin, "-o", tmp_path / "run.mcap")
        return start(*command, *words, **options)

    return record


def fly(start: Start, policy: Runner, periods: int, namespace: str = "") -> None:
    process = start(FLYING, policy.policy.origin, periods, namespace)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 0, err


def ended(process: subprocess.Popen[str], by: signal.Signals | None = None) -> tuple[int, str, str]:
    if by is not None:
        process.send_signal(by)
    out, err = process.communicate(timeout=40)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def messages(path: Path) -> list[tuple[str, int, Any]]:
    with AnyReader([path]) as reader:
        return [(c.topic, t, reader.deserialize(raw, c.msgtype)) for c, t, raw in reader.messages()]


def test_what_was_recorded_is_what_was_sent_and_the_policy_does_the_same_again(
    start: Start, record: Start, policy: Runner, tmp_path: Path
) -> None:
    process = record("--namespace", "drone1", "--topic", "imu:sensor_msgs/Imu")
    fly(start, policy, 150, "drone1")
    status, out, _ = ended(process, signal.SIGINT)
    assert status == 0 and "run.mcap: 315 messages of 3 topics" in out and "/drone1/imu" in out
    assert {p.name for p in tmp_path.iterdir()} == {"policy.onnx", "run.mcap"}
    found = messages(tmp_path / "run.mcap")
    odom = [(t, m) for topic, t, m in found if topic == "/drone1/odom"]
    sent = np.array([measured(k)["position"] for k in range(150)])
    np.testing.assert_array_equal([[(p := m.pose.pose.position).x, p.y, p.z] for _, m in odom], sent)
    late = [t - m.header.stamp.sec * 10**9 - m.header.stamp.nanosec for t, m in odom]
    assert min(late) > 0 and np.median(late) < 10e6  # arrival, not writing
    about = next(json.loads(m.data) for topic, _, m in found if topic == "/drone1/about")
    assert about["policy_hash"] == policy.policy_hash and about["contract"]["task"] == "flying"
    with (tmp_path / "run.mcap").open("rb") as file:  # Foxglove's own reader
        assert sum(1 for _ in make_reader(file).iter_messages()) == 316
    result = replay(policy, read(tmp_path / "run.mcap", policy.spec))
    assert result.compared.sum() == 150 and not result.trips
    assert max(d.share for d in result.elements) < 1e-6


def test_a_recording_that_was_killed_is_mended(start: Start, record: Start, policy: Runner, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    process, path = record(), tmp_path / "run.mcap"
    fly(start, policy, 150)
    process.kill()
    process.communicate()
    assert cli.main(["replay", str(path), "--policy", policy.policy.origin]) == 1
    assert "cut before its end" in capsys.readouterr().err
    assert cli.main(["record", "--mend", str(path)]) == 0
    assert cli.main(["replay", str(path), "--policy", policy.policy.origin]) == 0
    assert len([t for t, _, _ in messages(path) if t == "/odom"]) > 30  # a second may be lost


def test_a_full_disk_is_said_and_keeps_what_was_written(start: Start, record: Start, policy: Runner,
                                                        tmp_path: Path) -> None:  # fmt: skip
    limit = 120_000
    process = record(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    fly(start, policy, 200)
    status, _, err = ended(process)
    assert status == 1 and "run.mcap: File too large; what was written until then is kept and can be read" in err
    assert len(messages(tmp_path / "run.mcap")) > 20


@pytest.fixture
def node(fresh_domain: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A node of the test's own, where no process has to be lost; commands that this process runs are in its domain."""
    rclpy = pytest.importorskip("rclpy")
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.setenv(name, fresh_domain[name])
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("other", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_what_a_slow_disk_left_no_room_for_is_counted(
    node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from std_msgs.msg import String

    monkeypatch.setattr(recorder, "QUEUE_BYTES", 500)
    sender = node.create_publisher(String, "/notes", 10)
    with bag.Bag(tmp_path / "run.mcap", bag.Messages()) as file:
        topics = [recorder.Topic("/notes", "std_msgs/msg/String")]
        taking = recorder.Recorder(node, file, topics)
        while not sender.get_subscription_count():
            taking.spin()
        for text in ("short", 1000 * "long", "short"):
            sender.publish(String(data=text))
            before = topics[0].count
            while topics[0].count == before:
                taking.spin()
        taking.close()
    assert (taking.dropped, taking.messages, topics[0].lost) == (1, 2, 0)
    assert [m.data for _, _, m in messages(tmp_path / "run.mcap")] == ["short", "short"]


def test_another_type_on_a_topic_is_refused_by_its_sender(node: Any, policy: Runner, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    from std_msgs.msg import String

    node.create_publisher(String, "/odom", 1)
    assert cli.main(["record", "--policy", policy.policy.origin, "-o", str(tmp_path / "run.mcap")]) == 1
    assert "/odom: /other sends std_msgs/msg/String, wanted is nav_msgs/msg/Odometry" in capsys.readouterr().err
    assert not (tmp_path / "run.mcap").exists()


def test_a_stack_in_another_namespace_is_named(node: Any, policy: Runner, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    from std_msgs.msg import String

    node.create_publisher(String, "/drone1/odom", 1)
    words = ["record", "--policy", policy.policy.origin, "-o", str(tmp_path / "run.mcap"), "--seconds", "3.5"]
    assert cli.main(words) == 1
    err = capsys.readouterr().err
    assert "nothing was heard in domain" in err and "on /odom, /setpoint, /action" in err
    assert "there is /drone1/odom" in err
    assert not (tmp_path / "run.mcap").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--topic", "imu"], "--topic imu: say NAME:TYPE"),
        (["--topic", "odom:nav_msgs/msg/Odometry"], "/odom would be recorded twice"),
        (["--topic", "x:my_msgs/msg/Own"], "my_msgs/msg/Own is none of ROS 2 Jazzy's standard message types"),
        (["--namespace", "a b"], "/a b/odom is no name of a topic"),
        (["--mend", "policy.onnx"], "policy.onnx: not an MCAP file"),
        (["--policy", "absent.onnx"], "absent.onnx: No such file"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_no_file(
    policy: Runner, tmp_path: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("rclpy")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["record", "--policy", "policy.onnx", *words]) == 1
    err = capsys.readouterr().err
    assert says in err and err.count("robostack:") == 1 and "unexpected" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["policy.onnx"]


def test_a_file_that_is_there_stays(policy: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rclpy")
    path = tmp_path / "run.mcap"
    path.write_text("precious")
    assert cli.main(["record", "--policy", policy.policy.origin, "-o", str(path)]) == 1
    assert "run.mcap: exists already, and a bag is never overwritten" in capsys.readouterr().err
    assert path.read_text() == "precious"


def test_without_rclpy_both_ways_to_get_it_are_said(policy: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "rclpy", None)
    assert cli.main(["record", "--policy", policy.policy.origin, "-o", str(tmp_path / "x.mcap")]) == 1
    err = capsys.readouterr().err
    assert ". /opt/ros/jazzy/setup.sh" in err and "pip install 'robostack[ros]'" in err


def test_a_service_manager_s_end_is_a_good_one(start: Start, record: Start, tmp_path: Path) -> None:
    """Before anything was heard, too."""
    process = record("--topic", "/rosout:rcl_interfaces/msg/Log")
    while not (tmp_path / "run.mcap").exists():
        time.sleep(0.05)
    status, _, err = ended(process, signal.SIGTERM)
    assert status == 1 and "nothing was heard" in err
    assert not (tmp_path / "run.mcap").exists()
