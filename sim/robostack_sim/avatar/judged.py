"""How well a policy's file keeps its character on its feet, and what lies beside the file about it, to be asked again.

Asked are five-second stretches, evenly spread over the planted parts of recordings, every second one pushed, flown by
the file in ONNX Runtime behind its envelope. A few more are of the recording that comes along, which are flown again
wherever the file is: by the tests, of every policy that comes along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robostack.evaluate.episodes import fly_episodes
from robostack.export.onnx import LoadedPolicy
from robostack.learn.trained import settings_of_policy
from robostack.spec import ContractError
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.task import Avatar

PERFECT: dict[str, Any] = {"latency_s": (0.0, 0.0), "jitter": 0.0, "tracker_noise_m": 0.0, "gaps_per_s": 0.0}
ALONG, AGAIN = ("punch",), 12
"""the recording that comes along, and how many stretches of it are flown again"""


@dataclass(frozen=True)
class Figures:
    """Of stretches; what is off is a mean over a stretch, until its end or the fall."""

    stands: float
    """% of those that are not pushed, to the end"""
    pushed: float
    """% of those that are"""
    head_cm: float
    """off, not pushed"""
    hands_cm: float

    @classmethod
    def of(cls, ends: Mapping[str, Any]) -> Figures:
        """`ends` as `fly_episodes` gives them."""
        pushed = ends["pushed"] > 0.5
        stands, shoved = (100.0 * float(np.mean(ends["success"][which])) for which in (~pushed, pushed))
        head, hands = (100.0 * float(np.mean(ends[f"{part}_error_m"][~pushed])) for part in ("head", "hand"))
        return cls(stands, shoved, head, hands)


def judged(config: AvatarConfig, clips: Sequence[str], without: Sequence[str] = (), **trackers: Any) -> Avatar:
    """The task to judge a policy of `config` by, on recordings alone. Trackers are perfect where not said.

    Raises ContractError and MotionError for clips that are not there, or where nothing is planted.
    """
    return Avatar(
        AvatarConfig(
            num_envs=2, character=config.character, kinematic=config.kinematic, offset_rad=config.offset_rad,
            clips=tuple(clips), without=tuple(without), synthetic=0, mirror=False, **{**PERFECT, **trackers},
        ),
        judged=True,
    )  # fmt: skip


def trained_as(policy: LoadedPolicy) -> AvatarConfig:
    """The settings that the file says. Raises ContractError for a policy of another task, or settings not known."""
    if policy.spec.task != Avatar.name:
        raise ContractError(f"{policy.origin}: a policy of task {policy.spec.task!r}; give one of {Avatar.name}")
    config: AvatarConfig = settings_of_policy(policy)
    return config


def evaluated(
    policy: LoadedPolicy, clips: Sequence[str], without: Sequence[str], episodes: int, seed: int
) -> dict[str, Any]:
    """The figures, of which clips, and those of `AGAIN` stretches of what comes along."""
    config = trained_as(policy)
    task = judged(config, clips, without)
    found = Figures.of(fly_episodes(policy, task, episodes, seed).ends)
    names = sorted({*task.judged_motions(episodes)})
    return {
        "policy_hash": policy.policy_hash, "clips": names, "episodes": episodes, "seed": seed, **asdict(found),
        "again": {"clips": [*ALONG], "episodes": AGAIN, **asdict(again(policy, seed))},
    }  # fmt: skip


def again(policy: LoadedPolicy, seed: int) -> Figures:
    """The stretches of what comes along; the same ones each time."""
    return Figures.of(fly_episodes(policy, judged(trained_as(policy), ALONG), AGAIN, seed).ends)
