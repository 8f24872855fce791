"""What SAC and TD3 share: exploring steps into a replay, then K updates of an actor and its twin critics.

The replay holds features, not observations: `Actor.perceive` has no weights, and a policy's feature memory is then
already at work. Where an episode ends by a time-out the value goes on from `final_obs`; where it terminates, it is 0.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from robostack import team
from robostack.learn.adam import Adam
from robostack.learn.compiled import compiled
from robostack.learn.learner import DivergedError, Learner
from robostack.learn.replay import Columns, Replay
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.critic import CriticConfig, critic_index
from robostack.nets.normaliser import Normaliser
from robostack.nets.twin import TwinCritic
from robostack.spec import ContractError
from robostack.task import Task

LARGE_BYTES = 1e9
PAYS = 30_000
"""updates of a training from which on compiling them costs less than it saves: TD3's at the least, and SAC's from a
quarter of that (benchmarks/off_policy_update.py)"""


@dataclass(frozen=True)
class OffPolicy:
    """Settings that both have; `actor` and `critic` are the shapes of the networks and what they see."""

    iterations: int = 1000
    steps: int = 4
    """of every environment in an iteration"""
    updates: int = 32
    """in an iteration, after its steps"""
    batch_size: int = 256
    replay_size: int = 1_000_000
    """transitions, of all environments together; no more are kept than a run makes"""
    warmup: int = 2000
    """transitions by random actions before the first update"""
    gamma: float = 0.99
    n_step: int = 1
    """rewards until the critics' own value takes over"""
    learning_rate: float = 1e-3
    target_rate: float = 0.005
    """share by which the target networks follow, an update"""
    compile: bool | None = None
    """the updates into C++ first; None: where it pays, on a CPU from 30 000 updates on (docs/learning.md)"""
    actor: ActorConfig = field(default_factory=ActorConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)

    def __post_init__(self) -> None:
        for name in ("iterations", "steps", "updates", "batch_size", "replay_size", "n_step"):
            if getattr(self, name) < 1:
                raise ContractError(f"{name} = {getattr(self, name)}: must be 1 at least")
        if self.actor.recurrent:
            raise ContractError(
                f"actor.recurrent = {self.actor.recurrent}: {type(self).__name__} learns from single steps and takes "
                "feed-forward actors only; PPO and SHAC train one with a memory"
            )
        if not self.critic.hidden:
            raise ContractError("critic.hidden is empty: the critics need one hidden layer at least")


