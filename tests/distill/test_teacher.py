"""Claims: a teacher acts as it was trained to wherever its channels lie, and stays the one a student began with."""

from dataclasses import replace

import pytest
import torch
from ball import Ball, BallConfig

from robostack.distill.teacher import TeacherRun
from robostack.learn.trained import load_run
from robostack.run_folder import RunFolder, RunFolderError
from robostack.spec import Channel, ContractError
from robostack.task import Obs


class Wider(Ball):
    """The ball with one channel more, before the others."""

    channels = (Channel(name="battery", shape=(1,), low=(0.0,), high=(5.0,)), *Ball.channels)

    def sense(self, state):
        flat = super().sense(state).flat
        return Obs(torch.cat([torch.full((len(flat), 1), 3.7), flat], 1), self.layout)


class Other(Ball):
    name = "other"


class Blind(Ball):
    """Nobody knows the true state."""

    channels = tuple(c for c in Ball.channels if c.name != "true_state")
    critic_channels = ("setpoint",)


def test_a_teacher_acts_the_same_where_its_channels_lie_elsewhere(expert):
    before, wider = Ball(BallConfig(num_envs=8), seed=3), Wider(BallConfig(num_envs=8), seed=3)
    _, trained = load_run(expert)
    teacher = TeacherRun.of(expert).load(wider).actor
    ours = teacher(wider.observe().flat, teacher.initial_state(8))[0]
    assert torch.equal(ours, trained(before.observe().flat, trained.initial_state(8))[0])


@pytest.mark.parametrize(("kind", "message"), [(Other, "cannot teach 'other'"), (Blind, "no channel 'true_state'")])
def test_a_teacher_of_another_task_or_of_channels_that_are_not_there_is_refused(kind, message, expert):
    config = expert.config()
    config["learner"]["actor"]["channels"] = ["setpoint", "true_state"]
    expert.write_config(config)
    with pytest.raises(ContractError, match=message):
        TeacherRun.of(expert).load(kind())


def test_a_teacher_that_changed_or_went_away_is_refused(expert, tmp_path):
    teacher = TeacherRun.of(expert)
    with pytest.raises(ContractError, match=r"best\.pt: no longer the policy that this student began to learn from"):
        replace(teacher, sha256="0" * 64).load(Ball())
    with pytest.raises(RunFolderError, match="not a run folder"):
        replace(teacher, run=str(tmp_path / "nowhere")).load(Ball())
    with pytest.raises(ContractError, match="train it first"):
        TeacherRun.of(RunFolder.at(tmp_path / "empty"))


def test_an_experts_run_keeps_its_critic_beside_its_actor(expert):
    teacher = TeacherRun.of(expert).load(Ball())
    assert teacher.critic and teacher.learned_by.gamma == 0.97
    assert teacher.critic["normaliser.mean"].shape == (4,)
