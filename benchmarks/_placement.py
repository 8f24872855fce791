"""How the expert and the students of a manipulation are trained and asked; of placement as docs/tactile.md and
`make tactile` do it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from _results import row

from robostack.distill.dagger import DAgger
from robostack.distill.teacher import TeacherRun
from robostack.evaluate.episodes import UNSEEN, Episodes, fly_episodes
from robostack.learn.judge import judge
from robostack.learn.ppo import PPO
from robostack.learn.trained import export_policy, load_run
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder
from robostack.task import Task
from robostack_sim.tactile.interface import MODALITIES
from robostack_sim.tactile.manipulation import Manipulation
from robostack_sim.tactile.placement.config import PlacementConfig

TASK = PlacementConfig()
EXPERT = PPO(iterations=80, steps=20, gamma=0.95, std=0.5, actor=ActorConfig(privileged=True))
STUDENT = ActorConfig(hidden=(128, 64))


def student(teacher: TeacherRun, modality: str, iterations: int = 60) -> DAgger:
    actor = ActorConfig(hidden=STUDENT.hidden, channels=MODALITIES[modality])
    return DAgger(teacher=teacher, iterations=iterations, horizon=20, epochs=6, learning_rate=2e-3, actor=actor)


def speed(task: Manipulation, down_m: float, seconds: float) -> float:
    """Steps of an environment a second of one core, with everything that the task senses, pegs going down."""
    down = torch.tensor([0.0, 0.0, -down_m, 0.0, 0.0, 0.0]).expand(task.num_envs, 6)
    steps, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        task.step(down)
        steps += task.num_envs
    return steps / (time.process_time() - start)


def trained(task: Manipulation, settings: Any, folder: Path, seed: int = 0) -> tuple[RunFolder, float]:
    """A run of it, and how many seconds it took; one that is there already is taken as it is."""
    run = RunFolder.at(folder)
    if not (run.checkpoints / "best.pt").exists() or "train" not in run.metrics():
        torch.manual_seed(seed)
        with run.stage("train"):
            run.record(train=train(task, settings, run, seed=seed))
    return run, run.metrics()["train"]["wall_s"]


def asked(run: RunFolder, episodes: int, task: Task | None = None) -> Episodes:
    """Of the exported file, from starts that no training drew, in the task it was trained for or another."""
    return fly_episodes(export_policy(run, run.policy), task or load_run(run)[0], episodes)


def expert_rows(run: RunFolder, episodes: int, what: str = "expert", bar: float | None = None) -> list[dict[str, Any]]:
    task, actor = load_run(run)
    share = 100.0 * judge(actor, task.evaluation(episodes), UNSEEN).success_rate
    return [row(f"{what}: success", share, "%", bar, better="higher"), *budget_rows(run, what)]


def budget_rows(run: RunFolder, what: str) -> list[dict[str, Any]]:
    spent = run.metrics()["train"]
    return [row(f"{what}: steps", spent["env_steps"], "steps"), row(f"{what}: training", spent["wall_s"], "s")]
