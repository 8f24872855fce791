"""What a run left behind: its settings, its task, its best policy, and that policy as one ONNX file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from robostack import registry
from robostack.learn import checkpoint
from robostack.learn.algorithms import name_of, settings_of
from robostack.learn.curriculum import name_of as curriculum_name
from robostack.learn.curriculum import settings_of as curriculum_of
from robostack.learn.curriculum.curriculum import CurriculumSettings
from robostack.learn.learner import Algorithm
from robostack.nets.actor import Actor
from robostack.run_folder import RunFolder
from robostack.spec import ContractError, PolicySpec, State
from robostack.task import Task

if TYPE_CHECKING:
    from pydantic import ValidationError

    from robostack.export.onnx import LoadedPolicy
    from robostack.export.self_test import Reference


@dataclass(frozen=True)
class RunSettings:
    """What a run was asked for, as its config.json says."""

    kind: Callable[[Any], Task]
    task: Any
    """of type `kind.Config`"""
    learner: Algorithm
    seed: int
    curriculum: CurriculumSettings | None = None

    @classmethod
    def of(cls, run: RunFolder) -> RunSettings:
        """Raises ContractError when config.json is missing or does not fit the installed task."""
        from pydantic import TypeAdapter, ValidationError

        config = run.config()
        if not {"task", "settings", "learner", "seed"} <= config.keys():
            raise ContractError(f"{run.path}: config.json names no task and learner; was this run trained?")
        kind = registry.load("task", config["task"])
        algorithm = settings_of(config.get("algorithm", "shac"))
        name = config.get("curriculum")
        try:
            task = TypeAdapter(kind.Config).validate_python(config["settings"])
            learner = TypeAdapter(algorithm).validate_python(config["learner"])
            taught = name and TypeAdapter(curriculum_of(name)).validate_python(config["curriculum_settings"])
        except ValidationError as error:
            raise ContractError(f"{run.path / 'config.json'}: {_first(error)}") from error
        return cls(kind, task, learner, int(config["seed"]), taught)


def keep_settings(
    run: RunFolder, task: Task, learner: Algorithm, seed: int, curriculum: CurriculumSettings | None = None
) -> None:
    """Writes config.json, as `RunSettings.of` reads it."""
    asked = {"task": task.name, "settings": task.config, "algorithm": name_of(learner), "learner": learner}
    taught = {"curriculum": curriculum_name(curriculum), "curriculum_settings": curriculum} if curriculum else {}
    run.write_config({**asked, "seed": seed, **taught})


def task_of(run: RunFolder) -> Task:
    """The task of a run, rebuilt from its config."""
    settings = RunSettings.of(run)
    return settings.kind(settings.task)


def task_of_policy(policy: LoadedPolicy) -> Task:
    """The task that a policy file was trained on, on the CPU. Raises ContractError as `settings_of_policy` does."""
    kind = registry.load("task", policy.spec.task)
    task: Task = kind(dataclasses.replace(settings_of_policy(policy), device="cpu"))
    return task


def settings_of_policy(policy: LoadedPolicy) -> Any:
    """The settings of its task that a policy file was trained with, defaults where the file does not say them. Raises
    ContractError for settings that the installed task does not know."""
    from pydantic import TypeAdapter, ValidationError

    kind = registry.load("task", policy.spec.task)
    try:
        return TypeAdapter(kind.Config).validate_python(policy.spec.provenance.get("settings", {}))
    except ValidationError as error:
        raise ContractError(f"{policy.origin}: provenance.settings: {_first(error)}") from error


def load_run(run: RunFolder) -> tuple[Task, Actor]:
    """Task and best actor of a run, rebuilt from its config and checkpoint, on the CPU.

    Raises ContractError when it was not trained or its checkpoint is damaged or does not fit.
    """
    settings = RunSettings.of(run)
    path = run.checkpoints / "best.pt"
    kept = checkpoint.load(path, "cpu")
    task: Task = settings.kind(dataclasses.replace(settings.task, device="cpu"))
    actor = Actor(task, settings.learner.actor)
    try:
        actor.load_state_dict(kept["actor"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise misfit(path, error) from error
    return task, actor.eval()


def policy_spec(task: Task, actor: Actor, provenance: dict[str, Any]) -> PolicySpec:
    """The contract of an actor of `task`. Raises ContractError for an expert that sees privileged channels."""
    if hidden := [c.name for c in actor.channels if c.privileged]:
        raise ContractError(
            f"this policy is an expert of simulation: it sees {', '.join(hidden)}, which no machine measures; make a "
            "student of it that sees what the machine does: robostack distill RUN"
        )
    return PolicySpec(
        task=task.name,
        control_dt_s=task.step_dt,
        obs_delay_s=task.obs_delay_s,
        action_delay_s=task.action_delay_s,
        observations=actor.channels,
        actions=task.actions,
        state=State(reset=actor.reset_values),
        envelope=task.envelope,
        provenance={**provenance, "machine": dict(task.machine)},
    )


def export_policy(run: RunFolder, path: Path) -> LoadedPolicy:
    """Writes the run's best policy as one ONNX file with its contract and self-test vectors.

    Two runs with one seed write the same bytes: nothing in the file depends on when or where it was trained.
    """
    from robostack import machine

    task, actor = load_run(run)
    trained = run.metrics().get("train", {})
    teacher = run.config()["learner"].get("teacher")
    provenance = {
        "seed": run.config()["seed"],
        "commit": machine.commit(),
        "algorithm": run.config().get("algorithm", "shac"),
        "settings": run.config()["settings"],
        **{k: trained[k] for k in ("iterations", "env_steps", "best_iteration", "best_score") if k in trained},
        **({"teacher_sha256": teacher["sha256"]} if teacher else {}),
    }
    return export_actor(task, actor, path, provenance)


def export_actor(task: Task, actor: Actor, path: Path, provenance: dict[str, Any] | None = None) -> LoadedPolicy:
    """Writes an actor of `task` as one ONNX file with its contract and self-test vectors."""
    from robostack.export.onnx import export_onnx

    spec = policy_spec(task, actor, provenance or {})
    return export_onnx(actor, spec, path, reference=as_reference(actor))


def as_reference(actor: Actor) -> Reference:
    """The torch actor as the function of numpy arrays that an export is held against."""

    @torch.no_grad()
    def reference(observation: Any, applied_action: np.ndarray, state: np.ndarray | None, /) -> Any:
        channels = {n: torch.from_numpy(np.asarray(v, np.float32)) for n, v in observation.items()}
        channels["applied_action"] = torch.from_numpy(applied_action)
        memory = torch.zeros(len(applied_action), 0) if state is None else torch.from_numpy(state)
        action, following = actor.step(channels, memory)
        return action.numpy(), following.numpy() if state is not None else None

    return reference


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def misfit(path: Path, error: Exception) -> ContractError:
    """What to raise when a checkpoint is sound but of another network or plant."""
    what = " ".join(str(error).split())[:300]
    return ContractError(
        f"{path}: does not fit the task and the learner's settings: {what}; use those it was trained with "
        "(config.json), or train anew in another folder"
    )
