"""Claims: head and hands come by PoseStamped and by TF, in the axes that are said, and what does not fit is said."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robostack.spec import ContractError
from robostack_real.headset.ros import TOPICS, RosHeadset

QUARTER = float(np.sqrt(0.5))
AHEAD = (0.0, 0.0, 0.0, 1.0)
"""x y z w, as ROS has them"""


def vector(x: float, y: float, z: float) -> Any:
    return SimpleNamespace(x=x, y=y, z=z)


def pose(place: tuple[float, ...], turn: tuple[float, ...] = AHEAD, frame: str = "world") -> Any:
    rotation = SimpleNamespace(**dict(zip("xyzw", turn, strict=True)))
    header = SimpleNamespace(frame_id=frame)
    return SimpleNamespace(header=header, pose=SimpleNamespace(position=vector(*place), orientation=rotation))


def transforms(*links: tuple[str, str, tuple[float, ...], tuple[float, ...]]) -> Any:
    """A TFMessage of (parent, child, place, turn)."""
    found = []
    for parent, child, place, turn in links:
        rotation = SimpleNamespace(**dict(zip("xyzw", turn, strict=True)))
        inside = SimpleNamespace(translation=vector(*place), rotation=rotation)
        header = SimpleNamespace(frame_id=parent)
        found.append(SimpleNamespace(header=header, child_frame_id=child, transform=inside))
    return SimpleNamespace(transforms=found)


def test_a_pose_is_taken_as_it_is_and_an_unnormalised_turn_normalised():
    headset = RosHeadset()
    headset.hear("head", pose((1.0, 2.0, 1.6), (0.0, 0.0, 3.0, 3.0)))
    assert headset.read()["head"].position_m == pytest.approx([1.0, 2.0, 1.6])
    assert headset.read()["head"].rotation == pytest.approx([QUARTER, 0.0, 0.0, QUARTER])


def test_a_headset_s_own_axes_are_turned_to_ours():
    headset = RosHeadset(axes="openxr")
    headset.hear("head", pose((1.0, 1.6, -2.0), (0.0, QUARTER, 0.0, QUARTER)))
    assert headset.read()["head"].position_m == pytest.approx([2.0, -1.0, 1.6])
    assert headset.read()["head"].rotation == pytest.approx([QUARTER, 0.0, 0.0, QUARTER])


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (pose((float("nan"), 0.0, 1.0)), "a position is no number"),
        (pose((0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 0.0)), "no length"),
        (pose((0.0, 0.0, 1.0), frame="map"), "comes in frame 'map', what came first in 'world'"),
    ],
)
def test_what_is_no_pose_is_said_and_changes_nothing(message, said):
    headset = RosHeadset()
    headset.hear("head", pose((0.0, 0.0, 1.6)))
    headset.hear("head", message)
    assert headset.read()["head"].position_m == pytest.approx([0.0, 0.0, 1.6])
    assert any(said in line for line in headset.told())


def test_frames_are_followed_from_a_hand_to_the_room():
    headset = RosHeadset(frames=("/room", "hmd", "left", "right"))
    headset.hear_transforms(transforms(("controller", "left", (0.1, 0.0, 0.0), AHEAD)), static=True)
    assert headset.read() == {}
    headset.hear_transforms(
        transforms(
            ("room", "rig", (1.0, 0.0, 0.0), (0.0, 0.0, QUARTER, QUARTER)),
            ("rig", "controller", (0.0, 0.0, 1.0), AHEAD),
        )
    )
    assert headset.read()["left_hand"].position_m == pytest.approx([1.0, 0.1, 1.0])
    assert headset.read()["left_hand"].rotation == pytest.approx([QUARTER, 0.0, 0.0, QUARTER])
    before = headset.read()["left_hand"].age_s
    headset.hear_transforms(transforms(("room", "rig", (5.0, 0.0, 0.0), AHEAD)))
    assert headset.read()["left_hand"].position_m == pytest.approx([1.0, 0.1, 1.0]), "the controller itself is silent"
    assert headset.read()["left_hand"].age_s > before


@pytest.mark.parametrize("parent", ["elsewhere", "hmd"])
def test_frames_that_do_not_end_in_the_room_are_said(parent):
    headset = RosHeadset(frames=("room", "hmd", "left", "right"))
    headset.hear_transforms(transforms((parent, "hmd", (0.0, 0.0, 1.6), AHEAD)))
    assert headset.read() == {}
    assert any(f"no way from hmd to room; it ends at {parent}" in line for line in headset.told())


def test_a_transform_that_is_none_leaves_the_last_one():
    headset = RosHeadset(frames=("room", "hmd", "left", "right"))
    headset.hear_transforms(transforms(("room", "hmd", (0.0, 0.0, 1.6), AHEAD)))
    headset.hear_transforms(transforms(("room", "hmd", (0.0, 0.0, 2.0), (0.0, 0.0, 0.0, 0.0))))
    assert headset.read()["head"].position_m == pytest.approx([0.0, 0.0, 1.6])


def test_a_rule_that_renames_nothing_is_refused():
    with pytest.raises(ContractError, match="write FROM:=TO"):
        RosHeadset(remap=["head=hmd"])


class Sender:
    """A node that publishes the three topics."""

    def __init__(self, domain: int, names: dict[str, str] = TOPICS) -> None:
        rclpy = pytest.importorskip("rclpy")
        from geometry_msgs.msg import PoseStamped

        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node("headset", context=self._context)
        self._publishers = {p: self._node.create_publisher(PoseStamped, t, 1) for p, t in names.items()}

    def send(self, place: dict[str, tuple[float, float, float]]) -> None:
        from geometry_msgs.msg import PoseStamped

        for part, (x, y, z) in place.items():
            message = PoseStamped()
            message.header.frame_id = "world"
            message.pose.position.x, message.pose.position.y, message.pose.position.z = x, y, z
            self._publishers[part].publish(message)

    def until(self, true: Callable[[], object], place: dict[str, tuple[float, float, float]]) -> None:
        """Sends until `true()`: discovery alone may take 3 s."""
        end = time.monotonic() + 20.0
        while not true():
            assert time.monotonic() < end, "it did not come true"
            self.send(place)
            time.sleep(1.0 / 72.0)

    def close(self) -> None:
        self._node.destroy_node()
        self._context.try_shutdown()


@pytest.fixture
def on_wire(domain: int, monkeypatch: pytest.MonkeyPatch) -> int:
    for name, value in (("ROS_DOMAIN_ID", str(domain)), ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
                        ("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")):  # fmt: skip
        monkeypatch.setenv(name, value)
    return domain


def test_poses_arrive_over_dds_under_other_names_and_two_senders_are_said(on_wire):
    pytest.importorskip("rclpy")
    place = {"head": (0.0, 0.0, 1.6), "left_hand": (0.2, 0.7, 1.4), "right_hand": (0.2, -0.7, 1.4)}
    sender = Sender(on_wire, {**TOPICS, "head": "hmd"})
    with RosHeadset(remap=["xr_teleop/head_pose:=hmd"]) as headset:
        assert "/hmd" in headset.where and "/xr_teleop/left_hand_pose" in headset.where
        sender.until(lambda: len(headset.read()) == 3, place)
        assert headset.read()["left_hand"].position_m == pytest.approx([0.2, 0.7, 1.4])
        headset.wait(0.0)
        sender.send(place)
        assert headset.wait(5.0) >= 1
        second = Sender(on_wire, {"head": "hmd"})
        sender.until(lambda: any("several send on /hmd" in line for line in headset.told()), place)
        second.close()
    sender.close()
