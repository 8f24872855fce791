"""Channels in and out of standard messages, by the types of a real ROS 2 typestore."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robostack.evaluate.bag import Messages
from robostack.messages import (
    ATTITUDE,
    BODY,
    ROTATION,
    WORLD,
    ActionTopic,
    BatteryTopic,
    JointTopic,
    LabelledTopic,
    OdometryTopic,
    PointTopic,
    PoseTopic,
    SetpointTopic,
    Topic,
    WrongMessage,
    rotated,
    topics,
)  # fmt: skip
from robostack.spec import ActionChannel, Channel

MAKE = Messages()
finite = st.floats(-1e3, 1e3, allow_nan=False)
BODY_CHANNELS = (
    Channel(name="position", shape=(3,), unit="m", frame=WORLD),
    Channel(name="velocity", shape=(3,), unit="m/s", frame=WORLD),
    Channel(name="attitude", shape=(4,), frame=ATTITUDE),
    Channel(name="body_rate", shape=(3,), unit="rad/s", frame=BODY),
)
SETPOINT = Channel(name="setpoint", shape=(9,), unit="m, m/s, m/s2", frame=WORLD, source="command")
OTHERS = (
    Channel(name="goal", shape=(3,), unit="m", frame=WORLD, source="command"),
    Channel(name="joints", shape=(2,), elements=("hip", "knee"), unit="rad"),
    Channel(name="torque", shape=(2,), elements=("hip", "knee"), unit="N m"),
    Channel(name="battery", shape=(1,), unit="V"),
    Channel(name="bpm", shape=(2,), elements=("bpm_1_x", "bpm_1_y"), unit="mm"),
    Channel(name="field", shape=(2, 3), unit="Pa"),
)


def sent(topic: Topic, values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Values after their way through bytes."""
    message = topic.blank(MAKE.new)
    topic.write(message, values)
    raw = MAKE.store.serialize_cdr(message, topic.type)
    return topic.read(MAKE.store.deserialize_cdr(raw, topic.type))


def test_a_body_s_state_is_one_topic_and_every_other_channel_its_own() -> None:
    found = topics((*BODY_CHANNELS, SETPOINT, *OTHERS))
    kinds = {t.name: type(t) for t in found}
    assert kinds == {
        "odom": OdometryTopic, "setpoint": SetpointTopic, "goal": PointTopic, "joints": JointTopic,
        "torque": JointTopic, "battery": BatteryTopic, "bpm": LabelledTopic, "field": LabelledTopic,
    }  # fmt: skip
    assert [c.name for c in found[0].channels] == ["position", "attitude", "velocity", "body_rate"]


def test_a_body_of_which_a_part_is_missing_is_a_topic_a_channel() -> None:
    assert [t.name for t in topics(BODY_CHANNELS[:3])] == ["position", "velocity", "attitude"]


POSE = (
    Channel(name="hand_position", shape=(3,), unit="m", frame=WORLD),
    Channel(name="hand_rotation", shape=(3,), unit="rad", frame=ROTATION),
)


def test_a_position_and_its_rotation_are_one_pose_and_either_alone_is_none() -> None:
    (topic,) = topics(POSE)
    assert (topic.name, type(topic)) == ("hand", PoseTopic)
    assert [type(t) for t in topics(POSE[:1])] == [PointTopic] and [type(t) for t in topics(POSE[1:])] == [JointTopic]
    message = topic.blank(MAKE.new)
    topic.write(message, {"hand_position": (1.0, 2.0, 3.0), "hand_rotation": (0.0, 0.0, math.pi / 2)})
    assert message.pose.orientation.z == pytest.approx(math.sqrt(0.5))
    message.pose.orientation.w = message.pose.orientation.z = 0.0
    with pytest.raises(WrongMessage, match="quaternion without length"):
        topic.read(message)


