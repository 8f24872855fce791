"""What a critic that sees all, a critic a reward term and the kinematic step each bring to an avatar's policy.

    python benchmarks/avatar_ablations.py [--quick] [--clips FOLDER [--trained NAME ...]] [--minutes N]

The default learner on the human with one of them off, as many steps each, three seeds each. The file of each training
is flown as in avatar_policy.py; how long it stands, of five seconds, tells early what survival tells late, and what its
critic knows of the returns tells earlier still. Rows are means over the seeds. A training whose file lies in --runs is
not done again, so that this may be done in parts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write

from robostack.evaluate.episodes import fly_episodes
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.learn.ppo import PPO, PpoLearner
from robostack.learn.trained import export_actor
from robostack_sim.avatar.balance import Feedback
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.frames import Frames
from robostack_sim.avatar.judged import ALONG, judged
from robostack_sim.avatar.learning import LEARNER
from robostack_sim.avatar.task import JUDGED_PUSH_M_S, Avatar
from robostack_sim.avatar.trials import ends_of

SETTINGS = {
    "all three": "all",
    "a critic that sees what the actor does": "blind",
    "one critic of the whole reward": "one",
    "no kinematic step": "direct",
}
SEEDS, ITERATIONS, EPISODES, ROLLOUTS = 3, 16, 64, 2


def trained(kind: str, seed: int, config: AvatarConfig, frames: Frames, learner: PPO, path: Path) -> LoadedPolicy:
    """The file of one training, whose last policy counts."""
    torch.manual_seed(seed)
    task = Avatar(replace(config, kinematic=kind != "direct"), seed=seed, frames=frames)
    if kind == "blind":
        seen = tuple(c.name for c in task.actor_channels)
        learner = replace(learner, critic=replace(learner.critic, channels=seen))
    if kind == "one":
        learner = replace(learner, terms=())
    training = learner.learner(task)
    while training.iteration < learner.iterations:
        training.iterate()
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"settings": asdict(task.config), "seed": seed, "explained": explained(training)}
    return export_actor(task, training.actor, path, found)


@torch.no_grad()
def explained(training: PpoLearner) -> float:
    """The share of the returns' variance that the critics together explain, in rollouts not learned from."""
    off, whole = [], []
    for _ in range(ROLLOUTS):
        training.rollout.collect(training.log_std.exp())
        advantage, target = training._credit(training.critic.see(training.rollout.seen))
        off.append(advantage.sum(-1))
        whole.append(target.sum(-1))
    return float(1.0 - torch.stack(off).var() / torch.stack(whole).var())


def all_trained(
    config: AvatarConfig, learner: PPO, seeds: int, runs: Path, minutes: float
) -> dict[str, list[LoadedPolicy]]:
    """By setting. Exits where the time is over before all are there."""
    frames = Avatar(replace(config, num_envs=2)).frames
    end_s = time.monotonic() + 60.0 * minutes
    found: dict[str, list[LoadedPolicy]] = {name: [] for name in SETTINGS}
    for seed in range(seeds):
        for name, kind in SETTINGS.items():
            path = runs / f"{kind}_{seed}.onnx"
            if not path.exists():
                if time.monotonic() > end_s:
                    raise SystemExit(f"{path} is still to be trained: the same command goes on")
                began_s = time.monotonic()
                trained(kind, seed, config, frames, learner, path)
                print(f"{path}: {time.monotonic() - began_s:.0f} s", flush=True)
            found[name].append(load_policy(path))
    return found


def figures(ends: dict[str, Any]) -> np.ndarray:
    """Stood s, stood s where pushed, hands off cm."""
    pushed = ends["pushed"] > 0.5
    stood, off = ends["stood_s"], ends["hand_error_m"]
    return np.array([np.mean(stood[~pushed]), np.mean(stood[pushed]), 100.0 * np.mean(off[~pushed])])


def flown(policy: LoadedPolicy, task: Avatar, episodes: int) -> np.ndarray:
    found = fly_episodes(policy, task, episodes)
    return figures({**found.ends, "stood_s": found.steps * task.step_dt})


def rows_of(name: str, found: list[np.ndarray]) -> list[dict[str, Any]]:
    table = np.array(found)
    mean, worst = table.mean(0), [*table.min(0)[:2], table.max(0)[2]]
    about = (("stands, of 5 s", "s", "higher"), (f"pushed by {JUDGED_PUSH_M_S:g} m/s", "s", "higher"),
             ("hands off until then", "cm", "lower"))  # fmt: skip
    return [
        row(f"{name}: {what}", m, unit, better=better, **worst_of(found, w))
        for (what, unit, better), m, w in zip(about, mean, worst, strict=True)
    ]


def worst_of(found: Sequence[object], value: float) -> dict[str, Any]:
    """As reference, where there are several."""
    if len(found) < 2:
        return {}
    return {"reference": f"worst of {len(found)}", "reference_value": float(f"{value:.4g}")}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, two iterations of 32 environments")
    parser.add_argument("--clips", type=Path, help="folder of motions to judge by; by default the one trained on")
    parser.add_argument("--trained", nargs="*", default=["02_05"], help="names of those in it that were trained on")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="of each training")
    parser.add_argument("--runs", type=Path, help="where trainings are kept; those that are there are taken")
    parser.add_argument("--minutes", type=float, default=np.inf, help="after which no training is begun")
    parser.add_argument("--out", type=Path, help="results file instead of benchmarks/results/avatar_ablations.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds, iterations, episodes = (1, 2, 16) if args.quick else (args.seeds, args.iterations, EPISODES)
    config = AvatarConfig(num_envs=32 if args.quick else 256, synthetic=4 if args.quick else 48)
    learner = replace(LEARNER, iterations=iterations)
    clips, without = ([str(args.clips)], args.trained) if args.clips else (ALONG, [])
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        policies = all_trained(config, learner, seeds, args.runs or Path(folder), args.minutes)
    tasks = {k: judged(replace(config, kinematic=k), clips, without) for k in (True, False)}
    steps = iterations * learner.steps * config.num_envs
    alone = figures(ends_of(Feedback.of(tasks[True].body).act, tasks[True], episodes))
    rows = [
        row(f"steps of each of {seeds * len(SETTINGS)} trainings", steps / 1e6, "million", better="higher"),
        *rows_of("inverse kinematics alone", [alone]),
    ]
    for name, kind in SETTINGS.items():
        rows += rows_of(name, [flown(p, tasks[kind != "direct"], episodes) for p in policies[name]])
        known = [100.0 * p.spec.provenance["explained"] for p in policies[name]]
        rows.append(row(f"{name}: of the returns' variance the critic explains", float(np.mean(known)), "%",
                        better="higher", **worst_of(known, min(known))))  # fmt: skip
    write("avatar_ablations", rows, args.out)


if __name__ == "__main__":
    main()
