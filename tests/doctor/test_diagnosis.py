"""Claims: what is wrong on a wire is found, named and given its remedy; what is right is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from robostack.messages import Topic, observation_topics
from robostack.spec import PolicySpec
from robostack_real.doctor.diagnosis import diagnose
from robostack_real.doctor.finding import Finding
from robostack_real.doctor.listening import Heard

DT = 0.01


def circling(topic: Topic, seconds: float = 2.0) -> Heard:
    """A body that circles at 1 m/s and rolls to and fro, as a sound sender tells it."""
    heard = Heard(topic, senders=["driver"])
    for k in range(round(seconds / DT)):
        t = k * DT
        roll, rate = 0.3 * math.sin(4 * t), 1.2 * math.cos(4 * t)
        heard.arrivals_s.append(t)
        heard.stamps_ns.append(10**18 + round(t * 1e9))
        heard.ages_s.append(0.002)
        heard.values.append({
            "position": np.array([math.sin(t), math.cos(t), 1.0]), "velocity": np.array([math.cos(t), -math.sin(t), 0]),
            "attitude": np.array([math.cos(roll / 2), math.sin(roll / 2), 0, 0]), "body_rate": np.array([rate, 0, 0]),
        })  # fmt: skip
    return heard


@pytest.fixture
def heard(spec: PolicySpec) -> Heard:
    return circling(observation_topics(spec)[0])


def wrong(spec: PolicySpec, heard: Heard) -> list[Finding]:
    return [f for f in diagnose(spec, [heard]) if f.level != "ok"]


def scaled(heard: Heard, channel: str, factor: float) -> None:
    for value in heard.values:
        value[channel] = value[channel] * factor


def test_a_sound_sender_has_nothing_wrong(spec: PolicySpec, heard: Heard) -> None:
    assert wrong(spec, heard) == []
    assert {f.what for f in diagnose(spec, [heard])} >= {"velocity against position", "body_rate against attitude"}


@pytest.mark.parametrize(
    ("channel", "factor", "says"),
    [
        ("body_rate", 57.29578, "degrees"), ("velocity", 1000.0, "limits"), ("velocity", 0.001, "times too small"),
        ("velocity", -1.0, "opposite"), ("body_rate", -1.0, "opposite"), ("position", 1000.0, "limits"),
        ("attitude", 2.0, "limits"), ("attitude", 0.5, "unit quaternion"),
    ],
)  # fmt: skip
def test_a_wrong_unit_or_sign_is_named(spec: PolicySpec, heard: Heard, channel: str, factor: float, says: str) -> None:
    scaled(heard, channel, factor)
    found = [f for f in wrong(spec, heard) if f.level == "error" and channel in f.what]
    assert any(says in f"{f.found} {f.remedy}" for f in found)


def test_a_twist_in_the_worlds_frame_is_suspected(spec: PolicySpec, heard: Heard) -> None:
    """Somebody who faces east and rotates what is rotated already."""
    for value in heard.values:
        x, y, z = value["velocity"]
        value["velocity"] = np.array([-y, x, z])
    assert [f.what for f in wrong(spec, heard)] == ["velocity against position"]


def test_standing_still_says_that_it_cannot_be_compared(spec: PolicySpec, heard: Heard) -> None:
    for value in heard.values:
        value |= {"velocity": np.zeros(3), "body_rate": np.zeros(3), "position": np.zeros(3),
                  "attitude": np.array([1.0, 0, 0, 0])}  # fmt: skip
    assert wrong(spec, heard) == []
    assert any("move it by hand" in f.found for f in diagnose(spec, [heard]))


def slow(h: Heard) -> None:
    h.arrivals_s[:] = [2 * t for t in h.arrivals_s]


def gap(h: Heard) -> None:
    h.arrivals_s[50:] = [t + 0.2 for t in h.arrivals_s[50:]]


def repeats(h: Heard) -> None:
    h.stamps_ns[10:20] = [h.stamps_ns[10]] * 10


def unstamped(h: Heard) -> None:
    h.stamps_ns[:] = [0] * len(h.stamps_ns)


def late(h: Heard) -> None:
    h.ages_s[:] = [0.08] * len(h.ages_s)


def other_clock(h: Heard) -> None:
    h.ages_s[:] = [-100.0] * len(h.ages_s)


def not_a_number(h: Heard) -> None:
    h.values[3]["position"] = np.array([0.0, math.nan, 0.0])


def two(h: Heard) -> None:
    h.senders.append("another")


def unreadable(h: Heard) -> None:
    h.complaints["child_frame_id is 'odom'"] = 7


@pytest.mark.parametrize(
    ("spoil", "level", "what", "says"),
    [
        (slow, "warning", "rate", "50.0 Hz"), (gap, "error", "rate", "older than 50 ms"),
        (repeats, "error", "stamps", "9 of 200 repeat"), (unstamped, "warning", "stamps", "all zero"),
        (late, "error", "latency", "at most 20 ms"), (other_clock, "warning", "stamps", "clocks differ"),
        (not_a_number, "error", "position", "1 of 200 are not numbers: y"),
        (two, "warning", "senders", "driver, another"),
        (unreadable, "error", "content", "7 messages: child_frame_id is 'odom'"),
    ],
)  # fmt: skip
def test_each_fault_has_its_finding(
    spec: PolicySpec, heard: Heard, spoil: Any, level: str, what: str, says: str
) -> None:
    spoil(heard)
    found = {f.what: f for f in wrong(spec, heard)}
    assert found[what].level == level and says in f"{found[what].found} {found[what].remedy}"


def test_silence_and_another_type_are_told_apart(spec: PolicySpec, heard: Heard) -> None:
    (silent,) = diagnose(spec, [Heard(heard.topic)])
    assert silent.found == "none came" and "ROS_DOMAIN_ID" in silent.remedy
    (other,) = diagnose(spec, [Heard(heard.topic, other_types={"geometry_msgs/msg/PoseStamped": ["mocap"]})])
    assert other.found == "mocap sends geometry_msgs/msg/PoseStamped" and "nav_msgs/msg/Odometry" in other.remedy
