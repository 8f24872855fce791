"""Claims: a page flies a run's policy in environments of its own, takes up each newer one, and changes no training."""

import os
import time

import torch

from robostack.learn import checkpoint
from robostack.learn.shac import SHAC
from robostack.learn.trainer import train
from robostack.learn.watched import Watching
from robostack.run_folder import RunFolder
from robostack.view.live import LivePage, on_a_grid
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor


def short_training(folder, watched):
    run = RunFolder.at(folder)
    watching = Watching(run)
    if watched:
        watching.ask()
        os.utime(run.path / ".watched", (time.time() + 60.0,) * 2)  # a busy machine may take its time to begin
    train(Quadrotor(QuadrotorConfig(num_envs=16, episode_s=0.1)), SHAC(iterations=3, horizon=4), run)
    return run, watching


def test_a_training_that_is_watched_writes_its_policy_down_and_is_the_same_to_the_bit(tmp_path):
    alone, _ = short_training(tmp_path / "alone", watched=False)
    run, watching = short_training(tmp_path / "watched", watched=True)
    assert not (alone.path / "watched.pt").exists()
    assert checkpoint.load(run.path / "watched.pt")["iteration"] >= 1
    ours, theirs = (checkpoint.load(r.checkpoints / "best.pt")["actor"] for r in (alone, run))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert watching.newest() is not None
    assert watching.newest() is None  # each is given once


def test_environments_fly_in_real_time_and_take_up_a_newer_policy(quadrotor_run):
    run = RunFolder.open(quadrotor_run)
    page = LivePage(run, 4, "127.0.0.1", 18080)
    try:
        page.advance(0.1)
        assert page.iteration is None  # the best of a run that has ended
        assert page._task.episode_length_buf.max() == 10
        actor = {name: torch.zeros_like(value) for name, value in page._actor.state_dict().items()}
        checkpoint.save(run.path / "watched.pt", {"actor": actor, "iteration": 7})
        page._asked_s = 0.0
        page.advance(0.1)
        assert page.iteration == 7 and "iteration 7" in page.said.content
        assert not any(value.any() for value in page._actor.state_dict().values())
        assert (run.path / ".watched").exists()
        page.advance(3.0)  # a page that was held up does not run after the time it has lost
        assert page._task.episode_length_buf.max() <= 20 + 25
    finally:
        page.close()
    assert not (run.path / ".watched").exists()


def test_environments_stand_apart():
    place = on_a_grid(7)
    assert len({tuple(p) for p in place}) == 7
    assert abs(place[:, 0].max() + place[:, 0].min()) < 1e-9
