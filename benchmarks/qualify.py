"""How long `robostack qualify` takes for a quadrotor's policy, on one core, and what it finds of the shipped defaults.

    python benchmarks/qualify.py [--quick]

The policy is trained here with the task's and the learner's defaults, exported, and the file qualified.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from _results import row, write
from rich.console import Console
from rich.progress import Progress

from robostack.learn.shac import SHAC
from robostack.learn.trained import export_policy, task_of_policy
from robostack.learn.trainer import train
from robostack.qualify.bench import Bench
from robostack.qualify.qualification import qualify
from robostack.run_folder import RunFolder
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor


def _core_seconds() -> float:
    """Of this process and those it waited for: compilers, the emulator."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer episodes and generations")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.at(Path(folder) / "quadrotor")
        run.record(train=train(Quadrotor(QuadrotorConfig()), SHAC(), run))
        policy = export_policy(run, run.policy)
    episodes, generations = (32, 3) if args.quick else (128, 12)
    bench = Bench(policy, task_of_policy(policy), episodes, generations)
    before = _core_seconds()
    with Progress(console=Console(stderr=True)) as progress:
        found = qualify(bench, progress)
    core_s = _core_seconds() - before
    whole = [
        row(
            f"qualification of a quadrotor's policy, {episodes} episodes a condition, time of one core",
            core_s,
            "s",
            120.0,
        ),
        row("the same by the clock, beside what else ran on the machine", sum(found.seconds.values()), "s"),
    ]
    judged = [
        row(r["what"], r["value"], r["unit"], r["bar"], better=r["better"], reference=r["reference"])
        for r in found.rows
    ]
    write("qualify", [*whole, *judged], args.out)


if __name__ == "__main__":
    main()
