"""The expert and the students of the placement task, as docs/tactile.md and `make tactile` train them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from robostack.distill.dagger import DAgger
from robostack.distill.teacher import TeacherRun
from robostack.learn.ppo import PPO
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder
from robostack_sim.tactile.placement.config import PlacementConfig
from robostack_sim.tactile.placement.task import TactilePlacement

TASK = PlacementConfig()
EXPERT = PPO(iterations=80, steps=20, gamma=0.95, std=0.5, actor=ActorConfig(privileged=True))
STUDENT = ActorConfig(hidden=(128, 64))


def student(teacher: TeacherRun, modality: str, iterations: int = 60) -> DAgger:
    actor = ActorConfig(hidden=STUDENT.hidden, channels=TactilePlacement.modalities[modality])
    return DAgger(teacher=teacher, iterations=iterations, horizon=20, epochs=6, learning_rate=2e-3, actor=actor)


def trained(settings: Any, folder: Path, seed: int = 0, config: PlacementConfig = TASK) -> tuple[RunFolder, float]:
    """A run of it, and how many seconds it took; one that is there already is taken as it is."""
    run = RunFolder.at(folder)
    if not (run.checkpoints / "best.pt").exists() or "train" not in run.metrics():
        torch.manual_seed(seed)
        with run.stage("train"):
            run.record(train=train(TactilePlacement(config), settings, run, seed=seed))
    return run, run.metrics()["train"]["wall_s"]