@given(p=st.tuples(finite, finite, finite), turn=st.tuples(*[st.floats(-1.8, 1.8)] * 3))
def test_a_pose_comes_back(p: Any, turn: Any) -> None:
    (topic,) = topics(POSE)
    back = sent(topic, {"hand_position": p, "hand_rotation": turn})
    np.testing.assert_allclose(back["hand_position"], p)
    np.testing.assert_allclose(back["hand_rotation"], turn, atol=1e-9)


def limits(name: str, unit: str, *elements: str) -> ActionChannel:
    n = len(elements)
    return ActionChannel(name=name, elements=elements, unit=unit, low=(-9,) * n, high=(9,) * n, neutral=(0,) * n)


def test_an_action_is_named_by_its_elements() -> None:
    topic = ActionTopic("action", (limits("rotor_speed_command", "rad/s", "front", "back"),))
    message = topic.blank(MAKE.new)
    topic.write(message, {"rotor_speed_command": [1.0, 2.0]})
    assert (message.name, message.velocity.tolist(), len(message.position)) == (["front", "back"], [1.0, 2.0], 0)
    assert sent(topic, {"rotor_speed_command": [1.0, 2.0]})["rotor_speed_command"].tolist() == [1.0, 2.0]


def test_actions_of_several_units_travel_together_in_any_order() -> None:
    topic = ActionTopic("action", (limits("thrust", "1", "thrust"), limits("rates", "rad/s", "p", "q")))
    message = topic.blank(MAKE.new)
    topic.write(message, {"thrust": [0.5], "rates": [1.0, 2.0]})
    assert message.name == ["thrust", "p", "q"]
    np.testing.assert_array_equal(message.effort, [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(message.velocity, [np.nan, 1.0, 2.0])
    message.name, message.effort = ["q", "thrust", "p"], np.array([np.nan, 0.5, np.nan])
    message.velocity = np.array([2.0, np.nan, 1.0])
    assert {n: v.tolist() for n, v in topic.read(message).items()} == {"thrust": [0.5], "rates": [1.0, 2.0]}
    assert topic.read_packed(message).tolist() == [0.5, 1.0, 2.0]
    again = topic.blank(MAKE.new)
    topic.write_packed(again, [0.5, 1.0, 2.0])
    assert topic.read_packed(again).tolist() == [0.5, 1.0, 2.0] and again.name == ["thrust", "p", "q"]


def test_an_action_of_another_machine_is_refused() -> None:
    topic = ActionTopic("action", (limits("rotor_speed_command", "rad/s", "front", "back"),))
    message = MAKE.new("sensor_msgs/msg/JointState")
    message.name, message.velocity = ["left", "right"], np.zeros(2)
    with pytest.raises(WrongMessage, match="names are left, right, the contract's are front, back"):
        topic.read(message)
    message.name, message.velocity = ["front", "back"], np.zeros(0)
    with pytest.raises(WrongMessage, match="2 names and 0 values in velocity, where rotor_speed_command belongs"):
        topic.read(message)


@given(p=st.tuples(finite, finite, finite), v=st.tuples(finite, finite, finite), w=st.tuples(finite, finite, finite),
       axis=st.tuples(finite, finite, finite), angle=st.floats(-3.1, 3.1))  # fmt: skip
def test_odometry_comes_back(p: Any, v: Any, w: Any, axis: Any, angle: float) -> None:
    n = float(np.linalg.norm(axis)) or 1.0
    q = np.array([math.cos(angle / 2), *(math.sin(angle / 2) * np.array(axis) / n)])
    q /= np.linalg.norm(q)
    (topic,) = topics(BODY_CHANNELS)
    back = sent(topic, {"position": p, "attitude": q, "velocity": v, "body_rate": w})
    np.testing.assert_allclose(back["position"], p)
    np.testing.assert_allclose(back["attitude"], q)
    np.testing.assert_allclose(back["velocity"], v, atol=1e-9)
    np.testing.assert_allclose(back["body_rate"], w)


def test_odometry_s_twist_is_in_the_body_s_frame() -> None:
    """Nose to the left (north) and flying north is flying forwards."""
    (topic,) = topics(BODY_CHANNELS)
    message = topic.blank(MAKE.new)
    left = (math.cos(math.pi / 4), 0.0, 0.0, math.sin(math.pi / 4))
    topic.write(message, {"position": (0, 0, 0), "attitude": left, "velocity": (0, 2, 0), "body_rate": (0, 0, 0)})
    twist = message.twist.twist.linear
    np.testing.assert_allclose((twist.x, twist.y, twist.z), (2, 0, 0), atol=1e-12)
    assert message.pose.pose.orientation.z == pytest.approx(left[3])  # xyzw there
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")


def test_odometry_with_another_body_frame_is_refused() -> None:
    (topic,) = topics(BODY_CHANNELS)
    with pytest.raises(WrongMessage, match=r"child_frame_id is ''.*'base_link'"):
        topic.read(MAKE.new("nav_msgs/msg/Odometry"))


@pytest.mark.parametrize("channel", [SETPOINT, *OTHERS], ids=lambda c: c.name)
def test_a_channel_comes_back(channel: Channel) -> None:
    value = np.arange(1.0, channel.size + 1.0)
    (topic,) = topics((channel,))
    np.testing.assert_allclose(sent(topic, {channel.name: value})[channel.name], value)


def test_elements_may_come_in_any_order() -> None:
    joints, bpm = topics((OTHERS[1], OTHERS[4]))
    state = MAKE.new("sensor_msgs/msg/JointState")
    state.name, state.position = ["knee", "hip"], np.array([2.0, 1.0])
    assert joints.read(state)["joints"].tolist() == [1.0, 2.0]
    field = bpm.blank(MAKE.new)
    field.layout.dim[0].label, field.data = "bpm_1_y,bpm_1_x", np.array([2.0, 1.0])
    assert bpm.read(field)["bpm"].tolist() == [1.0, 2.0]


def wrong_name(m: Any) -> None:
    m.name, m.position = ["hip", "ankle"], np.zeros(2)


def one_missing(m: Any) -> None:
    m.name, m.position = ["hip"], np.zeros(1)


def twice(m: Any) -> None:
    m.name, m.position = ["hip", "hip"], np.zeros(2)


def in_another_field(m: Any) -> None:
    m.name, m.velocity = ["hip", "knee"], np.zeros(2)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (wrong_name, "names are hip, ankle, the contract's are hip, knee"),
        (one_missing, "names are hip, the contract's are hip, knee"),
        (twice, "names are hip, hip"),
        (in_another_field, "2 names and 0 values in position, where rad belongs"),
    ],
)
def test_a_joint_state_that_does_not_fit_is_refused(spoil: Any, says: str) -> None:
    (topic,) = topics((OTHERS[1],))
    message = MAKE.new("sensor_msgs/msg/JointState")
    spoil(message)
    with pytest.raises(WrongMessage, match=says):
        topic.read(message)


def test_values_without_labels_are_refused() -> None:
    (topic,) = topics((OTHERS[4],))
    message = MAKE.new("std_msgs/msg/Float64MultiArray")
    message.data = np.zeros(2)
    with pytest.raises(
        WrongMessage, match="2 values labelled ; the contract wants one dimension whose label is bpm_1_x"
    ):
        topic.read(message)


def test_a_setpoint_of_two_points_is_refused() -> None:
    (topic,) = topics((SETPOINT,))
    message = topic.blank(MAKE.new)
    message.points = message.points * 2
    with pytest.raises(WrongMessage, match="2 points"):
        topic.read(message)


@given(
    q=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1), v=st.tuples(finite, finite, finite)
)
def test_rotated_keeps_lengths_and_its_axis(q: Any, v: Any) -> None:
    unit = np.array(q) / np.linalg.norm(q)
    assert np.linalg.norm(rotated(unit, np.array(v))) == pytest.approx(np.linalg.norm(v), abs=1e-9)
    np.testing.assert_allclose(rotated(unit, unit[1:]), unit[1:], atol=1e-12)
