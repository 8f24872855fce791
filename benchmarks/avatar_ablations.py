"""What asymmetric observations, a critic a reward term and the kinematic step each bring to an avatar's policy.

    python benchmarks/avatar_ablations.py [--quick] [--seeds N] [--iterations N] [--clips FOLDER --without NAME ...]

The default learner with one of them off, equally many steps each, judged on stretches of five seconds of recordings,
half of them pushed: the mean over seeds, and the worst of them as reference.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from _results import row, write

from robostack.learn.ppo import PPO
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.frames import Frames
from robostack_sim.avatar.learning import LEARNER
from robostack_sim.avatar.task import Avatar
from robostack_sim.avatar.trials import ends_of


def settings(task: Avatar, learner: PPO) -> dict[str, tuple[bool, PPO]]:
    """Whether drives follow inverse kinematics, and the learner, by what is off."""
    seen = tuple(c.name for c in task.actor_channels)
    blind = replace(learner, critic=replace(learner.critic, channels=seen))
    return {
        "all on": (True, learner),
        "the critic sees what the actor does": (True, blind),
        "one critic of the whole reward": (True, replace(learner, terms=())),
        "no kinematic step": (False, learner),
    }


def one(config: AvatarConfig, frames: Frames, judged: Avatar, learner: PPO, seed: int) -> dict[str, float]:
    torch.manual_seed(seed)
    task = Avatar(config, seed=seed, frames=frames)
    training = learner.learner(task)
    while training.iteration < learner.iterations:
        training.iterate()
    actor = training.actor
    state = [actor.initial_state(128)]

    def act(seen: Mapping[str, np.ndarray]) -> np.ndarray:
        x = torch.from_numpy(np.concatenate([seen[c.name] for c in task.channels], 1).astype(np.float32))
        action, state[0] = actor(x, state[0])
        return np.asarray(action.numpy())

    ends = ends_of(act, judged, 128)
    pushed = ends["pushed"] > 0.5
    return {
        "stands": 100.0 * float(np.mean(ends["success"][~pushed])),
        "pushed": 100.0 * float(np.mean(ends["success"][pushed])),
        "hands": 100.0 * float(np.mean(ends["hand_error_m"][~pushed])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, three iterations of 32 environments")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--clips", type=Path, help="folder of motions; by default the one that comes along")
    parser.add_argument("--without", nargs="*", default=[], help="clips to judge by; by default those trained on")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds, iterations = (1, 3) if args.quick else (args.seeds, args.iterations)
    clips = (str(args.clips),) if args.clips else ("punch",)
    config = AvatarConfig(clips=clips, without=tuple(args.without), num_envs=32 if args.quick else 256)
    first = Avatar(replace(config, num_envs=2))
    frames = first.frames
    rows = []
    for name, (kinematic, learner) in settings(first, replace(LEARNER, iterations=iterations)).items():
        chosen = replace(config, kinematic=kinematic)
        judged = replace(chosen, synthetic=0, mirror=False)
        if args.without:
            others = {
                n.removesuffix("_mirrored")
                for m, n in enumerate(frames.names)
                if frames.recorded[frames.motion == m][0]
            }
            judged = replace(judged, without=tuple(sorted(others)))
        perfect = replace(judged, latency_s=(0.0, 0.0), jitter=0.0, tracker_noise_m=0.0, gaps_per_s=0.0)
        asked = Avatar(replace(perfect, num_envs=2), judged=True)
        found = [one(chosen, frames, asked, learner, seed) for seed in range(seeds)]
        steps = iterations * learner.steps * config.num_envs
        worst = f"worst of {seeds}" if seeds > 1 else None
        for what, key, unit, better, last in (
            ("stands 5 s", "stands", "%", "higher", min), ("pushed", "pushed", "%", "higher", min),
            ("hands off", "hands", "cm", "lower", max),
        ):  # fmt: skip
            values = [f[key] for f in found]
            reference_value = float(f"{last(values):.4g}") if worst else None
            rows.append(row(f"{name}: {what}, after {steps / 1e6:.1f} M steps", mean(values), unit, better=better,
                            reference=worst, reference_value=reference_value))  # fmt: skip
        write("avatar_ablations", rows, args.out)


if __name__ == "__main__":
    main()
