"""Claims: a headset drives a character from the T on, a silent one is stood up, and bones leave as they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip("mink")
pytest.importorskip("pythonosc")

from robostack import quaternion as quat
from robostack_real.headset.poses import Pose
from robostack_real.twins.avatar import LiveAvatar
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.retarget import FASTEST_RAD_S

DT_S = 1.0 / 72.0
T = {"head": (0.0, 0.0, 1.6), "left_hand": (0.0, 0.7, 1.4), "right_hand": (0.0, -0.7, 1.4)}


class Worn:
    """Poses that a test sets, with their age."""

    where = "test"

    def __init__(self) -> None:
        self.place = dict(T)
        self.age_s = 0.0
        self.frames: list[int] = []
        self.waited: list[float] = []

    def wait(self, seconds: float) -> int:
        self.waited.append(seconds)
        return self.frames.pop(0)

    def read(self) -> Mapping[str, Pose]:
        return {p: Pose(np.array(x), quat.IDENTITY, self.age_s) for p, x in self.place.items()}

    def told(self) -> list[str]:
        return []

    def __enter__(self) -> Worn:
        return self

    def __exit__(self, *exc: object) -> None: ...


class Rendered:
    def send(self, root: object, bones: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self.root, self.bones = root, bones


@pytest.fixture
def worn() -> Worn:
    return Worn()


@pytest.fixture
def avatar(worn: Worn) -> LiveAvatar:
    found = LiveAvatar(Character.load("mouse"), worn, Rendered())  # type: ignore[arg-type]
    for _ in range(80):
        found.tick(DT_S)
    assert found.waits_for == ""
    for _ in range(80):
        found.tick(DT_S)
    return found


def led(avatar: LiveAvatar, part: str) -> np.ndarray:
    return avatar.targets[part].position_m


def test_before_the_t_it_stands_at_rest_and_says_what_it_waits_for(worn):
    worn.place["left_hand"] = (0.2, 0.2, 1.0)
    avatar = LiveAvatar(Character.load("mouse"), worn)
    assert avatar.tick(DT_S) == pytest.approx(avatar.character.rest)
    assert "no T" in avatar.waits_for


def test_it_is_calibrated_anew_when_that_is_asked_for(avatar, worn):
    worn.place = {part: (x + 1.0, y, z * 1.1) for part, (x, y, z) in T.items()}
    avatar.recalibrate()
    avatar.tick(DT_S)
    assert "hold still" in avatar.waits_for
    for _ in range(80):
        avatar.tick(DT_S)
    assert avatar.calibration.wearer.head_m == pytest.approx(1.76)


def test_a_raised_hand_raises_the_paw(avatar, worn):
    before = led(avatar, "left_hand").copy()
    worn.place["left_hand"] = (0.3, 0.4, 1.7)
    for _ in range(10):
        avatar.tick(DT_S)
    assert led(avatar, "left_hand")[2] > before[2] + 0.03
    errors = avatar._retargeter.error_m(avatar.targets)
    assert errors["left_hand"] < 0.01


def test_hands_that_are_sent_swapped_raise_the_paw_of_their_own_side(worn):
    worn.place = {**T, "left_hand": T["right_hand"], "right_hand": T["left_hand"]}
    avatar = LiveAvatar(Character.load("mouse"), worn)
    for _ in range(140):
        avatar.tick(DT_S)
    before = led(avatar, "left_hand").copy()
    worn.place["right_hand"] = (0.3, 0.4, 1.7)
    for _ in range(10):
        avatar.tick(DT_S)
    assert led(avatar, "left_hand")[2] > before[2] + 0.03


def test_a_period_is_a_frame_and_goes_by_in_silence_too(avatar, worn):
    worn.frames = [1, 3, 0]
    for _ in range(3):
        avatar.follow(0.02)
    assert worn.waited == [0.02] * 3
    assert avatar.dropped == 2, "of three frames that came in one period"
    assert len(avatar.timing.rows) == 163


def test_silence_of_seconds_stands_it_up_and_it_comes_back_smoothly(avatar, worn):
    worn.place["left_hand"] = (0.5, 0.3, 1.5)
    for _ in range(60):
        avatar.tick(DT_S)
    live, poses = led(avatar, "left_hand").copy(), []
    for k in range(200):
        worn.age_s = k * DT_S
        avatar.tick(DT_S)
        poses.append(avatar.qpos.copy())
    assert np.linalg.norm(led(avatar, "left_hand") - live) > 0.05, "the arm hangs"
    worn.age_s = 0.0
    for _ in range(60):
        avatar.tick(DT_S)
        poses.append(avatar.qpos.copy())
    assert led(avatar, "left_hand") == pytest.approx(live, abs=1e-6)
    assert np.abs(np.diff(np.stack(poses)[:, 7:], axis=0)).max() < 1.01 * FASTEST_RAD_S * DT_S, "no joint jumps"


def test_bones_follow_from_one_to_the_next_to_where_the_body_is(avatar):
    import mujoco

    model = avatar.character.model
    data = mujoco.MjData(model)
    data.qpos[:] = avatar.qpos
    mujoco.mj_kinematics(model, data)
    place, turn = avatar._send.root
    chain = []
    body = model.body("left_paw").id
    while body != 1:
        chain.append(model.body(body).name)
        body = model.body_parentid[body]
    for name in reversed(chain):
        offset, local = avatar._send.bones[name]
        place, turn = place + quat.rotate(turn, offset), quat.multiply(turn, local)
    assert place == pytest.approx(data.body("left_paw").xpos, abs=1e-9)


def test_the_time_of_each_stage_is_kept(avatar):
    found = avatar.timing.percentile_s(50.0)
    assert len(avatar.timing.rows) == 160 and 0.0 < found["retarget"] <= found["all"] < 0.1
