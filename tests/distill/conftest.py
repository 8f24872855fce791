"""An expert of the ball that sees position, velocity and wind, trained once."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1] / "learn"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))

from ball import Ball, BallConfig
from installed import ball_installed  # noqa: F401

from robostack.learn.ppo import PPO
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig
from robostack.run_folder import RunFolder

EXPERT = PPO(
    iterations=15,
    steps=16,
    gamma=0.97,
    actor=ActorConfig(hidden=(16,), privileged=True),
    critic=CriticConfig(hidden=(16,), channels=("true_state", "setpoint")),
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def _expert(tmp_path_factory):
    run = RunFolder.at(tmp_path_factory.mktemp("expert") / "run")
    with run.stage("train"):
        train(Ball(BallConfig(num_envs=32)), EXPERT, run)
    return run.path


@pytest.fixture
def expert(_expert, tmp_path, ball_installed):  # noqa: F811
    """Its run folder, a copy that a test may spoil."""
    return RunFolder.open(shutil.copytree(_expert, tmp_path / "expert"))
