"""`robostack train`"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from robostack import registry
from robostack.run_folder import RunFolder


@dataclass(frozen=True)
class Command:
    """Train a policy for a task. Ctrl-C keeps the best so far; --resume goes on from there.

    Settings of the task and of the learner follow its name; see them with: robostack train TASK --task-help

    Example: robostack train quadrotor --vehicle my_drone.toml --learner.iterations 400
    """

    TAKES_REST: ClassVar[bool] = True

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """A task by its name; `robostack list` shows them."""
    seed: int = 0
    """Makes the run reproducible to the bit on one machine."""
    name: str | None = None
    """Added to the run folder's name."""
    run_folder: Path | None = None
    """The folder to write in. Default: a new one under --root."""
    root: Path = Path("logs")
    """Where new run folders go: root/task/time."""
    resume: bool = False
    """Go on from the newest checkpoint of --run-folder (default: the newest run of the task)."""
    quick: bool = False
    """A much shorter training, to see that everything works."""
    json: bool = False
    """Print the result as JSON for a script; progress goes to standard error."""
    task_help: bool = False
    """Show the settings of the task and of the learner, and stop."""

    def run(self, rest: list[str]) -> int:
        kind = registry.load("task", self.task)
        from robostack.learn.shac import SHAC
        from robostack.learn.trainer import train

        settings = make_dataclass(
            "Settings",
            [
                (
                    "task",
                    Annotated[kind.Config, tyro.conf.OmitArgPrefixes],
                    field(default_factory=kind.Config),
                ),
                ("learner", SHAC, field(default_factory=SHAC)),
            ],
        )
        chosen: Any = tyro.cli(
            settings,
            args=["--help"] if self.task_help else rest,
            prog=f"robostack train {self.task}",
            description=f"Settings of {self.task} and of its learner.",
        )
        task = kind(chosen.task, self.seed)
        run = self._folder()
        print(f"training {self.task} in {run.path}", file=sys.stderr)
        with run.stage("train"):
            result = train(task, chosen.learner, run, seed=self.seed, resume=self.resume, quick=self.quick)
        if self.json:
            print(
                json.dumps(
                    {"run": str(run.path), **{k: v for k, v in result.items() if k != "history"}}, indent=2
                )
            )
        else:
            print(f"next: robostack export {run.path}")
        return 0

    def _folder(self) -> RunFolder:
        if self.resume:
            return RunFolder.find(self.run_folder or self.task, self.root)
        if self.run_folder:
            run = RunFolder.at(self.run_folder)
            run.make_latest()
            return run
        return RunFolder.create(self.task, self.name, self.root)
