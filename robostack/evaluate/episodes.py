"""Whole episodes under an exported policy: the file in ONNX Runtime, behind its envelope, as a Python host runs it.

A training judges its checkpoints as torch modules without an envelope (learn/judge.py); this asks the artifact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from robostack.runtime.controller import Controller
from robostack.runtime.runner import Runner
from robostack.spec import ContractError, PolicySpec
from robostack.task import Task

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy

UNSEEN = 2_000_003
"""added to a seed: far from what a training draws from, and from what its checkpoints are judged on"""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Episodes:
    """N of them, a row each."""

    success: Array
    """(N,) bool"""
    returns: Array
    """(N,) rewards, summed"""
    terms: Mapping[str, Array]
    """(N,) each: a term of the reward, summed"""
    steps: Array
    """(N,)"""
    fell_back: Array
    """(N,) bool: the envelope took over before the end"""
    ends: Mapping[str, Array]
    """(N,) each: what the task's `extras` held when the episode ended; NaN where a reward was not finite"""

    def rows(self) -> list[dict[str, Any]]:
        """Of any task, as rows of a table."""
        return [
            _row(f"episodes that succeed, of {len(self.steps)}", 100.0 * self.success.mean(), "%", "higher"),
            _row("steps of an episode, mean", self.steps.mean(), "", "higher"),
            _row("episodes in which the envelope took over", 100.0 * self.fell_back.mean(), "%", "lower"),
        ]

    def return_rows(self) -> list[dict[str, Any]]:
        """The return and its terms, which mean something to who trains."""
        parts = {"return": self.returns, **{f"return, its part {name}": value for name, value in self.terms.items()}}
        return [_row(f"{name}, mean", value.mean(), "", "higher") for name, value in parts.items()]


@torch.no_grad()
def fly_episodes(policy: LoadedPolicy, task: Task, episodes: int, seed: int = 0) -> Episodes:
    """The first episode in each of so many environments of the task's own evaluation, on the CPU, with progress.

    A reward that is not finite ends an episode as a failure. Raises ContractError for a policy of other channels or
    actions than the task's.
    """
    torch.set_num_threads(1)
    spec, runner, plant = policy.spec, Runner(policy), task.evaluation(episodes)
    check_fits(spec, plant, policy.origin)
    controllers = [Controller(runner, spec) for _ in range(episodes)]
    for controller in controllers:
        controller.arm()
    obs, _ = plant.reset(UNSEEN + seed)
    running, success = np.ones(episodes, bool), np.zeros(episodes, bool)
    steps, returns = np.zeros(episodes, int), np.zeros(episodes)
    terms: dict[str, Array] = {}
    ends: dict[str, Array] = {}
    for _ in _shown(range(plant.max_episode_length)):
        seen = {c.name: obs[c.name].numpy() for c in spec.observations}
        action = obs["applied_action"].numpy().copy()
        for i in np.flatnonzero(running):
            controllers[i].applied(action[i])  # an actuator at its limit takes less than the envelope let through
            action[i] = controllers[i].tick({name: (value[i], 0.0) for name, value in seen.items()})
        obs, reward, terminated, truncated, extras = plant.step(torch.from_numpy(action))
        running &= torch.isfinite(reward).numpy()
        steps += running
        returns[running] += reward.numpy()[running]
        for name, value in extras["reward_terms"].items():
            terms.setdefault(name, np.zeros(episodes))[running] += value.numpy()[running]
        over = running & (terminated | truncated).numpy()
        success |= over & extras["success"].numpy()
        for name, value in extras.items():
            if isinstance(value, torch.Tensor) and value.shape == (episodes,):
                ends.setdefault(name, np.full(episodes, np.nan))[over] = value.numpy()[over]
        running &= ~over
        if not running.any():
            break
    fell_back = np.array([c.status.tripped for c in controllers])
    return Episodes(success, returns, terms, steps, fell_back, ends)


def check_fits(spec: PolicySpec, task: Task, origin: str) -> None:
    """Raises ContractError, naming what differs, for a policy of other channels or actions than the task's."""
    offered = {c.name: c.shape for c in task.actor_channels}
    for channel in spec.observations:
        if offered.get(channel.name) != channel.shape:
            listed = ", ".join(f"{name} {shape}" for name, shape in offered.items())
            raise ContractError(
                f"{origin}: reads {channel.name} {channel.shape}, and task {task.name!r} has {listed}; "
                "evaluate it on the task that it was trained on"
            )
    taken = tuple(e for a in task.actions for e in a.elements)
    if spec.action_names != taken:
        raise ContractError(f"{origin}: commands {spec.action_names}, and task {task.name!r} takes {taken}")


def _shown(steps: range) -> Iterable[int]:
    from rich.console import Console
    from rich.progress import track

    return track(steps, "evaluate", console=Console(stderr=True))


def _row(what: str, value: Any, unit: str, better: str) -> dict[str, Any]:
    return {"what": what, "value": float(value), "unit": unit, "bar": None, "better": better}
