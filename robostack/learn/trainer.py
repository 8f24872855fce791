"""The run around a learner: progress, logs, checkpoints chosen by evaluation, Ctrl-C, exact resume, export.

In a run folder `checkpoints/last.pt` is where training stands, `checkpoints/best.pt` the policy judged best.
"""

from __future__ import annotations

import dataclasses
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robostack import team
from robostack.learn import checkpoint
from robostack.learn.blame import first_non_finite
from robostack.learn.curriculum.curriculum import CurriculumSettings
from robostack.learn.curriculum.episodes import CurriculumTask
from robostack.learn.judge import Judgement, judge
from robostack.learn.learner import Algorithm, DivergedError, Learner
from robostack.learn.shac import SHAC
from robostack.learn.trained import (
    RunSettings,
    export_policy,
    keep_settings,
    load_run,
    misfit,
    policy_spec,
    task_of,
)
from robostack.learn.watched import Watched
from robostack.run_folder import RunFolder, RunFolderError
from robostack.spec import ContractError
from robostack.task import Task

Log = Callable[[dict[str, float], int], None]
"""Takes scalars by name and the iteration they belong to."""

EVALUATION_ENVS = 256
EVALUATION_SEED = 1_000_003
CHECKPOINT_S = 60.0
"""a run that is killed loses no more of its time than this"""


