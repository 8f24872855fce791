import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks"))

from installed import ball_installed  # noqa: F401


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
