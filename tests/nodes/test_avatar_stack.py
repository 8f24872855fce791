"""Claims: head and hands that come over DDS lead a character whose joints and place go out by ROS, after a T; bodies as
TF lead to where they are."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mink")

import mujoco
import rclpy
from rclpy.parameter import Parameter

from robostack import quaternion as quat
from robostack_real.headset.played import PlayedHeadset
from robostack_real.headset.ros import RosHeadset
from robostack_real.nodes.avatar_node import AvatarNode, room, transforms
from robostack_real.nodes.headset_node import HeadsetNode
from robostack_real.stacks.avatar import avatar
from robostack_real.stacks.processes import Processes
from robostack_real.stacks.stack import Request
from robostack_real.twins.avatar import LiveAvatar
from robostack_real.twins.worn import T_S, as_sent
from robostack_sim.avatar.character import Character

RATE_HZ = 72.0


def test_a_played_motion_leads_a_character_over_dds(ear, domain):
    mouse, lines = Character.load("mouse"), []
    ear.listen("avatar_status", "diagnostic_msgs/msg/DiagnosticStatus")
    joints = ear.keep("joint_states", "sensor_msgs/msg/JointState")
    roots = ear.keep("root_pose", "geometry_msgs/msg/PoseStamped")
    nodes = avatar.describe(Request(None, character="mouse", clip="punch", view_port=0))
    environment = {"ROS_DOMAIN_ID": str(domain)}
    with Processes(nodes, environment=environment, show=lambda role, line: lines.append(f"{role}: {line}")) as running:
        try:
            ear.until(lambda: ear.state("avatar") == "led", "the T is seen")
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(lines)) from None
        ear.for_s(2.5)
        assert running.ended() == {}
    names = [mouse.model.joint(j).name for j in range(1, mouse.model.njnt)]
    assert all(list(m.name) == names for _, m in joints)
    moved = np.ptp([m.position for _, m in joints[-round(2 * RATE_HZ) :]], axis=0)
    assert moved.max() > 0.3, "an arm goes from the T into the punch"
    sent_s = np.array([at for at, _ in joints[-100:]])
    assert len(joints) > 100 and 0.5 / RATE_HZ < np.median(np.diff(sent_s)) < 2.0 / RATE_HZ
    assert {m.header.frame_id for _, m in roots} == {"mouse/world"}


@pytest.mark.parametrize(
    ("kind", "named", "said"),
    [
        (HeadsetNode, {"clip": "nothing"}, "parameter clip: nothing: no such file"),
        (AvatarNode, {"character": "nobody"}, "no such character; there are dinosaur, human, mouse"),
        (AvatarNode, {"character": "mouse", "policy": "/nowhere/policy.onnx"}, "/nowhere/policy.onnx: No such file"),
    ],
)
def test_what_is_not_there_is_named_and_nothing_runs(domain, kind, named, said):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = kind(context=context, parameter_overrides=[Parameter(name, value=value) for name, value in named.items()])
    assert not node.start() and said in node.failed
    node.destroy_node()
    context.try_shutdown()


def test_what_is_played_begins_with_a_t_that_calibrates_and_ends_where_it_began():
    position, rotation = as_sent("punch", RATE_HZ)
    assert np.abs(np.diff(position, axis=0)).max() * RATE_HZ < 12.0, "no part jumps"
    assert position[-1] == pytest.approx(position[0], abs=0.02)
    n = len(position)
    headset = PlayedHeadset("t", np.arange(n) / RATE_HZ, position, rotation, np.ones((n, 3), bool))
    follower = LiveAvatar(Character.load("mouse"), headset)
    headset.begin()
    for k in range(round(T_S * RATE_HZ)):
        headset._began = time.monotonic() - k / RATE_HZ
        follower.tick(1.0 / RATE_HZ)
    assert follower.calibration and not follower.calibration.swapped


def test_bodies_by_tf_lead_from_one_to_the_next_to_where_the_body_is():
    found = LiveAvatar(Character.load("mouse"), RosHeadset())
    model, data = found.character.model, found.character.data()
    mujoco.mj_kinematics(model, data)
    links = {m.child_frame_id: m for m in transforms(found, 1_500_000_000)}
    assert all(m.header.stamp.sec == 1 for m in links.values())
    place, frame = np.zeros(3), "mouse/left_paw"
    while frame != room(found):
        there, turn = links[frame].transform.translation, links[frame].transform.rotation
        place = np.array([there.x, there.y, there.z]) + quat.rotate(np.array([turn.w, turn.x, turn.y, turn.z]), place)
        frame = links[frame].header.frame_id
    assert place == pytest.approx(data.body("left_paw").xpos, abs=1e-9)
