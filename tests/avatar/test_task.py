"""Claims: episodes begin in the motion's pose, are late, silent and pushed as asked, and go on to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mink")
pytest.importorskip("torch")

import torch

from robostack.spec import ContractError
from robostack_sim.avatar.balance import Feedback
from robostack_sim.avatar.body import COM_VELOCITY, LED, Body
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.frames import Frames
from robostack_sim.avatar.learning import TERMS
from robostack_sim.avatar.motions import Motion, retargeted, synthetic
from robostack_sim.avatar.task import Avatar
from robostack_sim.avatar.trials import ends_of

QUIET = AvatarConfig(
    num_envs=6,
    character="dinosaur",
    push_m_s=0.0,
    latency_s=(0.0, 0.0),
    jitter=0.0,
    tracker_noise_m=0.0,
    gaps_per_s=0.0,
)


@pytest.fixture(scope="module")
def body() -> Body:
    return Body.of(Character.load("dinosaur"))


@pytest.fixture(scope="module")
def moving(body) -> Frames:
    led = synthetic(1)
    return Frames(body, [retargeted(body, replace(led, poses=led.poses[:120]))])


@pytest.fixture(scope="module")
def still(body) -> Frames:
    """Six seconds at rest."""
    rest = body.pose(body.character.rest)
    lifted = np.array([body.character.rest_m[p] for p in ("head", "left_hand", "right_hand")])
    lifted[:, 2] += body.lift_m
    return Frames(body, [Motion("rest", np.tile(rest, (180, 1)), np.tile(lifted, (180, 1, 1)), True)])


def nothing(task: Avatar) -> torch.Tensor:
    return torch.zeros(task.num_envs, task.action_size)


def test_an_episode_begins_in_pose_and_speed_of_its_frame_and_the_actor_sees_nothing_hidden(moving):
    task = Avatar(QUIET, seed=1, frames=moving)
    obs, _ = task.reset(1)
    assert len(set(task.frame)) > 1
    joints = task.body.qpos_of
    assert obs["joint_position"].numpy() == pytest.approx(moving.qpos[task.frame][:, joints], abs=1e-6)
    assert obs["joint_velocity"].numpy() == pytest.approx(moving.qvel[task.frame][:, task.body.dof_of], abs=1e-5)
    assert obs["target_pose"].numpy() == pytest.approx(moving.qpos[task.frame][:, joints], abs=1e-6)
    off = obs["tracked_position"] - obs["led_position"]
    assert off.abs().max() < 0.03, "where inverse kinematics took them"
    seen = {c.name for c in task.actor_channels}
    hidden = {"reference_pose", "sole_force", "push"}
    assert not seen & hidden and hidden <= set(task.critic_channels)


def test_rewards_are_positive_terms_and_best_where_all_is_as_wanted(still):
    task = Avatar(QUIET, seed=0, frames=still)
    _, reward, terminated, _, extras = task.step(nothing(task))
    terms = extras["reward_terms"]
    assert terms.keys() == {name for name, _ in TERMS}
    assert torch.allclose(reward, sum(terms.values())) and (reward > 0.9).all() and (reward <= 1.0).all()
    assert not terminated.any()
    _, pushed_aside, _, _, extras = task.step(nothing(task) + 0.5)
    assert (pushed_aside < reward).all() and (extras["reward_terms"]["action"] < terms["action"]).all()


def test_a_push_gives_the_body_the_speed_that_was_asked(still):
    speed = {}
    for push in (0.0, 0.3):
        task = Avatar(replace(QUIET, push_m_s=push), frames=still, judged=True)
        for _ in range(33):
            task.step(nothing(task))
        assert (task.episode_length_buf == 33).all(), "none has fallen"
        speed[push] = task.sensed[:, COM_VELOCITY][:, :2]
    given = np.linalg.norm(speed[0.3] - speed[0.0], axis=1)
    assert given[0::2] == pytest.approx(0.0, abs=1e-9), "every second one is pushed"
    assert (given[1::2] > 0.15).all() and (given[1::2] < 0.35).all(), "0.3 m/s, less what the feet hold"


def test_trackers_are_late_by_their_latency_and_a_hand_that_falls_silent_stays(moving):
    late = Avatar(replace(QUIET, latency_s=(0.0667, 0.0667)), frames=moving)
    for _ in range(5):
        late.step(nothing(late))
    newest = np.maximum(late.frame - 2, moving.begin[late.frame])
    assert np.array_equal(late.tracked, moving.tracked_m[newest])
    silent = Avatar(replace(QUIET, gaps_per_s=1e3, gap_s=(0.5, 0.5)), frames=moving)
    began = silent.tracked.copy()
    frames = silent.frame.copy()
    for _ in range(3):
        silent.step(nothing(silent))
    going = silent.frame == frames + 3
    assert going.any()
    assert np.array_equal(silent.tracked[going, 1:], began[going, 1:]), "both hands stay"
    assert not np.array_equal(silent.tracked[going, 0], began[going, 0]), "the head goes on"
    left = silent.body.arms[0]
    assert np.array_equal(silent.pose[going][:, left], silent.before[going][:, left]), "and so does the arm's pose"


def test_a_character_that_leaves_its_motion_has_fallen_and_begins_anew(still):
    task = Avatar(QUIET, frames=still)
    task._qpos[2, 0] += 1.0
    _, _, terminated, truncated, extras = task.step(nothing(task))
    assert terminated.tolist() == [False, False, True, False, False, False] and not truncated.any()
    assert not extras["success"].any() and extras["head_error_m"][2] > 0.9
    assert task.episode_length_buf.tolist() == [1, 1, 0, 1, 1, 1]
    assert extras["final_obs"]["stance_error"][2, 0] > 0.9 > task.observe()["stance_error"][2].abs().max()


def test_a_stretch_ends_with_its_time_or_its_motion(still):
    task = Avatar(replace(QUIET, seconds=0.5), frames=still)
    task.frame[1] = still.last[task.frame[1]] - 2
    task.step(nothing(task))
    _, _, terminated, truncated, _ = task.step(nothing(task))
    assert truncated[1] and not terminated[1], "the motion is over"


def test_what_is_kept_goes_on_to_the_bit(moving):
    config = replace(QUIET, push_m_s=0.3, latency_s=(0.0, 0.034), tracker_noise_m=1e-3, gaps_per_s=1.0)
    task, other = (Avatar(config, seed=s, frames=moving) for s in (1, 2))
    random = torch.Generator().manual_seed(0)
    actions = 0.2 * torch.randn(12, config.num_envs, task.action_size, generator=random)
    for action in actions[:6]:
        here = task.step(action)[0].flat.clone()
    kept = {k: v.clone() for k, v in task.state_dict().items()}
    on = [task.step(a)[0].flat.clone() for a in actions[6:]]
    other.load_state_dict(kept)
    assert torch.equal(other.observe().flat, here)
    for action, expected in zip(actions[6:], on, strict=True):
        assert torch.equal(other.step(action)[0].flat, expected)


def test_a_curriculum_says_where_an_episode_begins(moving):
    task = Avatar(QUIET, frames=moving)
    task.draw_parameters_from(lambda mask: {"start": torch.full((6,), 0.5)})
    task.reset()
    assert set(task.frame) == {int(task._starts[len(task._starts) // 2])}


def test_without_the_kinematic_step_the_policy_sees_no_pose_and_drives_from_rest(still):
    task = Avatar(replace(QUIET, kinematic=False), frames=still)
    assert "target_pose" not in task.layout.channel
    assert task.actions[0].high[0] == pytest.approx(2 * QUIET.offset_rad)
    task.step(nothing(task))
    assert task._ctrl[0] == pytest.approx(task.body.pose(task.body.character.rest)[task.body.qpos_of])


def test_a_feedback_leans_against_where_the_body_goes(body, still):
    feedback = Feedback.of(body, (1.0, 1.0, 1.0, 1.0))
    task = Avatar(QUIET, frames=still)
    obs, _ = task.reset(0)
    seen = {k: v.numpy().astype(float) for k, v in obs.items()}
    assert np.abs(Feedback.of(body).act(seen)).max() == 0.0, "no gain, no feedback"
    lean = {**seen, "com_position": seen["com_position"] + [0.1, 0.0, 0.0]}
    back = feedback.act(lean) - feedback.act(seen)
    moved = np.einsum("kad,na->nd", feedback.jacobian * (np.abs(feedback.jacobian) > 0), back)
    assert (moved[:, 0] < 0.0).all() and np.abs(back).max() < 2.0
    ends = ends_of(feedback.act, Avatar(replace(QUIET, num_envs=2, seconds=1.0), frames=still, judged=True), 4)
    assert ends["success"].shape == (4,) and np.isfinite(ends["hand_error_m"]).all()


def test_what_cannot_be_is_said(moving):
    with pytest.raises(ContractError, match="no motion is that long; the longest is 4"):
        Avatar(replace(QUIET, seconds=9.0), frames=moving, judged=True)
    with pytest.raises(ContractError, match="without: no clip is called '02_99'; there are punch"):
        Avatar(replace(QUIET, without=("02_99",)))
    with pytest.raises(ContractError, match=r"latency_s = 0\.2, 0\.1"):
        replace(QUIET, latency_s=(0.2, 0.1))
    with pytest.raises(ContractError, match="runs on CPUs"):
        Avatar(replace(QUIET, device="cuda"), frames=moving)


def test_led_points_follow_the_sites(moving):
    task = Avatar(QUIET, frames=moving)
    task.step(nothing(task))
    data = task._batch.get_data(0)
    assert task.sensed[0, LED][:3] == pytest.approx(data.site("head").xpos)
