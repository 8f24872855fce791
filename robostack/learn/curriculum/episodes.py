"""A task under a curriculum: its episodes start on the curriculum's parameters, and teach it when they end.

Works for learners that `step` and for those that differentiate windows. An episode's return is the plain sum of its
rewards; the error of a critic's values over it is the mean of |A_t|, A the generalised advantage estimate (Schulman et
al. 2016) with LAMBDA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from robostack.learn.curriculum.curriculum import Curriculum, CurriculumSettings, chosen
from robostack.task import Obs, Scenario, Task, Unroll

if TYPE_CHECKING:
    from robostack.evaluate.flight import Flight

LAMBDA = 0.95
"""as of the learners that have a critic"""
Value = Callable[[Tensor], Tensor | None]
"""(num_envs, channels) packed observations -> (num_envs,) expected return; None where there is no critic"""


class CurriculumTask(Task):
    """`task` in everything but where the chosen parameters of an episode come from.

    Raises ContractError when the task does not have them, TypeError when it draws its own only.
    """

    def __init__(self, task: Task, settings: CurriculumSettings, seed: int = 0) -> None:
        for attribute in Task.__annotations__:
            setattr(self, attribute, getattr(task, attribute))
        self.task, self.settings = task, settings
        self._chosen = chosen(task.parameters, settings.parameters, task.name)
        task.draw_parameters_from(self._draw)
        self._value: Value = lambda obs: None
        self._gamma = 1.0
        self.reset(seed)

    def follow(self, value: Value, gamma: float) -> None:
        """Takes a critic, whose errors the curriculum may ask for, and its discount."""
        self._value, self._gamma = value, gamma
        if len(self.error):
            self.error.zero_()  # of steps that a learner has looked at before it had a critic
            self.expected = self.expectation(self.task.observe())

    def _forget(self, seed: int) -> None:
        """A curriculum that knows nothing, and episodes without a past."""
        self.curriculum: Curriculum = self.settings.curriculum(self._chosen, seed)
        n = self.num_envs
        self.playing = torch.zeros(n, len(self._chosen), dtype=torch.float64)
        self._upcoming = torch.zeros_like(self.playing)
        self.returns = torch.zeros(n, dtype=torch.float64, device=self.device)
        self.age = torch.zeros(n, dtype=torch.long, device=self.device)
        rows = self.max_episode_length if self.curriculum.WANTS_VALUE_ERROR else 0
        self.error = torch.zeros(rows, n, device=self.device)
        self.expected = self._nothing = torch.full((n,), torch.nan, device=self.device)

    def _draw(self, mask: Tensor) -> dict[str, Tensor]:
        """A robostack.task.ParameterSource. What ended is still unknown to the curriculum: a task restarts before it
        has told anybody of the end."""
        rows = mask.nonzero().squeeze(1).cpu()
        if len(rows):
            self._upcoming[rows] = self.curriculum.sample(len(rows))
        values = self._upcoming.to(self.device, torch.float32)
        return {p.name: values[:, k] for k, p in enumerate(self._chosen)}

    @torch.no_grad()
    def expectation(self, obs: Obs) -> Tensor:
        """(num_envs,) of the critic; NaN where there is none, or the curriculum does not ask."""
        value = self._value(obs.flat) if len(self.error) else None
        return self._nothing if value is None else value

    def add(self, reward: Tensor, running: Tensor, following: Tensor, over: Tensor) -> None:
        """A step of the episodes that were `running`: what it earned, what the critic expects after it, and of which
        episodes nothing more is to come."""
        reward = reward.detach()
        self.returns += torch.where(running, reward, 0.0)
        if len(self.error):
            error = reward + self._gamma * torch.where(over, 0.0, following) - self.expected
            at = self.age.clamp(max=len(self.error) - 1)[None]
            kept = running & (self.age < len(self.error))
            self.error.scatter_(0, at, torch.where(kept, error, self.error.gather(0, at)))
        self.age += running

    def finish(self, ended: Tensor, success: Tensor) -> None:
        """Tells the curriculum of the episodes that ended, and takes up those that start."""
        rows = ended.nonzero().squeeze(1)
        if not len(rows):
            return
        here = rows.cpu()
        error = self._nothing[rows]
        if len(self.error):
            error = mean_advantage(self.error[:, rows], self.age[rows], self._gamma * LAMBDA)
        self.curriculum.update(self.playing[here], self.returns[rows].cpu(), error.cpu(), success[rows].cpu())
        self.playing[here] = self._upcoming[here]
        self.returns[rows], self.age[rows] = 0.0, 0

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        """With a seed the curriculum too starts anew. Episodes that a reset cuts short teach nothing."""
        if seed is not None:
            self._forget(seed)
        obs, extras = self.task.reset(seed)
        self.playing.copy_(self._upcoming)
        self.returns.zero_()
        self.age.zero_()
        self.expected = self.expectation(obs)
        return obs, extras

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        obs, reward, terminated, truncated, extras = self.task.step(action)
        ended = terminated | truncated
        now = following = self.expectation(obs)
        if len(self.error) and ended.any():
            following = torch.where(ended, self.expectation(extras["final_obs"]), now)
        self.add(reward, torch.ones_like(ended), following, terminated)
        self.expected = now
        self.finish(ended, extras["success"])
        return obs, reward, terminated, truncated, extras

    def unroll(self, horizon: int) -> Unroll:
        return CurriculumUnroll(self, horizon)

    def scalars(self) -> Mapping[str, float]:
        return {**self.task.scalars(), **self.curriculum.scalars()}

    def observe(self) -> Obs:
        return self.task.observe()

    def scenarios(self) -> Sequence[Scenario]:
        return self.task.scenarios()

    def snapshot(self) -> Mapping[str, Tensor]:
        return self.task.snapshot()

    def snapshot_units(self) -> Mapping[str, str]:
        return self.task.snapshot_units()

    def judge_flights(self, flights: Sequence[Flight]) -> list[dict[str, Any]]:
        return self.task.judge_flights(flights)

    def evaluation(self, num_envs: int) -> Task:
        """The task's own, which no curriculum makes easier."""
        return self.task.evaluation(num_envs)

    @property
    def _kept(self) -> tuple[str, ...]:
        """Of the episodes under way: their parameters, what they have earned, steps; and where it is asked for, errors
        of the critic's values and what it expects now."""
        return ("playing", "returns", "age", *(("error", "expected") if len(self.error) else ()))

    def state_dict(self) -> dict[str, Tensor]:
        """The task's, with the curriculum's and that of the episodes under names of their own."""
        ours = {f"episodes.{name}": getattr(self, name) for name in self._kept}
        return self.task.state_dict() | ours | {f"curriculum.{k}": v for k, v in self.curriculum.state_dict().items()}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        of = {
            room: {k.removeprefix(room): v for k, v in kept.items() if k.startswith(room)}
            for room in ("curriculum.", "episodes.")
        }
        self.curriculum.load_state_dict(of["curriculum."])
        for name in self._kept:
            setattr(self, name, of["episodes."][name].to(getattr(self, name).device, copy=True))
        self._upcoming.copy_(self.playing)
        self.task.load_state_dict({k: v for k, v in kept.items() if not k.startswith(tuple(of))})


