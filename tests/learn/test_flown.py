from pathlib import Path

import numpy as np
import torch

from robostack.export.onnx import load_policy
from robostack.learn.flown import EPISODES, observed_in_flight
from robostack.learn.trained import load_run
from robostack.run_folder import RunFolder


def test_it_flies_every_episode_and_sees_the_same_twice(quadrotor_run: Path) -> None:
    run = RunFolder.open(quadrotor_run)
    policy, (task, _) = load_policy(run.policy), load_run(run)
    before = torch.get_rng_state()
    rows = observed_in_flight(policy, task)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(rows, observed_in_flight(policy, task))
    spec = policy.spec
    width = spec.observation_size + spec.action_size + spec.state.size
    assert rows.shape == (EPISODES * task.evaluation(EPISODES).max_episode_length, width)
    assert np.isfinite(rows).all()
    assert np.allclose(rows[:EPISODES, -spec.state.size :], spec.state.reset)
