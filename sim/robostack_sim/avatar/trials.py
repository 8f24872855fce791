"""How well a character stands and follows, asked without a policy: by inverse kinematics alone, or a feedback's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from robostack_sim.avatar.balance import Feedback, Gains
from robostack_sim.avatar.task import Avatar

Act = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""channels (N, ...) by name -> (N, A) rad"""


@torch.no_grad()
def ends_of(act: Act, task: Avatar, episodes: int) -> dict[str, Any]:
    """What `extras` held, (episodes,) each, when the first episode of each environment ended; as `judge_episodes` takes
    it. `stood_s` beside it is how long that took."""
    plant = task.evaluation(episodes)
    obs, _ = plant.reset(0)
    running = np.ones(episodes, bool)
    found: dict[str, Any] = {}
    for k in range(plant.max_episode_length):
        seen = {name: value.numpy().astype(float) for name, value in obs.items()}
        obs, _, terminated, truncated, extras = plant.step(torch.from_numpy(act(seen)))
        over = running & (terminated | truncated).numpy()
        for name in ("success", "head_error_m", "hand_error_m", "pushed"):
            found.setdefault(name, np.full(episodes, np.nan))[over] = extras[name].numpy()[over]
        found.setdefault("stood_s", np.zeros(episodes))[over] = (k + 1) * plant.step_dt
        running &= ~over
        if not running.any():
            break
    return found


def tuned(task: Avatar, episodes: int, tries: int, seed: int = 0) -> Feedback:
    """The feedback that most episodes survive, of `tries` random gains and of none."""
    random = np.random.default_rng(seed)
    best, most = Feedback.of(task.body), -1.0
    for k in range(tries):
        gains = tuple(np.where(random.random(4) < 0.25, 0.0, np.exp(random.uniform(-3.0, 0.5, 4))).tolist())
        feedback = Feedback.of(task.body, _four(gains) if k else (0.0, 0.0, 0.0, 0.0))
        if (survived := float(np.mean(ends_of(feedback.act, task, episodes)["success"]))) > most:
            best, most = feedback, survived
    return best


def _four(gains: tuple[float, ...]) -> Gains:
    a, b, c, d = gains
    return a, b, c, d
