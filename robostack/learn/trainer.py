"""The run around a learner: progress, logs, checkpoints chosen by evaluation, Ctrl-C, exact resume, export.

A run folder's `checkpoints/last.pt` is where training stands, `checkpoints/best.pt` the policy that judged best.
Both are plain tensors and numbers, read with `weights_only=True`: loading one executes nothing.
"""

from __future__ import annotations

import dataclasses
import io
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from robostack.learn.judge import Judgement, judge
from robostack.learn.shac import SHAC, ShacLearner
from robostack.nets.actor import Actor
from robostack.run_folder import RunFolder, write_atomic
from robostack.spec import ContractError, PolicySpec, State
from robostack.task import Task

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy

CHECKPOINT_VERSION = 1
EVALUATION_ENVS = 256
EVALUATION_SEED = 1_000_003
JUDGED_AT = (0.7, 0.85, 1.0)
"""shares of a training at which the policy is judged; the best of them is exported"""


def train(
    task: Task,
    config: SHAC | None,
    run: RunFolder,
    *,
    seed: int = 0,
    resume: bool = False,
    quick: bool = False,
) -> dict[str, Any]:
    """Trains to the end, or until Ctrl-C, which saves and keeps the best so far. Returns the `train` metrics.

    One CPU thread: for networks this small more threads cost more than they bring.
    """
    torch.set_num_threads(1)
    config = config or SHAC()
    if quick:
        config = dataclasses.replace(config, iterations=max(3, config.iterations // 20))
    torch.manual_seed(seed)
    start = time.perf_counter()
    task.reset(seed)
    learner = ShacLearner(task, config)
    evaluation = task.evaluation(EVALUATION_ENVS)
    training = _Training(run, task, learner, evaluation, seed)
    if resume:
        training.load()
    else:
        described = {"task": task.name, "settings": task.config, "learner": config, "seed": seed}
        run.write_config(described)
    setup_s = time.perf_counter() - start
    return training.go(setup_s)


class _Training:
    def __init__(self, run: RunFolder, task: Task, learner: ShacLearner, evaluation: Task, seed: int) -> None:
        self.run, self.task, self.learner, self.evaluation, self.seed = run, task, learner, evaluation, seed
        self.last, self.best = run.checkpoints / "last.pt", run.checkpoints / "best.pt"
        self.history: list[dict[str, float]] = []
        self.best_score, self.best_iteration, self.wall_s = -float("inf"), 0, 0.0

    def go(self, setup_s: float) -> dict[str, Any]:
        total = self.learner.config.iterations
        judged = {max(1, round(share * total)) for share in JUDGED_AT}
        start, before = time.perf_counter(), self.wall_s
        with _progress(total) as show, _scalars(self.run.path) as log, _interruptible() as interrupted:
            while self.learner.iteration < total and not interrupted:
                scalars = self.learner.iterate()
                iteration = self.learner.iteration
                self.wall_s = before + time.perf_counter() - start
                log(scalars, iteration)
                if iteration in judged:
                    self._judge(log)
                if iteration % 10 == 0 or iteration == total:
                    self.history.append({"iteration": iteration, "wall_s": round(self.wall_s, 3), **scalars})
                    show(iteration, scalars["reward"])
        if interrupted and self.best_iteration == 0:
            self._judge(lambda scalars, step: None)
        self.save()
        steps = self.learner.iteration * self.learner.config.horizon * self.task.num_envs
        result = {
            "wall_s": round(self.wall_s, 3),
            "setup_s": round(setup_s, 3),
            "iterations": self.learner.iteration,
            "env_steps": steps,
            "best_iteration": self.best_iteration,
            "best_score": self.best_score,
            "interrupted": bool(interrupted),
            "seed": self.seed,
            "history": self.history,
        }
        self.run.record(train=result)
        if interrupted:
            print(f"stopped; the best so far is kept. Go on: robostack train {self.task.name} --resume", file=sys.stderr)
        return result

    def _judge(self, log: Any) -> None:
        verdict = judge(self.learner.actor, self.evaluation, EVALUATION_SEED)
        log({f"judge/{k}": v for k, v in dataclasses.asdict(verdict).items()}, self.learner.iteration)
        row = {"iteration": self.learner.iteration, "wall_s": round(self.wall_s, 3)}
        self.history.append({**row, **dataclasses.asdict(verdict)})
        if verdict.score > self.best_score:
            self.best_score, self.best_iteration = verdict.score, self.learner.iteration
            _save(self.best, {"actor": self.learner.actor.state_dict(), "judged": dataclasses.asdict(verdict)})

    def save(self) -> None:
        _save(
            self.last,
            {
                "task": self.task.name,
                "learner": self.learner.state_dict(),
                "task_state": self.task.state_dict(),
                "torch_rng": torch.get_rng_state(),
                "progress": [self.best_score, self.best_iteration, self.wall_s],
                "history": self.history,
            },
        )

    def load(self) -> None:
        kept = load_checkpoint(self.last)
        if kept["task"] != self.task.name:
            raise ContractError(f"{self.last}: a checkpoint of task {kept['task']!r}, not {self.task.name!r}")
        self.learner.load_state_dict(kept["learner"])
        self.task.load_state_dict(kept["task_state"])
        torch.set_rng_state(kept["torch_rng"])
        self.best_score, self.best_iteration, self.wall_s = kept["progress"]
        self.history = kept["history"]


def _save(path: Path, content: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save({"version": CHECKPOINT_VERSION, **content}, buffer)
    write_atomic(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and numbers of a checkpoint. Raises ContractError when it is missing, damaged or of another version."""
    try:
        kept: dict[str, Any] = torch.load(path, weights_only=True)
    except FileNotFoundError as error:
        raise ContractError(f"{path}: no checkpoint yet; train first") from error
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ContractError(f"{path}: not a readable checkpoint ({type(error).__name__}); train again") from error
    if kept.get("version") != CHECKPOINT_VERSION:
        raise ContractError(f"{path}: checkpoint version {kept.get('version')}, this robostack reads {CHECKPOINT_VERSION}")
    return kept


def task_of(run: RunFolder) -> Task:
    """The task of a run, rebuilt from its config."""
    from pydantic import TypeAdapter

    from robostack import registry

    config = run.config()
    if not {"task", "settings", "learner"} <= config.keys():
        raise ContractError(f"{run.path}: config.json names no task; was this run trained?")
    kind = registry.load("task", config["task"])
    task: Task = kind(TypeAdapter(kind.Config).validate_python(config["settings"]))
    return task


def load_run(run: RunFolder) -> tuple[Task, Actor]:
    """Task and best actor of a run, rebuilt from its config and checkpoint."""
    from pydantic import TypeAdapter

    task = task_of(run)
    learner = TypeAdapter(SHAC).validate_python(run.config()["learner"])
    actor = Actor(task, learner.actor)
    actor.load_state_dict(load_checkpoint(run.checkpoints / "best.pt")["actor"])
    return task, actor.eval()


def policy_spec(task: Task, reset: tuple[float, ...], provenance: dict[str, Any]) -> PolicySpec:
    """The contract of a policy of `task` whose state resets to `reset`."""
    return PolicySpec(
        task=task.name,
        control_dt_s=task.step_dt,
        obs_delay_s=task.obs_delay_s,
        action_delay_s=task.action_delay_s,
        observations=task.actor_channels,
        actions=task.actions,
        state=State(reset=reset),
        envelope=task.envelope,
        provenance=provenance,
    )


def export_policy(run: RunFolder, path: Path) -> LoadedPolicy:
    """Writes the run's best policy as one ONNX file with its contract and self-test vectors."""
    from robostack import machine
    from robostack.export.onnx import export_onnx

    task, actor = load_run(run)
    trained = run.metrics().get("train", {})
    provenance = {
        "run": run.path.name,
        "seed": run.config()["seed"],
        "commit": machine.commit(),
        "settings": run.config()["settings"],
        **{k: trained[k] for k in ("iterations", "env_steps", "best_iteration", "best_score") if k in trained},
    }

    @torch.no_grad()
    def reference(observation: Any, applied_action: np.ndarray, state: np.ndarray | None) -> Any:
        rows = applied_action.shape[0]
        channels = {n: torch.from_numpy(np.asarray(v, np.float32)) for n, v in observation.items()}
        channels["applied_action"] = torch.from_numpy(applied_action)
        memory = torch.zeros(rows, 0) if state is None else torch.from_numpy(state)
        action, following = actor.step(channels, memory)
        return action.numpy(), following.numpy() if state is not None else None

    spec = policy_spec(task, actor.reset_values, provenance)
    return export_onnx(actor, spec, path, reference=reference)


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """A list that is filled at the first Ctrl-C, so that an iteration is never cut; the second one ends at once."""
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    try:
        old = signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread: whoever started us handles it
        yield seen
        return
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, old)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("train"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[r]}"))
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        job = bar.add_task("train", total=total, r="")

        def show(iteration: int, reward: float) -> None:
            bar.update(job, completed=iteration, r=f"reward {reward:+.3f} a step", refresh=True)

        yield show


@contextmanager
def _scalars(path: Path) -> Iterator[Any]:
    """TensorBoard events, every tenth iteration."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(path))
    try:

        def log(scalars: dict[str, float], step: int) -> None:
            if step % 10 == 0 or any(k.startswith("judge") for k in scalars):
                for key, value in scalars.items():
                    writer.add_scalar(key, value, step)

        yield log
    finally:
        writer.close()


__all__ = ["Judgement", "export_policy", "load_run", "policy_spec", "task_of", "train"]
