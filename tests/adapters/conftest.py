import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))


@pytest.fixture(autouse=True)
def one_thread_and_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def quadrotor():
    """16 of them, whose episodes end often: by their box and after half a second."""
    from robostack_sim.quadrotor.config import QuadrotorConfig
    from robostack_sim.quadrotor.task import Quadrotor

    return Quadrotor(QuadrotorConfig(num_envs=16, episode_s=0.5))


@pytest.fixture
def ball():
    from ball import Ball, BallConfig

    return Ball(BallConfig(num_envs=8, episode_s=0.5))
