import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))

from ball import Ball, BallConfig
from installed import ball_installed  # noqa: F401


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def learner(request):
    """Of the test module's CONFIG, after four iterations with the ball."""
    torch.manual_seed(0)
    task = Ball(BallConfig(num_envs=8, episode_s=0.5))
    task.reset(0)
    made = request.module.CONFIG.learner(task)
    for _ in range(4):
        made.iterate()
    return made
