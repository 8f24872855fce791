"""What each of two processes does; torchrun starts it. `train ...` is the command line, else what is asked is kept
in a folder: `two_processes.py FOLDER`.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from ball import Ball, BallConfig

from robostack import cli, team
from robostack.learn import trainer
from robostack.learn.learner import DivergedError
from robostack.learn.ppo import PPO
from robostack.learn.shac import SHAC, ShacLearner
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig
from robostack.run_folder import RunFolder

torch.set_num_threads(1)
NUM_ENVS = 6
"""of a process"""
CONFIG = SHAC(iterations=6, horizon=5, actor=ActorConfig(hidden=(8,), recurrent=4))
WITH_CRITIC = SHAC(
    iterations=6, horizon=5, gamma=0.95, critic=True, critic_warmup=2, actor=ActorConfig(hidden=(8,), recurrent=4)
)
KILLED_AT, STOPPED_AT = 5, 3


class BrokenForOne(Ball):
    """In the second process a reward is not finite."""

    def advance(self, state, action):
        state, terms = super().advance(state, action)
        return state, {**terms, "effort": terms["effort"] * (float("nan") if team.rank() else 1.0)}


def started(task):
    """A learner as `train` makes it for CONFIG and seed 0, its weights' seed aside."""
    torch.manual_seed(0)
    task.reset(team.rank())
    return ShacLearner(task, CONFIG)


def followed(learner):
    """Gradients of the first update, their norm before clipping, and the moments after it."""
    norm = learner.iterate()["gradient_norm"]
    gradients = [p.grad.clone() for p in learner.actor.parameters()]
    return {"gradients": gradients, "norm": norm, "moments": learner.actor.normaliser.state_dict()}


def after(iteration, of_rank, act):
    iterate = ShacLearner.iterate

    def wrapped(self):
        scalars = iterate(self)
        if self.iteration == iteration and team.rank() == of_rank:
            act()
        return scalars

    ShacLearner.iterate = wrapped
    return iterate


def ball():
    return Ball(BallConfig(num_envs=NUM_ENVS, episode_s=0.5))


def weights(folder, **options):
    """A training with a critic, and the modules of all it ended with."""
    kept = []
    load = SHAC.learner
    SHAC.learner = lambda self, task: kept.append(load(self, task)) or kept[0]
    config = None if options.get("resume") else WITH_CRITIC
    result = trainer.train(ball(), config, team.first(lambda: RunFolder.at(folder)), seed=3, **options)
    SHAC.learner = load
    return result, kept[0].state_dict()


def ppo(task):
    """What three iterations from the same weights made of a learner whose critic and rate follow its data."""
    torch.manual_seed(0)
    task.reset(team.rank())
    shape = {"actor": ActorConfig(hidden=(8,), recurrent=4), "critic": CriticConfig((8,))}
    learner = PPO(steps=8, minibatches=2, terms=(("near", 1.0), ("effort", 0.1)), **shape).learner(task)
    torch.manual_seed(team.rank())
    for _ in range(3):
        learner.iterate()
    return learner.state_dict()


def both(folder):
    found = {"first": followed(started(ball()))}
    found["ppo"] = ppo(ball())
    found["ppo, broken"] = ppo(BrokenForOne(BallConfig(num_envs=NUM_ENVS)))["bad_updates"]
    found["whole"] = weights(folder / "whole")
    iterate = after(STOPPED_AT, 1, lambda: signal.raise_signal(signal.SIGINT))
    found["stopped"] = weights(folder / "parts")
    ShacLearner.iterate = iterate
    found["resumed"] = weights(folder / "parts", resume=True)
    broken = started(BrokenForOne(BallConfig(num_envs=NUM_ENVS)))
    before = [p.clone() for p in broken.actor.parameters()]
    found["left_out"] = [broken.iterate() for _ in range(3)] and broken.bad_updates
    found["unmoved"] = all(torch.equal(a, b) for a, b in zip(before, broken.actor.parameters(), strict=True))
    config = SHAC(iterations=60, horizon=2, actor=ActorConfig(hidden=(8,)))
    try:
        trainer.train(BrokenForOne(BallConfig(num_envs=NUM_ENVS)), config, RunFolder.at(folder / "diverged"))
    except DivergedError as error:
        found["diverged"] = str(error)
    torch.save(found, folder / f"{team.rank()}.pt")


def die():
    Path(sys.argv[-1], "died").touch()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        trainer.CHECKPOINT_S = 0.0
        if "--resume" not in sys.argv:
            after(KILLED_AT, 1, die)
        sys.exit(cli.main(sys.argv[1:]))
    team.join()
    both(Path(sys.argv[1]))
