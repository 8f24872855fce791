"""Who teaches: the best policy of a run, and its critic where it has one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from robostack.learn import checkpoint
from robostack.learn.learner import Algorithm
from robostack.learn.trained import RunSettings, load_run, misfit
from robostack.nets.actor import Actor
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack.task import Task


@dataclass(frozen=True)
class TeacherRun:
    """Where a student's teacher is, as the student's config.json keeps it."""

    run: str
    """its run folder"""
    sha256: str
    """of its best checkpoint: a resumed student learns from the same one"""

    @classmethod
    def of(cls, run: RunFolder) -> TeacherRun:
        """Raises ContractError when the run has no policy yet."""
        return cls(str(run.path.resolve()), _sha256(run))

    def load(self, task: Task) -> Teacher:
        """The teacher as an actor of `task`, which may have other channels than the one it was trained on.

        Raises RunFolderError when the run is gone, ContractError when it is another one by now, was trained for another
        task, or sees a channel that `task` has not.
        """
        run = RunFolder.open(self.run)
        path = run.checkpoints / "best.pt"
        if _sha256(run) != self.sha256:
            raise ContractError(
                f"{path}: no longer the policy that this student began to learn from; restore it, or distil anew: "
                f"robostack distill {self.run}"
            )
        theirs, trained = load_run(run)
        if theirs.name != task.name:
            raise ContractError(f"{run.path} is a run of {theirs.name!r}: it cannot teach {task.name!r}")
        try:
            actor = Actor(task, trained.config, trained.features.features)
            actor.load_state_dict(trained.state_dict())
        except RuntimeError as error:
            raise misfit(path, error) from error
        critic = checkpoint.load(path, "cpu").get("critic")
        return Teacher(actor.to(task.device).eval(), RunSettings.of(run).learner, critic)


@dataclass(frozen=True)
class Teacher:
    """A policy of the student's task, on its device, and what it learned with."""

    actor: Actor
    learned_by: Algorithm
    critic: dict[str, Tensor] | None = None
    """the weights of its critic, where it had one"""


def _sha256(run: RunFolder) -> str:
    path: Path = run.checkpoints / "best.pt"
    if not path.is_file():
        raise ContractError(f"{path}: no policy to learn from yet; train it first")
    return hashlib.sha256(path.read_bytes()).hexdigest()
