"""Claims: what DDS will not connect is found on the wire and given its remedy; what it connects is not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robostack.messages import observation_topics
from robostack.spec import PolicySpec
from robostack_real.doctor.quality import Ends, Quality, judge, misfits

GOOD = Quality("good", deadline_s=0.02, kept=True, manual=True, lease_s=0.2)


@pytest.mark.parametrize(
    ("worse", "says"),
    [
        ({"reliable": False}, "sends best effort, asker asks for reliable"),
        ({"kept": False}, "sends volatile, asker asks for transient local"),
        ({"deadline_s": 0.05}, "promises a deadline of 0.05 s, asker asks for 0.02 s"),
        ({"deadline_s": float("inf")}, "has no deadline, asker asks for 0.02 s"),
        ({"manual": False}, "liveliness is automatic"),
        ({"lease_s": 1.0}, "lease is 1 s, asker asks for 0.2 s"),
    ],
)
def test_less_than_is_asked_for_is_named_and_more_is_no_matter(worse: dict[str, Any], says: str) -> None:
    asker = dataclasses.replace(GOOD, node="asker")
    less = dataclasses.replace(GOOD, **worse)
    ((found, remedy),) = misfits(less, asker)
    assert says in found and remedy.startswith("good: ")
    assert misfits(asker, less) == [] and misfits(GOOD, asker) == []


def test_it_is_wrong_where_we_hear_nothing_and_worth_a_look_where_others_do() -> None:
    ours, volatile = Quality("robostack", kept=True), Quality("button")
    (finding,) = judge([Ends("estop", ours, [volatile, volatile])])
    assert (finding.level, finding.topic) == ("error", "estop") and "transient_local" in finding.remedy
    (finding,) = judge([Ends("odom", Quality("robostack", False), [Quality("mocap", False)], [Quality("rviz")])])
    assert finding.level == "warning" and "mocap sends best effort, rviz asks" in finding.found
    (finding,) = judge(
        [Ends("odom", Quality("robostack", False), [Quality("mocap")], [Quality("rviz")]), Ends("a", ours)]
    )
    assert finding.level == "ok"


def test_misfits_are_found_on_the_wire(spec: PolicySpec, domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rclpy = pytest.importorskip("rclpy")
    from nav_msgs.msg import Odometry
    from rclpy.duration import Duration
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from std_msgs.msg import Bool

    from robostack_real.doctor.listening import listen
    from robostack_real.nodes import wire

    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("driver", context=context)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_publisher(Odometry, "odom", best_effort)
    node.create_subscription(Odometry, "odom", print, QoSProfile(depth=1, deadline=Duration(seconds=0.5)))
    node.create_publisher(Bool, "estop", 10)
    heard, found, _ = listen(observation_topics(spec), 1.0)
    ours = wire.listened()
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert heard[0].senders == ["driver"]
    said = {(f.level, f.topic): f.found for f in judge(found)}
    assert said["error", "estop"] == "driver sends volatile, robostack asks for transient local"
    assert said["warning", "odom"] == "driver has no deadline, driver asks for 0.5 s"
    assert "driver sends best effort, driver asks for reliable" in [f.found for f in judge(found)]
    assert found[0].ours == Quality.of("robostack", ours) == Quality("robostack", reliable=False)
    assert found[0].senders == [Quality("driver", reliable=False)]
    assert found[0].listeners == [Quality("driver", deadline_s=0.5)]
