"""`robostack train`"""

from __future__ import annotations

import difflib
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from robostack import registry
from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError


@dataclass(frozen=True)
class Command:
    """Train a policy for a task. Ctrl-C keeps the best so far; --resume goes on from there, to the bit.

    Settings of the task and of the learner follow its name; see them with: robostack train TASK --task-help
    Networks this small train fastest on one CPU thread, so that is what a process takes: more of them cost more in
    waiting for each other than they bring. More processes, each with --num-envs environments, train one policy
    under torchrun: torchrun --nproc-per-node 4 -m robostack train quadrotor

    Example: robostack train quadrotor --vehicle my_drone.toml --learner.iterations 400
    """

    TAKES_REST: ClassVar[bool] = True

    task: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")] = None
    """A task by its name; `robostack list` shows them."""
    algorithm: Literal["shac", "ppo", "sac", "td3"] | None = None
    """What learns: shac through the simulator's gradient, ppo from steps alone, sac and td3 from a replay of them.
    Default: what the task says, else shac. A resumed run keeps its own."""
    curriculum: Literal["uniform", "adr", "alp_gmm", "plr"] | None = None
    """Who says on which of the task's parameters an episode is; without one the task's own settings do. Settings of
    a curriculum: --curriculum.NAME, after the task. A resumed run keeps its own."""
    preset: str | None = None
    """Settings of the task by a name that it gives them; what follows its name changes single ones. A resumed run keeps
    its own."""
    seed: int = 0
    """Makes the run reproducible to the bit on one machine. A resumed run keeps its own."""
    name: str | None = None
    """Added to the run folder's name."""
    run_folder: Path | None = None
    """The folder to write in. Default: a new one under --root."""
    root: Path = Path("logs")
    """Where new run folders go: root/task/time."""
    resume: bool = False
    """Go on from the last checkpoint of --run-folder (default: the newest run of the task), with the run's
    own settings where none are given."""
    quick: bool = False
    """A much shorter training, to see that everything works."""
    json: bool = False
    """Print the result as JSON for a script; progress goes to standard error."""
    task_help: bool = False
    """Show the settings of the task and of the learner, and stop."""

    def run(self, rest: list[str]) -> int:
        tasks = registry.entries("task")
        if self.task not in tasks and (plain := (self.task or "").replace("-", "_")) in tasks:
            return replace(self, task=plain).run(rest)
        if self.task is None or (self.task not in tasks and rest and rest[0].startswith("-")):
            usage = "name the task first, its settings after it: robostack train TASK [--setting value ...]"
            return _say(f"{usage}. Installed tasks: {', '.join(tasks) or 'none'}.", status=2)
        kind = registry.load("task", self.task)
        from robostack import team

        run = RunFolder.find(self.run_folder or self.task, self.root) if self.resume else None
        chosen = self._settings(kind, rest, run)
        team.join()
        task = kind(replace(chosen.task, device=team.device(chosen.task.device)))
        name = self.task
        run = run or team.first(lambda: new_run(name, self.run_folder, self.name, self.root))
        if team.rank() == 0:
            print(f"training {self.task} in {run.path}", file=sys.stderr)
        return trained(
            task, chosen.learner, run, verb="train", as_json=self.json,
            seed=self.seed, curriculum=chosen.curriculum, resume=self.resume, quick=self.quick,
        )  # fmt: skip

    def _preset(self, kind: Any) -> Any:
        """Settings of the task before single ones are changed."""
        if self.preset is None:
            return kind.Config()
        if self.preset not in kind.presets:
            known = ", ".join(kind.presets) or "none"
            raise LookupError(f"no preset of {self.task} is called {self.preset!r}; there are: {known}")
        return kind.presets[self.preset]

    def _learner(self, kind: Any) -> Any:
        """The task's own settings where it has some and no other algorithm is asked for."""
        from robostack.learn.algorithms import name_of, settings_of

        own = kind.learner()
        if own is not None and self.algorithm in (None, name_of(own)):
            return own
        return settings_of(self.algorithm or "shac")()

    def _settings(self, kind: Any, rest: list[str], run: RunFolder | None) -> Any:
        """`.task`, `.learner` and `.curriculum` (None: there is none) as the command line says, else as in `run`, else
        the defaults."""
        from robostack.learn import curriculum
        from robostack.learn.algorithms import settings_of
        from robostack.learn.trained import RunSettings

        task, learner = self._preset(kind), self._learner(kind)
        taught = curriculum.settings_of(self.curriculum)() if self.curriculum else None
        if run is not None:
            before = RunSettings.of(run)
            if before.kind is not kind:
                raise ContractError(f"{run.path} is a run of {run.config()['task']!r}, not of {self.task!r}")
            if self.preset:
                raise ContractError(f"{run.path} keeps the settings it was begun with; resume it without --preset")
            if self.algorithm and settings_of(self.algorithm) is not type(before.learner):
                theirs = run.config().get("algorithm", "shac")
                raise ContractError(
                    f"{run.path} is a run of {theirs}, not of {self.algorithm}; resume it without --algorithm"
                )
            if self.curriculum and type(taught) is not type(before.curriculum):
                theirs = run.config().get("curriculum", "no curriculum")
                raise ContractError(
                    f"{run.path} is a run of {theirs}, not of {self.curriculum}; resume it without --curriculum"
                )
            task, learner, taught = before.task, before.learner, before.curriculum
        settings = make_dataclass(
            "Settings",
            [
                ("task", Annotated[kind.Config, tyro.conf.arg(name="")], field(default=task)),
                ("learner", type(learner), field(default=learner)),
                ("curriculum", type(taught), field(default=taught)),
            ],
        )
        try:
            return tyro.cli(
                settings,
                args=["--help"] if self.task_help else rest,
                prog=f"robostack train {self.task}",
                description=f"Settings of {self.task} and of its learner.",
            )
        except SystemExit:
            for hint in _own_options_like(rest):
                _say(f"its own option is {hint}", status=2)
            raise


