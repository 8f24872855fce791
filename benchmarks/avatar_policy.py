"""Characters in simulated physics, led by head and hands of motions that their policy was not trained on.

    python benchmarks/avatar_policy.py [--quick] [--clips FOLDER [--trained NAME ...]] [--policies FOLDER]

Stretches of five seconds, evenly spread over the planted parts of the clips in FOLDER but those trained on (without a
folder: of the one that comes along, which was trained on), flown by the file in ONNX Runtime behind its envelope; every
second one is pushed. A character without a policy has none flown. Beside it, on the same stretches, inverse kinematics
alone, and with a balance feedback whose four gains are the best of a random search on 32 of them. What is off is a mean
over the stretch. `robostack avatar evaluate` leaves the same figures beside a policy.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write

from robostack.evaluate.episodes import fly_episodes
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack_sim.avatar.balance import Feedback
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.judged import ALONG, Figures, judged
from robostack_sim.avatar.task import JUDGED_PUSH_M_S, Avatar
from robostack_sim.avatar.trials import ends_of, tuned

CHARACTERS = ("human", "dinosaur")
HEADSET = {"latency_s": (0.034, 0.034), "jitter": 0.05, "tracker_noise_m": 1e-3, "gaps_per_s": 0.1}
STANDS, PUSHED, HEAD_CM, HANDS_CM = 90.0, 85.0, 12.0, 8.0
PUSHED_BY = f"pushed by {JUDGED_PUSH_M_S:g} m/s every 2 s"


def speed(task: Avatar, policy: LoadedPolicy) -> tuple[float, float]:
    """Control steps per second of one core: many at once, and one by one in Python as `avatar live` does."""
    from robostack.runtime.runner import Runner
    from robostack_real.twins.avatar_body import LiveBody
    from robostack_sim.avatar.retarget import Target

    many = task.evaluation(256)
    runner = Runner(policy)
    obs, _ = many.reset(0)
    state, steps = runner.reset(256), 30
    start = time.process_time()
    for _ in range(steps):
        seen = {c.name: obs[c.name].numpy() for c in policy.spec.observations}
        action, state = runner.infer(seen, obs["applied_action"].numpy(), state)
        obs, *_ = many.step(torch.from_numpy(action))
    at_once = 256 * steps / (time.process_time() - start)
    live = LiveBody(task.body.character, runner)
    character = task.body.character
    still = {p: Target(character.rest_m[p], np.array([1.0, 0, 0, 0])) for p in ("head", "left_hand", "right_hand")}
    start = time.process_time()
    for _ in range(300):
        live.step(character.rest, still, many.step_dt)
    return at_once, 300 / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="16 stretches, four tries of the feedback")
    parser.add_argument("--clips", type=Path, help="folder of motions; by default the one that comes along")
    parser.add_argument("--trained", nargs="*", default=["02_05"], help="names of clips that were trained on")
    parser.add_argument("--policies", type=Path, help="folder with NAME.onnx instead of those that come along")
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--tries", type=int, default=40, help="gains that the feedback is chosen from")
    parser.add_argument("--out", type=Path, help="results file instead of benchmarks/results/avatar_policy.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    episodes, tries = (16, 4) if args.quick else (args.episodes, args.tries)
    clips, without = ([str(args.clips)], args.trained) if args.clips else (ALONG, [])
    rows = []
    for name in CHARACTERS:
        path = args.policies / f"{name}.onnx" if args.policies else Character.load(name).folder / "policy.onnx"
        config = AvatarConfig(character=name)
        perfect, headset = (judged(config, clips, without, **trackers) for trackers in ({}, HEADSET))
        alone, fed = baselines(perfect, episodes, tries)
        rows += [
            row(f"{name}: inverse kinematics alone stands 5 s", alone.stands, "%", better="higher"),
            row(f"{name}: with the four-gain feedback", fed.stands, "%", better="higher"),
            row(f"{name}: with it, {PUSHED_BY}", fed.pushed, "%", better="higher"),
        ]
        if path.exists():
            rows += of_policy(path, perfect, headset, episodes, fed.pushed)
    write("avatar_policy", rows, args.out)


def baselines(task: Avatar, episodes: int, tries: int) -> tuple[Figures, Figures]:
    """Inverse kinematics alone, and with the feedback."""
    alone = Figures.of(ends_of(Feedback.of(task.body).act, task, episodes))
    return alone, Figures.of(ends_of(tuned(task, min(episodes, 32), tries).act, task, episodes))


def of_policy(path: Path, task: Avatar, with_headset: Avatar, episodes: int, fed: float) -> list[dict[str, Any]]:
    policy, name = load_policy(path), task.config.character
    ends = fly_episodes(policy, task, episodes).ends
    found, clips = Figures.of(ends), np.array(task.judged_motions(episodes))
    worn = Figures.of(fly_episodes(policy, with_headset, episodes).ends)
    at_once, one_by_one = speed(task, policy)
    each = {c: Figures.of({k: v[clips == c] for k, v in ends.items()}) for c in sorted(set(clips))}
    kind = "trained on" if task.config.clips == ALONG else "never trained on"
    return [
        row(f"{name}: the policy stands 5 s, clips {kind}: {', '.join(each)}", found.stands, "%", STANDS,
            better="higher"),
        *(row(f"{name}: of clip {c} alone", f.stands, "%", better="higher", reference="pushed",
              reference_value=f.pushed) for c, f in each.items()),
        row(f"{name}: the policy, {PUSHED_BY}", found.pushed, "%", PUSHED, better="higher",
            reference="four-gain feedback", reference_value=fed),
        row(f"{name}: head off, mean", found.head_cm, "cm", HEAD_CM),
        row(f"{name}: hands off, mean", found.hands_cm, "cm", HANDS_CM),
        row(f"{name}: the policy stands, trackers 34 ms late, with noise and gaps", worn.stands, "%",
            better="higher"),
        row(f"{name}: hands off then", worn.hands_cm, "cm"),
        row(f"{name}: physics and policy, control steps per second and core", at_once, "1/s", better="higher",
            reference="one by one in Python", reference_value=float(f"{one_by_one:.4g}")),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
