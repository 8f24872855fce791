"""`robostack evaluate`"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError


@dataclass(frozen=True)
class Command:
    """Ask an exported policy many unseen episodes of its task, and print how they went.

    What is asked is the file itself in ONNX Runtime, every step through its safety envelope, in the task that the file
    says it was trained on. A run keeps the figures in its metrics.json, and `robostack report` shows them.

    Example: robostack evaluate logs/beam_orbit/latest --episodes 1000
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    episodes: int = 256
    """How many."""
    seed: int = 0
    """Of the episodes; no seed is one that a training draws from."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the figures as JSON for a script."""

    def run(self) -> int:
        if self.episodes < 1:
            raise ContractError(f"--episodes {self.episodes}: must be 1 at least")
        path = RunFolder.find_policy(self.policy, self.root)
        from robostack.export.onnx import load_policy

        policy = load_policy(path)  # a file that is no policy is refused before torch is loaded
        from robostack.evaluate.episodes import fly_episodes
        from robostack.learn.trained import task_of_policy

        task, run = task_of_policy(policy), RunFolder.of_policy(path)
        with run.stage("evaluate") if run else nullcontext():
            found = fly_episodes(policy, task, self.episodes, self.seed)
            rows = [*found.rows(), *task.judge_episodes(found.ends)]
            asked = {"policy_hash": policy.policy_hash, "episodes": self.episodes, "seed": self.seed}
            result = {**asked, "rows": rows, "return": found.return_rows()}
            if run:
                run.record(evaluate=result)
        if self.json:
            answer(result)
        else:
            from robostack.commands.report import print_rows

            print_rows([*rows, *found.return_rows()])
        return 0
