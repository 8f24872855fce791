"""AACD: a new policy on deployable channels learns by PPO under the critic of an expert that saw everything.

Asymmetric actor-critic distillation (Akinola et al. 2024, TacSL: A Library for Visuotactile Sensor Simulation and
Learning): an expert is trained first, actor and critic on privileged channels; then its critic says from the first step
what a state is worth to a policy that sees less. It goes on learning, or it is frozen, and its normalisers with it.

With `imitation` the rollout is labelled by the expert as well, as in DAgger with the student driving:

    loss = PPO's + imitation w |tanh(mean) - a_expert|^2,   w falling linearly from 1 to 0

so that the policy is led to where the expert is, and from there by reward, for which an expert's actions are not the
best that can be done by one who sees less.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor

from robostack.distill.dagger import refuse_privileged
from robostack.distill.teacher import Teacher, TeacherRun
from robostack.learn.ppo import PPO, PpoLearner
from robostack.learn.rollout import Rollout
from robostack.nets.actor import Actor, ActorConfig
from robostack.nets.critic import CriticConfig
from robostack.spec import ContractError
from robostack.task import Task


@dataclass(frozen=True)
class AACD(PPO):
    """Settings; PPO's own but for those that define what the expert's critic says, which are the expert's."""

    teacher: Annotated[TeacherRun, tyro.conf.Suppress] = field(kw_only=True)
    freeze_critic: bool = False
    """the expert's critic stays as it is"""
    imitation: float = 0.0
    """weight of the expert's actions, at first; 0: it is not asked for them"""
    imitation_until: float = 0.5
    """share of the training at which they weigh nothing any more"""
    gamma: Annotated[float, tyro.conf.Suppress] = 0.99
    terms: Annotated[tuple[tuple[str, float], ...], tyro.conf.Suppress] = ()
    actor: Annotated[ActorConfig, tyro.conf.Suppress] = field(default_factory=ActorConfig)
    critic: Annotated[CriticConfig, tyro.conf.Suppress] = field(default_factory=CriticConfig)

    def learner(self, task: Task) -> AacdLearner:
        """Raises ContractError for an expert without a critic of PPO, else as of cloning and of PPO."""
        return AacdLearner(task, self, self.teacher.load(task))


class AacdLearner(PpoLearner):
    """`iterate()` as PPO's."""

    config: AACD

    def __init__(self, task: Task, config: AACD, teacher: Teacher) -> None:
        refuse_privileged(config.actor)
        expert = teacher.learned_by
        if not isinstance(expert, PPO) or teacher.critic is None:
            raise ContractError(
                f"aacd starts from an expert's critic, and this one, of {type(expert).__name__}, left none that it "
                "knows; train the expert with --algorithm ppo, or distil by dagger"
            )
        super().__init__(task, replace(config, gamma=expert.gamma, terms=expert.terms, critic=expert.critic))
        try:
            self.critic.load_state_dict(teacher.critic)
        except RuntimeError as error:
            raise ContractError(f"the expert's critic does not fit {task.name}'s channels: {error}") from error
        if config.freeze_critic:
            self.critic.freeze()
        if config.imitation:
            rollout = self.rollout
            self.rollout = self.taught = TaughtRollout(
                task, self.actor, rollout.index, config.steps, rollout.terms, teacher.actor
            )

    @property
    def guided(self) -> float:
        """What the expert's actions weigh now."""
        c = self.config
        return c.imitation * max(0.0, 1.0 - self.progress / c.imitation_until)

    def labels(self) -> tuple[Tensor, ...]:
        return (self.taught.right,) if self.config.imitation else ()

    def guidance(self, mean: Tensor, *labels: Tensor) -> Tensor | float:
        return sum(self.guided * (torch.tanh(mean) - right).square().mean() for right in labels)


class TaughtRollout(Rollout):
    """A rollout that the teacher watches."""

    def __init__(
        self, task: Task, actor: Actor, critic_index: Tensor, steps: int, terms: tuple[str, ...], teacher: Actor
    ) -> None:
        super().__init__(task, actor, critic_index, steps, terms)
        self.teacher = teacher
        self.teacher_state = self.teacher_initial = teacher.initial_state(task.num_envs)
        self.right = torch.zeros_like(self.noise)
        """(T, N, A) what the teacher would have done, in [-1, 1] of its range"""

    def _see(self, t: int, obs: Tensor) -> None:
        super()._see(t, obs)
        action, self.teacher_state = self.teacher(obs, self.teacher_state)
        self.right[t] = self.teacher.share(action)

    def _keep(self, t: int, reward: Tensor, terminated: Tensor, truncated: Tensor, extras: dict[str, Any]) -> None:
        super()._keep(t, reward, terminated, truncated, extras)
        ended = (terminated | truncated)[:, None]
        self.teacher_state = torch.where(ended, self.teacher_initial, self.teacher_state)

    def state_dict(self) -> dict[str, Tensor]:
        return {**super().state_dict(), "teacher_state": self.teacher_state}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        super().load_state_dict(kept)
        self.teacher_state = kept["teacher_state"]
