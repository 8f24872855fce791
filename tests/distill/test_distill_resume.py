"""Claims: a student that was stopped goes on to the bit; its run names its teacher."""

import signal

import pytest
import torch
from ball import Ball, BallConfig

from robostack.distill.aacd import AACD, AacdLearner
from robostack.distill.dagger import DAgger, ImitationLearner
from robostack.distill.teacher import TeacherRun
from robostack.learn import checkpoint
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder


def ball():
    return Ball(BallConfig(num_envs=8, episode_s=0.5))


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


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
    whole, parts = RunFolder.at(tmp_path / "whole"), RunFolder.at(tmp_path / "parts")
    train(ball(), config, whole, seed=1)
    iterate = learner.iterate

    def interrupted(self):
        scalars = iterate(self)
        if self.iteration == 3:
            signal.raise_signal(signal.SIGINT)
        return scalars

    with monkeypatch.context() as patch:
        patch.setattr(learner, "iterate", interrupted)
        assert train(ball(), config, parts, seed=1)["interrupted"]
    torch.rand(7)
    assert train(ball(), None, parts, resume=True)["iterations"] == 6
    ours, theirs = (checkpoint.load(r.checkpoints / "last.pt") for r in (parts, whole))
    for kept in (ours, theirs):
        kept.pop("history"), kept.pop("progress")
    assert same(ours, theirs)
    assert parts.config()["learner"]["teacher"]["run"] == str(expert.path)
    assert parts.config()["algorithm"] == kind.__name__.lower()
