"""Claims: motions are cut where feet leave their place, wearers of any size lead alike, nothing is retargeted twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mink")

from robostack_sim.avatar.body import CONTROL_DT_S, Body
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.frames import Frames
from robostack_sim.avatar.motion.clip import MotionError
from robostack_sim.avatar.motions import Led, Motion, motions, of_clip, planted, retargeted, synthetic


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.of(Character.load("dinosaur"))


@pytest.fixture
def slowly(waving):
    """Eight seconds."""
    return replace(waving, rate_hz=30.0)


def test_who_stands_is_planted_and_who_walks_off_no_longer(slowly):
    assert [len(p) for p in planted(slowly)] == [len(slowly)]
    away = slowly.root_m.copy()
    away[200:, 0] += 0.05 * np.arange(len(away) - 200)
    (stood,) = planted(replace(slowly, root_m=away))
    assert 200 <= len(stood) <= 206, "until a foot has gone 20 cm"
    away[60:] += 0.3 * np.arange(len(away) - 60)[:, None]
    assert planted(replace(slowly, root_m=away)) == []


def test_feet_are_led_flat_and_at_rest(slowly):
    led = of_clip(slowly)
    first = led.poses[0]
    assert all(np.array_equal(p["left_foot"][0], first["left_foot"][0]) for p in led.poses)
    assert first["right_foot"][0] == pytest.approx([0.0, 0.0, 0.0], abs=1e-6) and "hips" not in first


@pytest.mark.parametrize("size", [0.85, 1.15])
def test_a_wearer_of_another_size_leads_alike(body, slowly, size):
    other = replace(
        slowly, root_m=size * slowly.root_m, skeleton=replace(slowly.skeleton, offset_m=size * slowly.skeleton.offset_m)
    )
    ours, theirs = (retargeted(body, replace(of_clip(c), poses=of_clip(c).poses[:60])) for c in (slowly, other))
    assert np.abs(ours.tracked_m - theirs.tracked_m).max() < 0.01
    assert np.abs(ours.qpos - theirs.qpos).max() < 0.15


def test_what_is_made_up_is_the_same_each_time_smooth_and_within_reach():
    led, again = synthetic(3), synthetic(3)
    assert led.digest() == again.digest() != synthetic(4).digest()
    hand = np.array([p["left_hand"][0] for p in led.poses])
    assert len(hand) == 300 and np.abs(np.diff(hand, axis=0)).max() / CONTROL_DT_S < 8.0, "no hand jumps"
    head = np.array([p["head"][0] for p in led.poses])
    assert (head[:, 2] <= led.wearer.head_m).all() and head[:, 2].min() > 0.5


def short(seed: int) -> Led:
    return replace(synthetic(seed), poses=synthetic(seed).poses[:20])


def test_what_was_retargeted_is_kept_and_what_is_damaged_is_made_again(body, tmp_path, monkeypatch):
    monkeypatch.setattr("robostack_sim.avatar.motions.synthetic", short)
    (first,) = motions(body, [], 1, mirror=False, kept=tmp_path)
    (kept,) = tmp_path.glob("*.npz")
    before = kept.stat().st_mtime_ns
    (again,) = motions(body, [], 1, mirror=False, kept=tmp_path)
    assert kept.stat().st_mtime_ns == before and np.array_equal(first.qpos, again.qpos)
    kept.write_bytes(kept.read_bytes()[:500])
    (anew,) = motions(body, [], 1, mirror=False, kept=tmp_path)
    assert np.array_equal(first.qpos, anew.qpos) and kept.stat().st_mtime_ns > before


def test_mirror_images_come_beside_and_nothing_at_all_is_refused(body, slowly, waving, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "robostack_sim.avatar.motions.retargeted",
        lambda body, led: Motion(
            led.name, np.zeros((len(led.poses), body.model.nq)), np.zeros((len(led.poses), 3, 3)), led.recorded
        ),
    )
    assert [m.name for m in motions(body, [slowly], 0, True, tmp_path)] == ["waving", "waving_mirrored"]
    with pytest.raises(MotionError, match=r"no 5 s in which both feet stay"):
        motions(body, [waving], 0, True, tmp_path)


def test_frames_know_their_motion_their_speed_and_where_they_stand(body):
    still = np.tile(body.pose(body.character.rest), (40, 1))
    rising = still.copy()
    rising[:, 2] += 0.3 * CONTROL_DT_S * np.arange(40)
    frames = Frames(
        body, [Motion("a", still, np.zeros((40, 3, 3)), True), Motion("b", rising[:30], np.ones((30, 3, 3)), False)]
    )
    assert frames.begin[[0, 39, 40]].tolist() == [0, 0, 40] and frames.last[[0, 39, 40]].tolist() == [39, 39, 69]
    assert frames.qvel[:40] == pytest.approx(0.0) and frames.qvel[40:, 2] == pytest.approx(0.3)
    assert frames.support_m[0] == pytest.approx([body.ahead_m, 0.0], abs=1e-6)
    starts = frames.starts(25)
    assert (frames.last[starts] - starts >= 25).all()
    assert np.sum(frames.recorded[starts]) == np.sum(~frames.recorded[starts]), "recordings as often"
