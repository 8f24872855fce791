"""What a policy meets while it flies: the exported file on its task's own evaluation."""

from __future__ import annotations

import numpy as np
import torch

from robostack.export.onnx import LoadedPolicy
from robostack.runtime.runner import Runner
from robostack.task import Task

EPISODES = 32
SEED = 7


@torch.no_grad()
def observed_in_flight(policy: LoadedPolicy, task: Task) -> np.ndarray:
    """(steps x EPISODES, observation + action + state) float32, packed in the order of the graph's inputs.

    The same policy and task give the same rows; draws from torch's global generator are undone.
    """
    spec, runner = policy.spec, Runner(policy)
    flight = task.evaluation(EPISODES)
    at_reset = np.tile(np.array(spec.state.reset, np.float32), (EPISODES, 1))
    rows = []
    with torch.random.fork_rng(devices=[flight.device] if flight.device.type == "cuda" else []):
        obs, _ = flight.reset(SEED)
        state = at_reset
        for _ in range(flight.max_episode_length):
            channels = {c.name: obs[c.name].cpu().numpy() for c in spec.observations}
            applied = obs["applied_action"].cpu().numpy()
            rows.append(np.concatenate([*(v.reshape(EPISODES, -1) for v in channels.values()), applied, state], 1))
            action, following = runner.infer(channels, applied, state if spec.state.size else None)
            obs, _, terminated, truncated, _ = flight.step(torch.from_numpy(action).to(flight.device))
            if following is not None:
                state = np.where((terminated | truncated).cpu().numpy()[:, None], at_reset, following)
    return np.concatenate(rows)
