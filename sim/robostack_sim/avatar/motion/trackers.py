"""What a headset and two controllers would have seen of a motion: three poses, noisy, late, with gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from robostack import quaternion as quat
from robostack_sim.avatar.motion.clip import Clip
from robostack_sim.avatar.motion.parts import TRACKED


def _mounts() -> dict[str, tuple[float, float, float]]:
    return {"head": (0.09, 0.0, 0.10), "left_hand": (0.0, 0.0, 0.0), "right_hand": (0.0, 0.0, 0.0)}


@dataclass(frozen=True)
class TrackerModel:
    """Noise and time of a consumer's headset; all zero for a perfect one."""

    mount_m: Mapping[str, tuple[float, float, float]] = field(default_factory=_mounts)
    """of each device from its joint, in the joint's frame at rest: eyes are ahead of and above the head's joint"""
    position_noise_m: float = 1e-3
    rotation_noise_rad: float = 5e-3
    latency_s: float = 0.03
    gaps_per_s: float = 0.05
    """of each controller; a headset has none"""
    gap_s: tuple[float, float] = (0.05, 0.5)


PERFECT = TrackerModel(position_noise_m=0.0, rotation_noise_rad=0.0, latency_s=0.0, gaps_per_s=0.0)


@dataclass(frozen=True)
class Tracked:
    """T samples of head, left and right hand, in this order."""

    time_s: np.ndarray
    """(T,) of arrival"""
    position_m: np.ndarray
    """(T, 3, 3)"""
    rotation: np.ndarray
    """(T, 3, 4) wxyz"""
    seen: np.ndarray
    """(T, 3); what is not seen stays where it was last"""


def track(
    clip: Clip, parts: Mapping[str, int], model: TrackerModel = PERFECT, *, rate_hz: float = 72.0, seed: int = 0
) -> Tracked:
    """`parts` as of `parts_of(clip.skeleton)`. Arrival is counted from the clip's start."""
    random = np.random.default_rng(seed)
    joints = [parts[name] for name in TRACKED]
    seen_at = clip.at(rate_hz)
    rotation = seen_at.orientation[:, joints]
    mount = np.array([model.mount_m[name] for name in TRACKED])
    position = seen_at.position_m[:, joints] + quat.rotate(rotation, np.broadcast_to(mount, (*rotation.shape[:-1], 3)))
    position = position + model.position_noise_m * random.normal(size=position.shape)
    shaken = quat.from_rotation_vector(model.rotation_noise_rad * random.normal(size=position.shape))
    found = Tracked(
        np.arange(len(seen_at)) / rate_hz + model.latency_s,
        position,
        quat.multiply(rotation, shaken),
        np.ones(position.shape[:2], bool),
    )
    return _with_gaps(found, model, rate_hz, random)


def _with_gaps(tracked: Tracked, model: TrackerModel, rate_hz: float, random: np.random.Generator) -> Tracked:
    seen = tracked.seen.copy()
    for hand in (1, 2):
        for start in np.flatnonzero(random.random(len(seen)) < model.gaps_per_s / rate_hz):
            seen[max(start, 1) : start + round(random.uniform(*model.gap_s) * rate_hz), hand] = False
    newest = np.maximum.accumulate(np.where(seen, np.arange(len(seen))[:, None], 0), axis=0)
    device = np.arange(3)
    return replace(
        tracked, position_m=tracked.position_m[newest, device], rotation=tracked.rotation[newest, device], seen=seen
    )
