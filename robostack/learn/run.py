"""Training from Python: `run = rs.train(task, rs.learn.SHAC(horizon=50), seed=0); run.export("policy.onnx")`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robostack import team
from robostack.learn import trainer
from robostack.learn.curriculum.curriculum import CurriculumSettings
from robostack.learn.learner import Algorithm
from robostack.learn.trained import export_policy
from robostack.run_folder import RunFolder
from robostack.task import Task

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy


@dataclass(frozen=True)
class Run:
    """A finished training and the folder that holds it."""

    folder: RunFolder
    result: dict[str, Any]
    """seconds, iterations, the best score and where it was reached, the history"""

    def export(self, path: str | Path | None = None) -> LoadedPolicy:
        """Writes the best policy with its contract; into the run folder when no path is given."""
        return export_policy(self.folder, Path(path) if path else self.folder.policy)


def train(
    task: Task,
    learner: Algorithm | None = None,
    *,
    seed: int = 0,
    curriculum: CurriculumSettings | None = None,
    name: str | None = None,
    root: str | Path = "logs",
) -> Run:
    """Trains in a new run folder, with progress; Ctrl-C keeps the best so far. Raises as `trainer.train`.

    A script under torchrun does the same in every process: each its own task, the folder and the result for all.
    """
    team.join()
    folder = team.first(lambda: RunFolder.create(task.name, name, root))
    with folder.stage("train") if team.rank() == 0 else nullcontext():
        return Run(folder, trainer.train(task, learner, folder, seed=seed, curriculum=curriculum))
