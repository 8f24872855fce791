"""Many episodes at once under the exported file, each under a condition of its own.

What `evaluate/episodes.py` asks one by one, in arrays: every period the link, the envelopes, one call of ONNX Runtime
for all rows that are due, and one step of the plant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from robostack.evaluate.episodes import UNSEEN, check_fits
from robostack.qualify.condition import Condition, Outcome
from robostack.qualify.envelopes import Envelopes
from robostack.qualify.link import Link
from robostack.runtime.runner import Runner
from robostack.task import Bar, Task

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy

Array = npt.NDArray[Any]
MAX_ROWS = 1024
"""episodes flown at once: more do not fit a core's cache"""


@dataclass(frozen=True)
class Flown:
    """N episodes, a row each."""

    success: Array
    """(N,) bool"""
    steps: Array
    """(N,)"""
    rewards: Array
    """(steps, N) NaN after an episode's end"""
    tripped: Array
    """(N,) bool: the envelope took over"""

    def outcome(self, rows: slice) -> Outcome:
        steps, rewards = self.steps[rows], self.rewards[:, rows]
        reward = np.nansum(rewards) / max(int(np.isfinite(rewards).sum()), 1)
        kept = steps.mean() / len(self.rewards)
        return Outcome(*map(float, (self.success[rows].mean(), kept, reward, self.tripped[rows].mean())))


class Bench:
    """`episodes` are flown under every condition, `generations` by a search. Raises ContractError for a policy of other
    channels or actions than the task's."""

    def __init__(
        self, policy: LoadedPolicy, task: Task, episodes: int = 128, generations: int = 12, seed: int = 0
    ) -> None:
        check_fits(policy.spec, task, policy.origin)
        torch.set_num_threads(1)
        self.policy, self.task, self.spec = policy, task, policy.spec
        self.episodes, self.generations, self.seed = episodes, generations, seed
        self.bars: Sequence[Bar] = task.qualification()
        self._runner = Runner(policy)
        self._plants: dict[tuple[int, float], Task] = {}
        self._given: set[Task] = set()

    @cached_property
    def nominal(self) -> Flown:
        """What the others are held against."""
        return self.flown([Condition()] * self.episodes, self.seeded(0))

    @cached_property
    def observed(self) -> Array:
        """(rows, observations) what the policy meets when nothing is wrong."""
        from robostack.learn.flown import observed_in_flight

        return observed_in_flight(self.policy, self.task)[:, : self.spec.observation_size]

    def seeded(self, number: int) -> int:
        """Of the many seeds that this bench's makes; probes keep a thousand apart."""
        return 20_000 * self.seed + number

    def fly(self, conditions: Sequence[Condition], seed: int, episodes: int | None = None) -> list[Outcome]:
        """One outcome a condition; all of one rate and with the same parameters named. `seed` is made by `seeded`."""
        each = episodes or self.episodes
        at_once = max(1, MAX_ROWS // each)
        found = []
        for first in range(0, len(conditions), at_once):
            some = conditions[first : first + at_once]
            flown = self.flown([c for c in some for _ in range(each)], self.seeded(seed + first))
            found += [flown.outcome(slice(i * each, (i + 1) * each)) for i in range(len(some))]
        return found

    @torch.no_grad()
    def flown(self, conditions: Sequence[Condition], seed: int) -> Flown:
        """An episode under each of `conditions` (N,), all at once. Raises TypeError where the task knows no other rate,
        or draws its own parameters only."""
        spec, n = self.spec, len(conditions)
        plant = self._plant(n, conditions[0].rate)
        self._set(plant, conditions)
        steps = plant.max_episode_length
        link = Link(spec, conditions, steps, seed)
        guards = Envelopes(spec, n, np.array([c.envelope for c in conditions]))
        repeat = np.array([c.repeat for c in conditions])
        state = self._runner.reset(n)
        obs, _ = plant.reset(UNSEEN + seed)
        columns = torch.tensor(obs.layout.indices(tuple(c.name for c in spec.observations)))
        action = obs["applied_action"].numpy().copy()
        running, success, lasted = np.ones(n, bool), np.zeros(n, bool), np.zeros(n, int)
        rewards = np.full((steps, n), np.nan, np.float32)
        for t in range(steps):
            said, fresh = link.through(obs.flat[:, columns].numpy(), t)
            rows = np.flatnonzero(running & (t % repeat == 0))
            guards.applied_action[rows] = obs["applied_action"].numpy()[rows]
            missed = (repeat[rows] - 1) * (t > 0)
            free = rows[guards.observe(rows, said[rows], fresh[rows], link.age_s[rows], missed)]
            action[rows] = self._act(guards, link, rows, free, state)
            obs, reward, terminated, truncated, extras = plant.step(torch.from_numpy(action))
            running &= torch.isfinite(reward).numpy()
            lasted += running
            rewards[t, running] = reward.numpy()[running]
            over = running & (terminated | truncated).numpy()
            success |= over & extras["success"].numpy()
            running &= ~over
            if not running.any():
                break
        return Flown(success, lasted, rewards, guards.tripped)

    def _act(
        self, guards: Envelopes, link: Link, rows: npt.NDArray[np.intp], free: npt.NDArray[np.intp], state: Array | None
    ) -> Array:
        """(rows, actions) that the actuators get; the policy is asked for those of `free`, and its `state` goes on."""
        answer = np.full((len(guards.applied_action), self.spec.action_size), np.nan, np.float32)
        if len(free):
            held = guards.observation[free]
            named = {c.name: held[:, link.slices[c.name]].reshape(-1, *c.shape) for c in self.spec.observations}
            before = None if state is None else state[free]
            answer[free], following = self._runner.infer(named, guards.applied_action[free], before)
            if following is not None:
                guards.trip_state(free[~np.isfinite(following).all(1)])
        applied = guards.act(rows, answer[rows])
        if len(free) and state is not None and following is not None:
            kept = ~guards.tripped[free]
            state[free[kept]] = following[kept]
        return applied

    def _plant(self, episodes: int, rate: float) -> Task:
        key = episodes, rate
        if key not in self._plants:
            task = self.task if rate == 1.0 else self.task.at_rate(rate)
            self._plants[key] = task.evaluation(episodes)
        return self._plants[key]

    def _set(self, plant: Task, conditions: Sequence[Condition]) -> None:
        names = set(conditions[0].parameters)
        if any(set(c.parameters) != names or c.rate != conditions[0].rate for c in conditions):
            raise ValueError("conditions that are flown at once must be of one rate and name the same parameters")
        if not names and plant not in self._given:
            return
        self._given.add(plant)
        values = {name: torch.tensor([c.parameters[name] for c in conditions], dtype=torch.float32) for name in names}
        plant.draw_parameters_from(lambda mask: values)
