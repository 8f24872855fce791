"""A run that is interrupted and resumed, beside one that is not: what the tests of every learner's resume share."""

import signal

import torch

from robostack.learn import checkpoint
from robostack.learn.trainer import train
from robostack.run_folder import RunFolder


def assert_equal(a, b):
    """To the bit, through dicts and lists."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


def assert_resumes_to_the_bit(make, config, learner, stop_at, tmp_path, monkeypatch):
    """`make()` gives the task; the run is interrupted after `stop_at` iterations of a `learner`. Returns its folder."""
    whole, parts = RunFolder.at(tmp_path / "whole"), RunFolder.at(tmp_path / "parts")
    train(make(), config, whole, seed=1)
    iterate = learner.iterate

    def interrupted(self):
        scalars = iterate(self)
        if self.iteration == stop_at:
            signal.raise_signal(signal.SIGINT)
        return scalars

    with monkeypatch.context() as patch:
        patch.setattr(learner, "iterate", interrupted)
        assert train(make(), config, parts, seed=1)["interrupted"]
    torch.rand(7)
    assert train(make(), None, parts, resume=True)["iterations"] == config.iterations
    ours, theirs = (checkpoint.load(r.checkpoints / "last.pt") for r in (parts, whole))
    assert_equal({**ours, "history": 0, "progress": 0}, {**theirs, "history": 0, "progress": 0})
    return parts