class CurriculumUnroll(Unroll):
    """A window of the task's own whose `begin` ends episodes and starts those of the curriculum."""

    def __init__(self, under: CurriculumTask, horizon: int) -> None:
        self.under, self.window = under, under.task.unroll(horizon)
        self._running = torch.ones(under.num_envs, dtype=torch.bool, device=under.device)

    def begin(self) -> Obs:
        obs = self.window.begin()
        self.restarted, self.success = self.window.restarted, self.window.success
        self.under.finish(self.restarted, self.success)
        self._running = torch.ones_like(self.restarted)
        self.under.expected = self.under.expectation(obs)
        return obs

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor]:
        obs, reward, alive = self.window.step(action)
        following = self.under.expectation(obs)
        self.under.add(reward, self._running, following, ~alive)
        self.under.expected, self._running = following, self._running & alive
        return obs, reward, alive

    def commit(self) -> None:
        self.window.commit()


def mean_advantage(error: Tensor, length: Tensor, decay: float) -> Tensor:
    """(n,) mean over each episode of |A_t|, A_t = sum_k decay^k error_(t+k).

    error (steps, n) of one step each, of which the first `length` (n,) are the episode. The sum is built by doubling:
    after k rounds an element holds its own and the 2^k - 1 that follow.
    """
    steps = torch.arange(len(error), device=error.device)[:, None]
    inside = steps < length
    advantage = torch.where(inside, error, 0.0)
    reach = 1
    while reach < len(error):
        ahead = torch.cat([advantage[reach:], torch.zeros_like(advantage[:reach])])
        advantage = advantage + decay**reach * ahead
        reach *= 2
    return advantage.abs().sum(0) / length.clamp(min=1, max=len(error))