def train(
    task: Task,
    config: Algorithm | None,
    run: RunFolder,
    *,
    seed: int = 0,
    curriculum: CurriculumSettings | None = None,
    resume: bool = False,
    quick: bool = False,
) -> dict[str, Any]:
    """Trains to the end, or until Ctrl-C, which saves and keeps the best so far. Returns the `train` metrics.

    A resumed run goes on to the bit as if it had never stopped; its seed, and its learner and curriculum unless they
    are given, are its own. One CPU thread: for networks this small more threads cost more than they bring.

    Under torchrun every process calls this with a task of its own, after `team.join()`: it draws from seed + rank, and
    `run` is written by the first of them alone. Raises TeamError when one of the others is lost.

    Raises RunFolderError when the folder holds a run already or cannot be written, ContractError when a
    checkpoint to resume from does not fit or the learner cannot do the task, DivergedError naming what was not
    finite; the best so far stays.
    """
    torch.set_num_threads(1)
    start = time.perf_counter()
    if resume:
        before = RunSettings.of(run)
        config, seed, curriculum = config or before.learner, before.seed, curriculum or before.curriculum
    elif held := sorted(run.checkpoints.glob("*.pt")):
        raise RunFolderError(f"{held[0]}: this folder holds a run already; go on with --resume, or give another folder")
    config = config or task.learner() or SHAC()
    if quick and not resume:
        config = dataclasses.replace(config, iterations=max(3, config.iterations // 20))  # type: ignore[type-var]
    torch.manual_seed(seed + team.rank())
    if curriculum is not None:
        task = CurriculumTask(task, curriculum)
    task.reset(seed + team.rank())
    learner = config.learner(task)
    modules = [part for part in vars(learner).values() if isinstance(part, nn.Module)]
    team.follow_first(tensor for module in modules for tensor in module.state_dict().values())
    if isinstance(task, CurriculumTask):  # its own settings: a learner may have taken some from elsewhere
        task.follow(learner.value, getattr(learner.config, "gamma", 1.0))
    training = _Training(run, task, learner, task.evaluation(EVALUATION_ENVS), seed)
    if resume:
        training.load()
    if team.rank() == 0:
        keep_settings(run, task, config, seed, curriculum)
    return training.go(time.perf_counter() - start)


class _Training:
    def __init__(self, run: RunFolder, task: Task, learner: Learner, evaluation: Task, seed: int) -> None:
        self.run, self.task, self.learner, self.evaluation, self.seed = run, task, learner, evaluation, seed
        self.last, self.best = run.checkpoints / "last.pt", run.checkpoints / "best.pt"
        self.history: list[dict[str, float]] = []
        self.best_score, self.best_iteration, self.wall_s = -float("inf"), 0, 0.0

    def go(self, setup_s: float) -> dict[str, Any]:
        total = self.learner.config.iterations
        judged = {max(1, round(share * total)) for share in self.learner.JUDGED_AT}
        start, before = time.perf_counter(), self.wall_s
        saved_s, stopped, writes, watched = before, False, team.rank() == 0, Watched(self.run)
        with (
            _interruptible() as interrupted,
            _progress(self.learner.iteration, total) if writes else nullcontext(_nothing) as show,
            _scalars(self.run.path) if writes else nullcontext(_nothing) as log,
        ):
            while self.learner.iteration < total and not stopped:
                try:
                    scalars = {**self.learner.iterate(), **self.task.scalars()}
                except DivergedError as error:
                    self._record(self._result(setup_s, False))
                    raise self._diverged(error) from error
                iteration = self.learner.iteration
                self.wall_s = before + time.perf_counter() - start
                log(scalars, iteration)
                if writes:
                    watched.show(self.learner.actor, iteration)
                if iteration % 10 == 0 or iteration == total:
                    self.history.append({"iteration": iteration, "wall_s": round(self.wall_s, 3), **scalars})
                    show(iteration, scalars["reward"])
                if iteration in judged:
                    self._judge(log)
                due = iteration in judged or self.wall_s - saved_s > CHECKPOINT_S
                stopped, due = map(bool, team.largest(bool(interrupted), due))
                if due or stopped:
                    self.save()
                    saved_s = self.wall_s
            if self.best_iteration == 0:  # after save(): a resumed run must not know of this extra look
                self._judge(log)
        result = self._result(setup_s, stopped)
        self._record(result)
        if self.best_iteration == 0 and self.learner.iteration:
            raise DivergedError(f"no policy of this run gives finite rewards; {self._blame()}")
        if stopped and writes:
            go_on = f"robostack train {self.task.name} --resume --run-folder {self.run.path}"
            print(f"stopped; the best so far is kept. Go on: {go_on}", file=sys.stderr)
        return result

    def _record(self, result: dict[str, Any]) -> None:
        if team.rank() == 0:
            self.run.record(train=result)

    def _result(self, setup_s: float, interrupted: bool) -> dict[str, Any]:
        peak_rss, peak_cuda = team.largest(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            torch.cuda.max_memory_allocated(self.task.device) if self._on_cuda else 0,
        )
        return {
            "wall_s": round(self.wall_s, 3),
            "setup_s": round(setup_s, 3),
            "iterations": self.learner.iteration,
            "env_steps": self.learner.iteration * self.learner.steps_per_iteration * self.task.num_envs * team.size(),
            "processes": team.size(),
            "peak_memory_mib": round(peak_rss / 2**20),
            "peak_cuda_mib": round(peak_cuda / 2**20) if self._on_cuda else None,
            "best_iteration": self.best_iteration,
            "best_score": self.best_score,
            "interrupted": interrupted,
            "seed": self.seed,
            "history": self.history,
        }

    def _diverged(self, error: DivergedError) -> DivergedError:
        kept = f"the best policy, of iteration {self.best_iteration}, is kept: robostack export {self.run.path}"
        if not self.best_iteration:
            kept = "no policy had been judged before"
        return DivergedError(f"{error}; {self._blame()}; {kept}")

    def _blame(self) -> str:
        found = first_non_finite(self.learner.actor, self.task, self.learner.steps_per_iteration)
        return "; ".join(dict.fromkeys(team.gather(found))) or found

    def _judge(self, log: Log) -> None:
        verdict = judge(self.learner.actor, self.evaluation, EVALUATION_SEED)
        log({f"judge/{k}": v for k, v in dataclasses.asdict(verdict).items()}, self.learner.iteration)
        row = {"iteration": self.learner.iteration, "wall_s": round(self.wall_s, 3)}
        self.history.append({**row, **dataclasses.asdict(verdict)})
        if verdict.score > self.best_score:
            self.best_score, self.best_iteration = verdict.score, self.learner.iteration
            content = {"actor": self.learner.actor.state_dict(), "judged": dataclasses.asdict(verdict)}
            if self.learner.critic is not None:
                content["critic"] = self.learner.critic.state_dict()
            if team.rank() == 0:
                checkpoint.save(self.best, content)

    def save(self) -> None:
        """One file for the whole team, so that what it holds is of one iteration whoever is killed when."""
        own = {
            "learner": self.learner.state_dict(),
            "task_state": self.task.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.task.device) if self._on_cuda else None,
        }
        others = team.gather(checkpoint.packed(own) if team.rank() else None)[1:]
        if team.rank() == 0:
            shared = {
                "task": self.task.name,
                "num_envs": self.task.num_envs,
                "processes": team.size(),
                "progress": [self.best_score, self.best_iteration, self.wall_s],
                "history": self.history,
            }
            checkpoint.save(self.last, {**shared, **own, "others": others})

    def load(self) -> None:
        kept = {"processes": 1, **checkpoint.load(self.last)}
        shape = (("task", self.task.name), ("num_envs", self.task.num_envs), ("processes", team.size()))
        for field, ours in shape:
            if (theirs := kept.get(field)) != ours:
                raise ContractError(
                    f"{self.last}: {field} is {theirs!r} there, {ours!r} here; resume with the run's own "
                    "settings, or train anew in another folder"
                )
        try:
            if team.rank():
                kept |= checkpoint.unpacked(kept["others"][team.rank() - 1])
            self.learner.load_state_dict(kept["learner"])
            self.task.load_state_dict(kept["task_state"])
            torch.set_rng_state(kept["torch_rng"])
            if self._on_cuda and kept["cuda_rng"] is not None:
                torch.cuda.set_rng_state(kept["cuda_rng"], self.task.device)
            self.best_score, self.best_iteration, self.wall_s = kept["progress"]
            self.history = kept["history"]
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise misfit(self.last, error) from error

    @property
    def _on_cuda(self) -> bool:
        return self.task.device.type == "cuda"


@contextmanager
def _interruptible() -> Iterator[list[float]]:
    """A list that the first Ctrl-C fills, so that an iteration is never cut; the second one ends at once.

    In a team that has to be a second later: torchrun passes on the Ctrl-C that the terminal gave to every process.
    """
    seen: list[float] = []

    def note(number: int, frame: Any) -> None:
        now = time.monotonic()
        if seen and (team.size() == 1 or now - seen[0] > 1.0):
            raise KeyboardInterrupt
        seen.append(now)

    try:
        old = signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread: whoever started us handles it
        yield seen
        return
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, old)


