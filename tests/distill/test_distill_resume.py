"""Claims: a student that was stopped goes on to the bit; its run names its teacher."""

import pytest
from ball import Ball, BallConfig
from resuming import assert_resumes_to_the_bit

from robostack.distill.aacd import AACD, AacdLearner
from robostack.distill.dagger import DAgger, ImitationLearner
from robostack.distill.teacher import TeacherRun
from robostack.nets.actor import ActorConfig


def ball():
    return Ball(BallConfig(num_envs=8, episode_s=0.5))


@pytest.mark.parametrize(
    ("kind", "learner", "settings"),
    [
        (DAgger, ImitationLearner, {"horizon": 5, "beta_until": 1.0}),
        (AACD, AacdLearner, {"steps": 5, "imitation": 1.0, "imitation_until": 1.0}),
    ],
)
def test_three_iterations_and_three_more_equal_six(kind, learner, settings, expert, tmp_path, monkeypatch):
    actor = ActorConfig(hidden=(8,), recurrent=4)
    config = kind(teacher=TeacherRun.of(expert), iterations=6, actor=actor, **settings)
    parts = assert_resumes_to_the_bit(ball, config, learner, 3, tmp_path, monkeypatch)
    assert parts.config()["learner"]["teacher"]["run"] == str(expert.path)
    assert parts.config()["algorithm"] == kind.__name__.lower()
