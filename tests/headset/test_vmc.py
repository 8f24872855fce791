"""Claims: VMC comes in from either kind of sender and goes out as it came, and bad input moves nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pythonosc")

from pythonosc.osc_message_builder import OscMessageBuilder

from robostack import quaternion as quat
from robostack_real.headset.vmc import VmcHeadset, VmcSender


def datagram(address: str, *values: object) -> bytes:
    builder = OscMessageBuilder(f"/VMC/Ext/{address}")
    for value in values:
        builder.add_arg(value)
    return bytes(builder.build().dgram)


def at(x: float, y: float, z: float, turn: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)) -> tuple[float, ...]:
    """Unity's numbers of a place of ours."""
    return -y, z, x, *turn


def until(true: Callable[[], bool], seconds: float = 2.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


@pytest.fixture
def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def headset(free_port: int) -> Iterator[VmcHeadset]:
    with VmcHeadset(free_port) as found:
        yield found


@pytest.fixture
def heard() -> VmcHeadset:
    """One that is handed its datagrams."""
    return VmcHeadset()


def test_a_headset_and_two_controllers_of_unknown_serials_find_their_hands(heard):
    heard.hear(datagram("Hmd/Pos", "hmd", *at(0.0, 0.0, 1.6)))
    for serial, y in (("A", -0.7), ("B", 0.7)):
        heard.hear(datagram("Con/Pos", serial, *at(0.1, y, 1.4)))
    heard.hear(datagram("Con/Pos", "A", *at(0.2, -0.6, 1.3)))
    heard.hear(datagram("Con/Pos", "B", *at(0.2, 0.6, 1.3)))
    poses = heard.read()
    assert poses["left_hand"].position_m == pytest.approx([0.2, 0.6, 1.3])
    assert poses["right_hand"].position_m == pytest.approx([0.2, -0.6, 1.3])
    assert any("B is taken to be the left hand" in line for line in heard.told())
    # crossed arms do not swap them
    heard.hear(datagram("Con/Pos", "B", *at(0.3, -0.2, 1.3)))
    assert heard.read()["left_hand"].position_m == pytest.approx([0.3, -0.2, 1.3])


def test_serials_that_are_said_are_believed():
    headset = VmcHeadset(left="A", right="B")
    headset.hear(datagram("Tra/Pos", "A", *at(0.0, -0.7, 1.4)))
    assert headset.read()["left_hand"].position_m == pytest.approx([0.0, -0.7, 1.4])


def test_three_bones_alone_are_poses_in_the_room(heard):
    quarter = np.sqrt(0.5)
    heard.hear(datagram("Bone/Pos", "Head", *at(0.0, 0.0, 1.6)))
    heard.hear(datagram("Bone/Pos", "LeftHand", *at(0.3, 0.4, 1.2, (0.0, -quarter, 0.0, quarter))))
    heard.hear(datagram("Bone/Pos", "RightHand", *at(0.3, -0.4, 1.2)))
    poses = heard.read()
    assert poses["left_hand"].position_m == pytest.approx([0.3, 0.4, 1.2])
    assert poses["left_hand"].rotation == pytest.approx([quarter, 0, 0, quarter])


def test_a_whole_skeleton_is_followed_from_the_hips_on(heard):
    quarter = np.sqrt(0.5)
    turned_left = (0.0, -quarter, 0.0, quarter)
    for bone, numbers in {
        "Hips": at(0.0, 0.0, 1.0, turned_left), "Chest": at(0.0, 0.0, 0.3), "Head": at(0.1, 0.0, 0.3),
        "LeftUpperArm": at(0.0, 0.2, 0.2), "LeftHand": at(0.0, 0.5, 0.0),
    }.items():  # fmt: skip
        heard.hear(datagram("Bone/Pos", bone, *numbers))
    heard.hear(datagram("Bone/Pos", "Head", *at(0.1, 0.0, 0.3)))
    poses = heard.read()
    assert poses["head"].position_m == pytest.approx([0.0, 0.1, 1.6], abs=1e-6)
    heard.hear(datagram("Bone/Pos", "LeftHand", *at(0.0, 0.5, 0.0)))
    assert heard.read()["left_hand"].position_m == pytest.approx([-0.7, 0.0, 1.5], abs=1e-6)


def test_what_we_send_comes_back_as_it_was(headset, free_port):
    turn = quat.normalise(np.array([0.9, 0.1, -0.3, 0.2]))
    sender = VmcSender(port=free_port)
    sender.send((np.zeros(3), quat.IDENTITY), {"Head": (np.array([0.1, 0.2, 1.5]), turn)})
    until(lambda: "head" in headset.read())
    pose = headset.read()["head"]
    assert pose.position_m == pytest.approx([0.1, 0.2, 1.5], abs=1e-6) and pose.rotation == pytest.approx(
        turn, abs=1e-6
    )
    assert pose.age_s < 1.0
    sender.close()


def test_a_second_sender_is_not_listened_to_until_the_first_is_silent(headset, free_port):
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for x, one in enumerate(senders):
        one.sendto(datagram("Hmd/Pos", "hmd", *at(float(x), 0.0, 1.6)), ("127.0.0.1", free_port))
        time.sleep(0.1)
    until(lambda: "head" in headset.read())
    assert headset.read()["head"].position_m[0] == 0.0
    assert any("sends too" in line for line in headset.told())
    time.sleep(1.0)
    senders[1].sendto(datagram("Hmd/Pos", "hmd", *at(1.0, 0.0, 1.6)), ("127.0.0.1", free_port))
    until(lambda: headset.read()["head"].position_m[0] == 1.0)
    for one in senders:
        one.close()


def test_a_port_in_use_is_said(headset, free_port):
    with pytest.raises(ConnectionError, match="another program listens there"), VmcHeadset(free_port):
        pass


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((float("nan"), 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), "a position is no number"),
        ((0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0), "no length"),
        ((0.0, 1.0, 0.0, float("nan"), 0.0, 0.0, 1.0), "no length"),
    ],
)
def test_what_is_no_pose_leaves_the_last_one(heard, numbers, said):
    heard.hear(datagram("Hmd/Pos", "hmd", *at(0.5, 0.0, 1.6)))
    heard.hear(datagram("Hmd/Pos", "hmd", *numbers))
    assert heard.read()["head"].position_m == pytest.approx([0.5, 0.0, 1.6])
    assert any(said in line for line in heard.told())
    heard.hear(datagram("Hmd/Pos", "hmd", *at(0.6, 0.0, 1.6, (0.0, 0.0, 0.0, 3.0))))
    assert heard.read()["head"].rotation == pytest.approx(quat.IDENTITY), "an unnormalised one is normalised"


@given(st.binary(max_size=200))
def test_no_datagram_breaks_it(data):
    headset = VmcHeadset()
    headset.hear(data)
    headset.hear(b"/VMC/Ext/Hmd/Pos\0\0\0\0,sfffffff\0\0\0" + data)
    for pose in headset.read().values():
        assert np.isfinite(pose.position_m).all()