def _nothing(*_: Any) -> None:
    """Progress and logs of a process that is not the team's first."""


@contextmanager
def _progress(done: int, total: int) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[r]}"),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        job = bar.add_task("train", completed=done, total=total, r="")

        def show(iteration: int, reward: float) -> None:
            bar.update(job, completed=iteration, r=f"reward {reward:+.3f} a step", refresh=True)

        yield show


@contextmanager
def _scalars(path: Path) -> Iterator[Log]:
    """TensorBoard events, every tenth iteration. Where they cannot be written training goes on without."""
    from torch.utils.tensorboard import SummaryWriter

    writer: SummaryWriter | None = SummaryWriter(str(path))

    def attempt(what: Callable[[SummaryWriter], None]) -> None:
        nonlocal writer
        try:
            if writer is not None:
                what(writer)
        except OSError as error:
            writer = None
            print(f"no more TensorBoard events in {path}: {error.strerror}", file=sys.stderr)

    def log(scalars: dict[str, float], step: int) -> None:
        if step % 10 == 0 or any(k.startswith("judge") for k in scalars):
            for key, value in scalars.items():
                attempt(lambda w, key=key, value=value: w.add_scalar(key, value, step))  # type: ignore[misc]

    try:
        yield log
    finally:
        attempt(lambda w: w.close())


__all__ = ["Judgement", "export_policy", "load_run", "policy_spec", "task_of", "train"]
