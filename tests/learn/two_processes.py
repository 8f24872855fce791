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
from robostack.learn.curriculum.plr import PLR
from robostack.learn.learner import DivergedError
from robostack.learn.ppo import PPO
from robostack.learn.sac import SAC
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
SHAPE = {"actor": ActorConfig(hidden=(8,), recurrent=4), "critic": CriticConfig((8,))}
OF_TERMS = PPO(steps=8, minibatches=2, terms=(("near", 1.0), ("effort", 0.1)), **SHAPE)
FROM_REPLAY = SAC(iterations=8, steps=4, updates=2, batch_size=16, warmup=20, actor=ActorConfig(hidden=(8,)))
EXPERT = PPO(iterations=2, steps=8, actor=ActorConfig(hidden=(8,), privileged=True), critic=CriticConfig((8,)))
METHODS = ("cloning", "dagger", "aacd")
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


def broken_for_one():
    return BrokenForOne(BallConfig(num_envs=NUM_ENVS))


def weights(folder, **options):
    """A training with a critic that its curriculum asks: what came of it, and the states of learner and task."""
    kept = []
    load = SHAC.learner
    SHAC.learner = lambda self, task: kept.append(load(self, task)) or kept[0]
    config, taught = (None, None) if options.get("resume") else (WITH_CRITIC, PLR(levels=4))
    run = team.first(lambda: RunFolder.at(folder))
    result = trainer.train(ball(), config, run, seed=3, curriculum=taught, **options)
    SHAC.learner = load
    return result, kept[0].state_dict(), kept[0].task.state_dict()


def three(config, task):
    """What three iterations made of a learner that begins with the same weights in both."""
    torch.manual_seed(0)
    task.reset(team.rank())
    learner = config.learner(task)
    torch.manual_seed(team.rank())
    for _ in range(3):
        learner.iterate()
    return learner.state_dict()


def both(folder):
    found = {"first": followed(started(ball()))}
    found["ppo"], found["sac"] = three(OF_TERMS, ball()), three(FROM_REPLAY, ball())
    found["ppo, broken"] = three(OF_TERMS, broken_for_one())["bad_updates"]
    found["whole"] = weights(folder / "whole")
    iterate = after(STOPPED_AT, 1, lambda: signal.raise_signal(signal.SIGINT))
    found["stopped"] = weights(folder / "parts")
    ShacLearner.iterate = iterate
    found["resumed"] = weights(folder / "parts", resume=True)
    broken = started(broken_for_one())
    before = [p.clone() for p in broken.actor.parameters()]
    found["left_out"] = [broken.iterate() for _ in range(3)] and broken.bad_updates
    found["unmoved"] = all(torch.equal(a, b) for a, b in zip(before, broken.actor.parameters(), strict=True))
    config = SHAC(iterations=60, horizon=2, actor=ActorConfig(hidden=(8,)))
    found["diverged"] = diverged(config, folder / "diverged")
    found["sac, diverged"] = diverged(FROM_REPLAY, folder / "sac")
    trainer.train(ball(), EXPERT, team.first(lambda: RunFolder.at(folder / "expert")))
    found["students"] = [distilled(folder, f"--method {m} --run-folder {folder / m}") for m in METHODS]
    found["budget"] = distilled(folder, "--max-flash-kb 9")
    torch.save(found, folder / f"{team.rank()}.pt")


def diverged(config, folder):
    """What a training says that one of the two cannot go on with."""
    try:
        trainer.train(broken_for_one(), config, RunFolder.at(folder))
    except DivergedError as error:
        return str(error)


def distilled(folder, line):
    """Exit status of the command line, of a student of the expert."""
    shape = "--student.hidden 8 --student.recurrent 4 --learner.iterations 3"
    return cli.main(f"distill {folder / 'expert'} {shape} {line}".split())


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