class OffPolicyLearner(Learner):
    """`iterate()` makes `steps` steps and `updates` updates. Raises ContractError at construction when the replay does
    not fit."""

    config: Any

    def __init__(self, task: Task, config: OffPolicy) -> None:
        self.task, self.config, device = task, config, task.device
        self.actor = Actor(task, config.actor).to(device)
        self.index = critic_index(task, config.critic.channels).to(device)
        self.normaliser = Normaliser(len(self.index), eps=1e-8).to(device)
        self.critics = TwinCritic(len(self.index) + task.action_size, config.critic.hidden).to(device)
        self.target = deepcopy(self.critics).requires_grad_(False)
        self.critic_optimiser = Adam(tuple(self.critics.parameters()), config.learning_rate)
        self._round: Callable[..., tuple[Tensor, ...]] | None = None
        self.columns = Columns(len(self.index), task.action_size, self.actor.features.output_size)
        self.replay = self._replay()
        self._perceive(task.observe().flat, self.actor.initial_state(task.num_envs))

    def _replay(self) -> Replay:
        """One step of the task says which reward terms it has."""
        c, task = self.config, self.task
        neutral = torch.tensor([v for a in task.actions for v in a.neutral], device=task.device)
        terms = tuple(task.step(neutral.expand(task.num_envs, -1).contiguous())[4]["reward_terms"])
        slots = min(-(-c.replay_size // task.num_envs), c.iterations * c.steps)
        replay = Replay(slots, task.num_envs, self.columns, terms, gamma=c.gamma, n_step=c.n_step, device=task.device)
        if replay.bytes > LARGE_BYTES and team.rank() == 0:
            held = f"{slots * task.num_envs:,} transitions"
            print(f"replay of {held}: {replay.bytes / 1e9:.1f} GB on {task.device}", file=sys.stderr)
        return replay

    @property
    def steps_per_iteration(self) -> int:
        return int(self.config.steps)

    @torch.no_grad()
    def value(self, obs: Tensor) -> Tensor | None:
        """What the lower of both critics expects of the exported policy, SAC's with the entropy to come; None while
        the replay's reward is not the task's own. Features that remember take `obs` for what the last step led to."""
        if (self.replay.weights != 1.0).any():
            return None
        features, _, _ = self.actor.perceive(obs, self.memory)
        share = torch.tanh(self.actor.head(self.actor.latent(features, features)))
        seen = self.normaliser(obs[:, self.index]).clamp(-10.0, 10.0)
        values: Tensor = self.critics(torch.cat([seen, share], -1))
        return values.amin(0)

    @abstractmethod
    def explore(self, y: Tensor) -> Tensor:
        """Features (N, F) -> action to try (N, action_size), in [-1, 1] of its range."""

    @abstractmethod
    def improve(self, rows: Tensor) -> dict[str, Tensor]:
        """Updates from (updates, batch_size, columns.size) normalised transitions. Returns scalars to log, `loss`, the
        sum of all that was minimised, among them."""

    @abstractmethod
    def round(self, rows: Tensor, *noise: Tensor) -> tuple[Tensor, ...]:
        """The updates from one row of what `rounds` takes. Returns scalars."""

    @abstractmethod
    def changed(self) -> list[Tensor]:
        """Every tensor that `improve` changes."""

    def iterate(self) -> dict[str, float]:
        c = self.config
        scalars = {"reward": self._collect()}
        self._learn_normalisers()
        if len(self.replay) >= c.warmup:
            scalars |= self.update()
        self.iteration += 1
        return scalars

    def update(self) -> dict[str, float]:
        """`updates` updates from what is remembered; all of them, or none where they diverge."""
        found: dict[str, Tensor] = {}

        def updates() -> Tensor:
            found.update(self.improve(self._normalised(self.replay.draw(self.config.updates * self.config.batch_size))))
            return found["loss"]

        self.all_or_nothing(f"{type(self.config).__name__} update", self.changed(), updates)
        return {name: value.item() for name, value in found.items()}

    def rounds(self, *rows: Tensor) -> list[Tensor]:
        """`round` for every row of tensors (rounds, ...), one after the other. Returns the means of its scalars."""
        if self._round is None:
            examples = [x[0] for x in rows]
            self._round = self._compiled(examples) if self._compiles else self.round
        found = [self._round(*row) for row in zip(*rows, strict=True)]
        return [torch.stack(values).mean() for values in zip(*found, strict=True)]

    @property
    def _compiles(self) -> bool:
        c = self.config
        if c.compile is None:
            return self.task.device.type == "cpu" and team.size() == 1 and c.iterations * c.updates >= PAYS
        return bool(c.compile)

    def _compiled(self, examples: list[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
        name = type(self.config).__name__
        if team.size() > 1:
            print(f"{name}: no compile in a team, which averages gradients in mid-update", file=sys.stderr)
            return self.round
        print(f"{name}: compiling the update, which may take a minute", file=sys.stderr)
        return compiled(self.round, self.changed(), examples)

    def fit_critics(self, row: Tensor, goal: Tensor) -> Tensor:
        """One update of both towards y (batch,) of normalised transitions (batch, columns.size). Returns the loss."""
        return self.follow(self.critic_loss(row, goal), self.critic_optimiser)

    @torch.enable_grad()
    def critic_loss(self, row: Tensor, goal: Tensor) -> Tensor:
        """Mean square of Q - y over both critics."""
        values = self.critics(row[:, : self.columns.critic + self.columns.action])
        return mse_loss(values, goal.expand_as(values))

    @torch.no_grad()
    def _collect(self) -> float:
        """Steps into the replay. Returns the mean reward a step; raises DivergedError where something the simulation
        gave is not finite, before any of it reaches a network."""
        task, actor, c = self.task, self.actor, self.config
        total = torch.zeros((), device=task.device)
        for _ in range(c.steps):
            if len(self.replay) < c.warmup:
                share = 2.0 * torch.rand(task.num_envs, task.action_size, device=task.device) - 1.0
            else:
                share = self.explore(self.features)
            obs, reward, terminated, truncated, extras = task.step(actor.unshare(share))
            done = (terminated | truncated)[:, None]
            last = torch.where(done, extras["final_obs"].flat, obs.flat)
            features, memory, _ = actor.perceive(last, self.memory)
            before, after = (self.seen, share, self.features), (last[:, self.index], features)
            self.replay.add(before, after, reward, extras["reward_terms"], terminated, truncated)
            self._perceive(obs.flat, torch.where(done, actor.initial_state(task.num_envs), memory))
            total += reward.mean()
        self._refuse_what_is_not_finite()
        return (total / c.steps).item()

    def _perceive(self, flat: Tensor, memory: Tensor) -> None:
        """Takes an observation in, with the feature memory from before it."""
        self.seen = flat[:, self.index]
        self.features, self.memory, _ = self.actor.perceive(flat, memory)

    def _refuse_what_is_not_finite(self) -> None:
        rows, rewards = self.replay.newest(self.config.steps)
        sound = bool(torch.isfinite(rows).all())
        if not team.largest(not sound)[0]:
            return
        if sound:
            raise DivergedError(f"iteration {self.iteration}: what another process met is not finite")
        parts = dict(zip((f"reward term {n}" for n in self.replay.terms), rewards.split(1, -1), strict=True))
        names = ("the critic's channels", "the action", "the actor's features")
        parts |= dict(zip(names, rows.split(self.columns.sizes, -1), strict=False))
        parts |= {"what a step led to": rows[..., self.columns.after]}
        name, bad = next((n, ~torch.isfinite(v)) for n, v in parts.items() if not torch.isfinite(v).all())
        count = int(bad.any(-1).any(0).sum())
        raise DivergedError(
            f"iteration {self.iteration}: {name} is not finite in {count} of {self.task.num_envs} environments"
        )

    def _learn_normalisers(self) -> None:
        critic, _, actor, *_ = self.replay.newest(self.config.steps)[0].split(self.columns.sizes, -1)
        self.normaliser.update(critic)
        self.actor.normaliser.update(actor)

    def _normalised(self, rows: Tensor) -> Tensor:
        """Transitions as the networks take them, once for all updates; (updates, batch_size, columns.size)."""
        (critic, critic_shift), (actor, actor_shift) = self.normaliser.affine(), self.actor.normaliser.affine()
        same = torch.ones(self.columns.action + 2, device=rows.device)
        action, ends = same[:-2], same[-2:]
        scale = torch.cat([critic, action, actor, critic, actor, ends])
        shift = torch.cat([critic_shift, 0 * action, actor_shift, critic_shift, actor_shift, 0 * ends])
        rows = torch.addcmul(shift, rows, scale, out=rows)
        for part in rows.split(self.columns.sizes, -1)[:4:3]:  # the critic's, before and after
            part.clamp_(-10.0, 10.0)
        return rows.view(self.config.updates, self.config.batch_size, -1)

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor": self.actor.state_dict(),
            "normaliser": self.normaliser.state_dict(),
            "critics": self.critics.state_dict(),
            "target": self.target.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
            "replay": self.replay.state_dict(),
            "now": [self.seen, self.features, self.memory],
            "iteration": self.iteration,
            "bad_updates": self.bad_updates,
        }

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        for part in ("actor", "normaliser", "critics", "target", "critic_optimiser", "replay"):
            getattr(self, part).load_state_dict(kept[part])
        for ours, theirs in zip((self.seen, self.features, self.memory), kept["now"], strict=True):
            ours.copy_(theirs)
        self.iteration, self.bad_updates = kept["iteration"], kept["bad_updates"]