def new_run(task: str, folder: Path | None, name: str | None, root: Path) -> RunFolder:
    """The folder of a new run of `task`: `folder`, or one with `name` under `root`."""
    if folder is None:
        return RunFolder.create(task, name, root)
    run = RunFolder.at(folder.resolve())
    if not any(run.checkpoints.iterdir()):
        run.make_latest()
    return run


def trained(task: Any, learner: Any, run: RunFolder, *, verb: str, as_json: bool, **asked: Any) -> int:
    """Trains as `verb`, says what came of it, and returns the exit status. Of a team the first process alone speaks."""
    from robostack import team
    from robostack.learn.learner import DivergedError
    from robostack.learn.trainer import train

    first = team.rank() == 0
    try:
        with run.stage("train") if first else nullcontext():
            result = train(task, learner, run, **asked)
    except DivergedError as error:
        status = 1
        if first:
            print(f"robostack {verb}: {error}", file=sys.stderr)
    else:
        status = 130 if result["interrupted"] else 0
        if first:
            run.make_latest()
            _print(run, result, as_json)
    team.wait()
    return status


def _print(run: RunFolder, result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        shown = {"run": str(run.path), **{k: v for k, v in result.items() if k != "history"}}
        answer(shown)
        return
    memory = f"{result['peak_memory_mib']:,} MiB of memory at most"
    if result["peak_cuda_mib"] is not None:
        memory += f", {result['peak_cuda_mib']:,} MiB of the GPU's"
    following = "" if result["interrupted"] else f"; next: robostack export {run.path}"
    print(f"{result['iterations']} iterations in {result['wall_s']:.1f} s, {memory}{following}")


def _say(what: str, *, status: int) -> int:
    print(f"robostack train: {what}", file=sys.stderr)
    return status


def _own_options_like(rest: list[str]) -> list[str]:
    """Options of this command that a word in `rest` may have meant."""
    own = ["--" + f.name.replace("_", "-") for f in fields(Command)]
    words = [word.partition("=")[0] for word in rest if word.startswith("--")]
    return [match for word in words for match in difflib.get_close_matches(word, own, n=1, cutoff=0.75)]
