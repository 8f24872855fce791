"""What an off-policy learner remembers: transitions of all environments, in a ring on the device.

A reward is kept as its named terms, so that a curriculum that changes their weights changes what is remembered too
(Eschmann et al. 2024, Learning to Fly in Seconds).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robostack import team
from robostack.spec import ContractError

OTHER = "other"
"""what a task's reward holds beyond its named terms"""


@dataclass(frozen=True)
class Columns:
    """Widths of a transition: the critic's channels, the action, the actor's features; then both after the step,
    reward, and discount: 0 where the episode terminated."""

    critic: int
    action: int
    actor: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.critic, self.action, self.actor, self.critic, self.actor, 1, 1

    @property
    def size(self) -> int:
        return sum(self.sizes)

    @property
    def after(self) -> slice:
        start = self.critic + self.action + self.actor
        return slice(start, start + self.critic + self.actor)


class Replay:
    """The last `slots` steps of `num_envs` environments; `rows` is (slots, num_envs, columns.size) float32.

    Raises ContractError when it does not fit the memory that is free on `device`, each of a team's on one machine.
    """

    def __init__(
        self,
        slots: int,
        num_envs: int,
        columns: Columns,
        terms: tuple[str, ...],
        *,
        gamma: float,
        n_step: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.slots, self.num_envs, self.columns, self.gamma, self.n_step = slots, num_envs, columns, gamma, n_step
        self.terms = (*terms, OTHER)
        self.device = torch.device(device)
        self.bytes = slots * num_envs * (4 * (columns.size + len(self.terms)) + 1)
        here = team.neighbours() if self.device.type == "cpu" else 1  # a GPU is one process' own
        if here * self.bytes > (free := free_bytes(self.device)):
            each = f" in each of {here} processes" if here > 1 else ""
            raise ContractError(
                f"replay_size: {slots * num_envs:,} transitions of this task take {self.bytes / 1e9:,.1f} GB{each}, "
                f"and {free / 1e9:,.1f} GB are free on {self.device}; lower replay_size, or let critic.channels and "
                "actor.channels name fewer channels"
            )
        self.rows = torch.zeros(slots, num_envs, columns.size, device=self.device)
        self.rewards = torch.zeros(slots, num_envs, len(self.terms), device=self.device)
        self.ended = torch.zeros(slots, num_envs, dtype=torch.bool, device=self.device)
        self.weights = torch.ones(len(self.terms), device=self.device)
        self.steps = 0
        """steps ever added"""

    @property
    def filled(self) -> int:
        return min(self.steps, self.slots)

    def __len__(self) -> int:
        """Transitions held."""
        return self.filled * self.num_envs

    def add(
        self,
        before: tuple[Tensor, Tensor, Tensor],
        after: tuple[Tensor, Tensor],
        reward: Tensor,
        terms: Mapping[str, Tensor],
        terminated: Tensor,
        truncated: Tensor,
    ) -> None:
        """One step of every environment. `before`: critic's channels, action, actor's features; `after`: critic's
        channels and actor's features of what the step led to, of `final_obs` where an episode ended; the others
        (num_envs,). A time-out ends an episode but not its value."""
        slot = self.steps % self.slots
        named = torch.stack([terms[n] for n in self.terms[:-1]] + [reward], -1)
        named[:, -1] -= named[:, :-1].sum(-1)
        self.rewards[slot] = named
        self.ended[slot] = terminated | truncated
        ends = torch.stack([named @ self.weights, self.gamma * (~terminated).float()], -1)
        torch.cat([*before, *after, ends], -1, out=self.rows[slot])
        self.steps += 1

    def newest(self, steps: int) -> tuple[Tensor, Tensor]:
        """(steps, num_envs, ...) rows and reward terms that were added last; no more steps than are held."""
        last = torch.arange(self.steps - min(steps, self.filled), self.steps, device=self.device) % self.slots
        return self.rows[last], self.rewards[last]

    def draw(self, count: int) -> Tensor:
        """(count, columns.size) transitions, each as likely as any other. With n_step > 1 reward, discount and what
        is after are those of the steps that follow, up to n_step or the end of the episode or of what is held."""
        picked = torch.randint(len(self), (count,), device=self.device)
        flat = self.rows.view(-1, self.columns.size)
        found = flat.index_select(0, picked)
        if self.n_step > 1:
            self._look_ahead(found, picked, flat)
        return found

    def _look_ahead(self, found: Tensor, picked: Tensor, flat: Tensor) -> None:
        ended, newest = self.ended.view(-1), (self.steps - 1) % self.slots
        reward, discount, last = found[:, -2].clone(), found[:, -1].clone(), picked
        going = ~ended[picked]
        for _ in range(self.n_step - 1):
            going = going & (last // self.num_envs != newest)
            ahead = (last + self.num_envs) % (self.slots * self.num_envs)
            reward += torch.where(going, discount * flat[ahead, -2], 0.0)
            discount = torch.where(going, discount * flat[ahead, -1], discount)
            last = torch.where(going, ahead, last)
            going = going & ~ended[last]
        found[:, self.columns.after] = flat[last, self.columns.after]
        found[:, -2], found[:, -1] = reward, discount

    def reweigh(self, weights: Mapping[str, float]) -> None:
        """From now on, and in all that is held, the reward is the sum of the terms times these weights; a term that
        is not named keeps its own. Raises ContractError naming an unknown term."""
        for name, weight in weights.items():
            if name not in self.terms:
                raise ContractError(f"there is no reward term {name!r}; there are {', '.join(self.terms)}")
            self.weights[self.terms.index(name)] = weight
        self.rows[: self.filled, :, -2] = self.rewards[: self.filled] @ self.weights

    def state_dict(self) -> dict[str, Any]:
        """What is held, and no more."""
        held = slice(self.filled)
        return {
            "rows": self.rows[held].clone(),  # of a view the whole ring would be written
            "rewards": self.rewards[held].clone(),
            "ended": self.ended[held].clone(),
            "weights": self.weights,
            "steps": self.steps,
        }

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """A ring of another size takes the newest of what was held."""
        held, steps = len(kept["rows"]), kept["steps"]
        self.weights.copy_(kept["weights"])
        if steps > held and held != self.slots:  # it went round: put the oldest first
            order = torch.arange(steps - held, steps, device=self.device) % held
            kept, steps = {**kept, **{k: kept[k][order] for k in ("rows", "rewards", "ended")}}, held
        if held > self.slots:
            kept = {**kept, **{k: kept[k][-self.slots :] for k in ("rows", "rewards", "ended")}}
            held = steps = self.slots
        self.rows[:held], self.rewards[:held], self.ended[:held] = kept["rows"], kept["rewards"], kept["ended"]
        self.steps = steps


def free_bytes(device: torch.device) -> int:
    """Memory that can be had on a device, roughly."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        found = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
