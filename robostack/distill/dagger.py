"""Cloning and DAgger: a student regresses to its teacher's actions in the states that either of them drives to.

    minimise over theta   E_{s ~ beta d(teacher) + (1 - beta) d(student)}  | pi_theta(o_s) - pi_teacher(s) |^2

both as shares of the action's range. Cloning (Pomerleau 1989) lets the teacher drive always, beta = 1: where the
student's own errors lead it has never been. DAgger (Ross, Gordon, Bagnell 2011) lets beta fall to zero, and the teacher
says what it would do where the student is. An environment has one driver for a window; a window is learned from at
once and not kept, since a simulator makes the next one as fast as a memory would.

A student with a memory (GRU, features that remember) carries it through the window from the window before, whoever
drives, and its gradient flows back through the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor

from robostack import team
from robostack.distill.teacher import Teacher, TeacherRun
from robostack.learn.learner import Learner
from robostack.nets.actor import Actor, ActorConfig
from robostack.spec import ContractError
from robostack.task import Task


@dataclass(frozen=True)
class Cloning:
    """Settings; `actor` is the shape of the student and the channels that it sees."""

    teacher: Annotated[TeacherRun, tyro.conf.Suppress]
    iterations: int = 200
    horizon: int = 32
    """steps of a window, through which a memory learns"""
    epochs: int = 2
    """passes over a window"""
    minibatches: int = 4
    """of environments"""
    learning_rate: float = 3e-3
    """Adam's, falling linearly to `final_learning_rate_share` of it"""
    final_learning_rate_share: float = 0.05
    gradient_clip: float = 1.0
    normaliser_iterations: int = 50
    """iterations that the observation normaliser learns from, before it is frozen"""
    actor: Annotated[ActorConfig, tyro.conf.Suppress] = field(default_factory=ActorConfig)

    def beta(self, progress: float) -> float:
        """Share of the environments that the teacher drives, at a share of the training."""
        return 1.0

    def learner(self, task: Task) -> ImitationLearner:
        """Raises ContractError for a teacher or a student that does not fit, RunFolderError for a teacher gone."""
        return ImitationLearner(task, self, self.teacher.load(task))


@dataclass(frozen=True)
class DAgger(Cloning):
    """Settings; as of cloning, and how soon the student drives."""

    beta_until: float = 0.3
    """share of the training at which the teacher, who drives alone at first, drives no more; 0: it never does"""

    def beta(self, progress: float) -> float:
        return max(0.0, 1.0 - progress / self.beta_until) if self.beta_until else 0.0


@dataclass(frozen=True)
class Window:
    """What a student met, and what its teacher did there."""

    features: Tensor
    """(horizon, N, F), not normalised"""
    hidden: Tensor
    """(N, recurrent) the GRU's units before the first step"""
    begins: Tensor
    """(horizon, N) bool: an episode's first step, from the second step of the window on"""
    target: Tensor
    """(horizon, N, action_size) the teacher's action in [-1, 1] of its range"""
    reward: float
    """mean a step, of who drove"""


class ImitationLearner(Learner):
    """`iterate()` drives through one window and regresses on it."""

    config: Cloning

    def __init__(self, task: Task, config: Cloning, teacher: Teacher) -> None:
        refuse_privileged(config.actor)
        self.task, self.config, self.teacher = task, config, teacher.actor
        self.actor = Actor(task, config.actor).to(task.device)
        self.optimiser = torch.optim.Adam(self.actor.parameters(), lr=config.learning_rate, foreach=True)
        self.obs = task.observe().flat
        self.state = self.actor.initial_state(task.num_envs)
        self.teacher_state = self.teacher.initial_state(task.num_envs)

    @property
    def steps_per_iteration(self) -> int:
        return self.config.horizon

    def iterate(self) -> dict[str, float]:
        c = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = c.learning_rate * (1.0 - (1.0 - c.final_learning_rate_share) * self.progress)
        beta = c.beta(self.progress)
        window = self.drive(beta)
        if self.iteration < c.normaliser_iterations and not team.largest(not window.features.isfinite().all())[0]:
            self.actor.normaliser.update(window.features)  # a NaN in the moments would stay for ever
        losses, norm = [], 0.0
        for _ in range(c.epochs):
            for envs in torch.randperm(self.task.num_envs, device=self.task.device).chunk(c.minibatches):
                loss = imitation_loss(self.actor, window, envs)
                _, norm = self.descend("student", loss, self.optimiser, c.gradient_clip)
                losses.append(loss.item())
        self.iteration += 1
        mean = sum(losses) / len(losses)
        return {"loss": mean, "reward": window.reward, "beta": beta, "gradient_norm": norm}

    @torch.no_grad()
    def drive(self, beta: float) -> Window:
        """One window, its environments driven by the teacher with probability `beta` each."""
        task, actor, num_envs = self.task, self.actor, self.task.num_envs
        first, first_teacher = actor.initial_state(num_envs), self.teacher.initial_state(num_envs)
        taught = torch.rand(num_envs, 1, device=task.device) < beta
        hidden = self.state[:, actor.features.state_size :]
        done = torch.zeros(num_envs, dtype=torch.bool, device=task.device)
        seen, begins, target, rewards = [], [], [], torch.zeros((), device=task.device)
        with actor.window(), self.teacher.window():
            for _ in range(self.config.horizon):
                begins.append(done)
                features, memory, units = actor.perceive(self.obs, self.state)
                y = actor.latent(features, units)
                self.state = memory if actor.gru is None else torch.cat([memory, y], -1)
                right, self.teacher_state = self.teacher(self.obs, self.teacher_state)
                seen.append(features)
                target.append(self.teacher.share(right))
                action = torch.where(taught, right, actor.scale(actor.head(y)))
                obs, reward, terminated, truncated, _ = task.step(action)
                done = terminated | truncated
                self.obs, rewards = obs.flat, rewards + reward.mean()
                self.state = torch.where(done[:, None], first, self.state)
                self.teacher_state = torch.where(done[:, None], first_teacher, self.teacher_state)
        mean = rewards.item() / self.config.horizon
        return Window(torch.stack(seen), hidden, torch.stack(begins), torch.stack(target), mean)

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor": self.actor.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "obs": self.obs,
            "state": self.state,
            "teacher_state": self.teacher_state,
            "iteration": self.iteration,
            "bad_updates": self.bad_updates,
        }

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        self.actor.load_state_dict(kept["actor"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.obs, self.state, self.teacher_state = kept["obs"], kept["state"], kept["teacher_state"]
        self.iteration, self.bad_updates = kept["iteration"], kept["bad_updates"]


def imitation_loss(actor: Actor, window: Window, envs: Tensor) -> Tensor:
    """Mean square of the student's action less the teacher's, as shares of half the range, over the `envs` (B,)."""
    with actor.window():
        y = actor.unroll(window.features[:, envs], window.hidden[envs], window.begins[:, envs])
    return (torch.tanh(actor.head(y)) - window.target[:, envs]).square().mean()


def refuse_privileged(student: ActorConfig) -> None:
    """Raises ContractError for a student that could not be exported."""
    if student.privileged:
        raise ContractError("a student sees what a machine measures: leave actor.privileged off")
