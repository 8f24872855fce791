"""Placing a peg by touch: how fast the physics is, how its two grasps differ, and how an expert and its students do.

    python benchmarks/tactile_placement.py [--quick] [--students force_field ...] [--runs FOLDER]

An expert that sees how the peg lies is trained by PPO; students of it, by DAgger, feel the force field, five
magnetometers, or nothing. Each student is exported, and the file places 1024 pegs from starts that no training drew.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _placement import EXPERT, TASK, asked, budget_rows, expert_rows, speed, student, trained
from _results import row, write

from robostack.distill.teacher import TeacherRun
from robostack.evaluate.episodes import UNSEEN
from robostack_sim.tactile.gripper import Grasp, Gripper
from robostack_sim.tactile.placement.config import PlacementConfig
from robostack_sim.tactile.placement.task import TactilePlacement

STUDENTS = ("force_field", "anyskin", "blind")
BLIND_FLOOR = 100.0 * 15.0 / 36.0
DEGREES = math.degrees(1.0)
HIGHER: dict[str, Any] = {"better": "higher"}


def pressed(grasp: Grasp, num_envs: int) -> tuple[Gripper, torch.Tensor, torch.Tensor]:
    """Leaning pegs that are pressed on the table by a target 4 mm below the touch: gripper, how they leaned, and how
    far each slid along its axis in the grip, m."""
    gripper = Gripper(num_envs, grasp)
    tilt = torch.linspace(-0.628, 0.628, num_envs)
    along = -0.0225 + 0.025 * torch.arange(num_envs).remainder(7) / 6.0
    start = torch.tensor([0.5, 0.0, 0.12]).repeat(num_envs, 1)
    gripper.restart(torch.arange(num_envs), start, tilt, along, torch.full((num_envs,), 15.0))
    touching = start[:, 2] - gripper.peg.lowest_m(gripper.peg_pose[:, 2], tilt.cos())
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(num_envs, 1)
    for k in range(60):
        start[:, 2] = torch.maximum(0.12 - 0.004 * torch.tensor(k), touching - 0.004)
        gripper.step(start, upright)
    slid = (gripper.peg_pose[:, :3] - gripper.pose[:, :3]).norm(dim=1) - along.abs()
    return gripper, tilt, slid


def lean(gripper: Gripper) -> torch.Tensor:
    w, x, y, z = gripper.peg_pose[:, 3:].unbind(1)
    return torch.atan2(2 * (x * z + w * y), 1 - 2 * (x * x + y * y))


def grasps(num_envs: int) -> list[dict[str, Any]]:
    """What pressing does to a peg in springs and to one that is held by friction."""
    bushing, contact = pressed("bushing", num_envs), pressed("contact", num_envs)
    apart = DEGREES * (lean(bushing[0]) - lean(contact[0])).abs()
    return [
        row("pressed on the table, tilt in springs less tilt by friction, mean", apart.mean().item(), "degrees"),
        row("the same, largest", apart.max().item(), "degrees"),
        row("the same, tilt that pressing makes by friction, mean",
            DEGREES * (lean(contact[0]) - contact[1]).abs().mean().item(), "degrees"),
        row("slid in the grip, springs, mean", 1e3 * bushing[2].abs().mean().item(), "mm"),
        row("slid in the grip, friction, mean", 1e3 * contact[2].abs().mean().item(), "mm"),
    ]  # fmt: skip


def probes(num_envs: int) -> list[dict[str, Any]]:
    """How far a linear guess from one reading is from how the peg leans: what a sense says of it at all."""
    task = TactilePlacement(PlacementConfig(num_envs=num_envs))
    seen, lean = [], []
    for seed in (0, 1):
        obs, _ = task.reset(seed)
        seen.append({name: obs[name].flatten(1).double() for name in ("force_field", "anyskin")})
        lean.append(DEGREES * task.tilt_in_grip.double())
    rows = [row("tilt in the grip: its own standard deviation", lean[1].std().item(), "degrees")]
    for name in seen[0]:
        middle, scale = seen[0][name].mean(0), seen[0][name].std()
        before, after = ((s[name] - middle) / scale for s in seen)
        gram = before.T @ before + 1e-2 * num_envs * torch.eye(before.shape[1], dtype=torch.float64)
        off = after @ torch.linalg.solve(gram, before.T @ lean[0]) - lean[1]
        rows.append(row(f"tilt in the grip, by a linear guess from {name}, RMS", off.square().mean().sqrt().item(),
                        "degrees"))  # fmt: skip
    return rows


def blindly(episodes: int) -> float:
    """Success in per cent of a script that keeps the wrist upright, and goes down until the table pushes with 3 N."""
    task = TactilePlacement(PlacementConfig(num_envs=episodes, steps=110))
    obs, _ = task.reset(UNSEEN)
    action = torch.zeros(episodes, 6)
    for _ in range(task.max_episode_length):
        ahead, pushed = obs["place"] - obs["arm_target_position"], task.touch.load_n[:, :, 1].sum(1)
        action[:, :2] = 0.3 * ahead[:, :2]
        down = torch.where(pushed < 1.0, -0.004, 0.0005 * (pushed - 3.0))
        action[:, 2] = torch.where(ahead[:, :2].norm(dim=1) < 0.003, down, 0.0)
        obs, *_, extras = task.step(action)
    return 100.0 * float(extras["success"].float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="trainings far too short to place anything")
    parser.add_argument("--threads", type=int, default=0, help="of the physics; 0: one a core")
    parser.add_argument(
        "--students", nargs="*", default=STUDENTS, choices=STUDENTS, help="which; none is the expert alone"
    )
    parser.add_argument("--runs", type=Path, help="where trainings are kept; those that are there are taken")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config, episodes, share = replace(TASK, threads=options.threads), 1024, 1.0
    if options.quick:
        config, episodes, share = replace(config, num_envs=64), 64, 0.04
    rows = []
    for grasp in ("bushing", "contact"):
        task = TactilePlacement(PlacementConfig(num_envs=128, threads=1, grasp=grasp))
        steps = speed(task, 0.004, 2.0 * max(share, 0.4))
        rows.append(row(f"steps of an environment, {grasp}, one core", steps, "steps/s", **HIGHER))
    rows += grasps(256) + probes(128 if options.quick else 2048)
    floor = blindly(episodes)
    rows.append(row("a script that feels nothing: success", floor, "%"))
    rows.append(row("the same, less 15 of 36 degrees", abs(floor - BLIND_FLOOR), "%", 3.0))
    with nullcontext(options.runs) if options.runs else tempfile.TemporaryDirectory() as folder:
        iterations = max(2, round(share * EXPERT.iterations))
        settings = replace(EXPERT, iterations=iterations)
        expert, expert_s = trained(TactilePlacement(config), settings, Path(folder) / "expert")
        rows += expert_rows(expert, episodes)
        for name in options.students:
            taught = student(TeacherRun.of(expert), name)
            taught = replace(taught, iterations=max(2, round(share * taught.iterations)))
            run, seconds = trained(TactilePlacement(config), taught, Path(folder) / name)
            found = asked(run, episodes)
            success, tilt = 100.0 * found.success.mean(), DEGREES * float(np.nanmedian(found.ends["tilt_rad"]))
            ours = name == "force_field"
            rows.append(row(f"{name}: success", success, "%", 99.0 if ours else None, **HIGHER))
            rows.append(row(f"{name}: tilt, median", tilt, "degrees", 3.0 if ours else None))
            if name == "blind":
                rows.append(row("blind: success less 15 of 36 degrees", abs(success - BLIND_FLOOR), "%", 3.0))
            rows += budget_rows(run, name)
            if ours:
                rows.append(row("expert and its force field student", expert_s + seconds, "s", 1200.0))
            print(f"{name}: {success:.1f} %, {tilt:.2f} degrees", flush=True)
    write("tactile_placement", rows, options.out)


if __name__ == "__main__":
    main()
