"""Claims: a clip keeps its motion through other rates, mirrors and files, and says what is wrong with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robostack import quaternion as quat
from robostack_sim.avatar.motion.clip import Clip, MotionError, Skeleton

BODY = Skeleton(
    ("hips", "left_arm", "left_hand", "right_arm", "right_hand"),
    (-1, 0, 1, 0, 3),
    np.array([[0, 0, 0], [0, 0.2, 0.5], [0, 0.6, 0], [0, -0.2, 0.5], [0, -0.6, 0]], float),
)


@pytest.fixture
def clip() -> Clip:
    """The left arm rises at 1 rad/s while the hips walk ahead at 0.5 m/s."""
    time = np.arange(101) / 50.0
    rotation = np.tile(quat.IDENTITY, (101, 5, 1))
    rotation[:, 1] = quat.from_rotation_vector(np.outer(time, [1.0, 0.0, 0.0]))
    return Clip("wave", BODY, 50.0, np.stack([0.5 * time, 0 * time, np.ones(101)], -1), rotation)


def test_joints_are_where_turns_and_offsets_put_them(clip):
    hand = clip.position_m[:, BODY.index("left_hand")]
    t = np.arange(101) / 50.0
    expected = np.stack([0.5 * t, 0.2 + 0.6 * np.cos(t), 1.5 + 0.6 * np.sin(t)], -1)
    assert hand == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rate_hz", [30.0, 72.0, 120.0])
def test_at_another_rate_it_is_the_same_motion(clip, rate_hz):
    other = clip.at(rate_hz)
    assert other.duration_s == pytest.approx(clip.duration_s, abs=1.0 / rate_hz)
    t = np.arange(len(other)) / rate_hz
    assert other.position_m[:, 2, 1] == pytest.approx(0.2 + 0.6 * np.cos(t), abs=1e-9)
    assert other.root_m[:, 0] == pytest.approx(0.5 * t)


def test_a_flip_of_a_quaternions_sign_is_no_motion(clip):
    flipped = replace(clip, rotation=clip.rotation * np.where(np.arange(101) % 2, -1.0, 1.0)[:, None, None])
    assert flipped.at(73.0).position_m == pytest.approx(clip.at(73.0).position_m)


def test_its_mirror_image_raises_the_other_arm_and_twice_is_itself(clip):
    mirror = clip.mirrored()
    assert mirror.position_m[:, BODY.index("right_hand")] == pytest.approx(
        clip.position_m[:, BODY.index("left_hand")] * [1, -1, 1]
    )
    again = mirror.mirrored()
    assert again.position_m == pytest.approx(clip.position_m)


def test_it_can_be_made_to_start_at_the_origin_ahead(clip):
    turn = quat.from_rotation_vector(np.array([0.0, 0.0, 2.0]))
    rotation = clip.rotation.copy()
    rotation[:, 0] = turn
    away = replace(clip, root_m=quat.rotate(turn, clip.root_m) + np.array([3.0, -4.0, 0.0]), rotation=rotation)
    assert away.facing_ahead().position_m == pytest.approx(clip.position_m)


def test_it_survives_its_file(clip, tmp_path):
    clip.save(tmp_path / "wave.npz")
    back = Clip.load(tmp_path / "wave.npz")
    assert back.name == "wave" and back.skeleton.names == BODY.names
    assert back.position_m == pytest.approx(clip.position_m, abs=1e-5)


def test_what_is_no_motion_is_refused_by_what_is_wrong(clip, tmp_path):
    root = clip.root_m.copy()
    root[7, 1] = np.nan
    with pytest.raises(MotionError, match="wave: frame 8 has a number that is none"):
        replace(clip, root_m=root)
    with pytest.raises(MotionError, match="two frames"):
        clip.cut(0.0, 0.0)
    with pytest.raises(MotionError, match="joint 'a' is there twice"):
        Skeleton(("a", "a"), (-1, 0), np.zeros((2, 3)))
    with pytest.raises(MotionError, match="one tree"):
        Skeleton(("a", "b", "c"), (-1, 2, 0), np.zeros((3, 3)))
    with pytest.raises(MotionError, match="a rate of 0 Hz"):
        clip.at(0.0)
    with pytest.raises(MotionError, match=r"0\.02 s are no two frames at 30 Hz"):
        clip.cut(0.0, 0.02).at(30.0)
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(MotionError, match="no clip of ours"):
        Clip.load(tmp_path / "cut.npz")
