"""Which feet stand, found in the motion itself, and the height at which they stand on the floor."""

from __future__ import annotations

import numpy as np

from robostack_sim.avatar.motion.clip import Clip

LOW_M, SLOW_M_S = 0.04, 0.35
"""over where the joint is when it stands, and how fast it may be on average over WINDOW_S"""
WINDOW_S = 0.1
STANDING_PERCENTILE = 10.0


def contacts(clip: Clip, joints: list[int]) -> np.ndarray:
    """(T, F) true where the joint stands: low, for itself, and slow.

    A joint's own height when it stands (an ankle's is not a toe's) is a low percentile over the clip; so whoever never
    stands in a clip seems to.
    """
    place = clip.position_m[:, joints]
    height = place[..., 2]
    window = max(1, round(WINDOW_S * clip.rate_hz))
    speed = np.linalg.norm(np.gradient(place, 1.0 / clip.rate_hz, axis=0), axis=-1)
    low = height < np.percentile(height, STANDING_PERCENTILE, axis=0) + LOW_M
    return low & (_mean(speed, window) < SLOW_M_S)


def on_floor(clip: Clip, joints: list[int], sole_m: float = 0.02) -> Clip:
    """The clip moved up or down as a whole so that standing joints are `sole_m` above z = 0 at the lowest, and lifted
    smoothly where one would still be below it."""
    height = clip.position_m[:, joints, 2]
    standing = contacts(clip, joints)
    lowest = height.min(axis=1)
    ground = float(np.median(lowest[standing.any(axis=1)])) if standing.any() else float(lowest.min())
    moved = clip.lifted(np.array(sole_m - ground))
    below = np.maximum(ground - lowest, 0.0)
    window = max(1, round(2.0 * WINDOW_S * clip.rate_hz))
    return moved.lifted(_mean(_highest(below, window), window))


def skate_m_s(clip: Clip, joints: list[int]) -> float:
    """Mean speed over the floor of joints while they stand; 0 where none does."""
    place = clip.position_m[:, joints, :2]
    speed = np.linalg.norm(np.gradient(place, 1.0 / clip.rate_hz, axis=0), axis=-1)
    standing = contacts(clip, joints)
    return float(speed[standing].mean()) if standing.any() else 0.0


def _windows(value: np.ndarray, window: int) -> np.ndarray:
    """(T, ..., window) centred, the ends repeated."""
    before = window // 2
    padded = np.concatenate([value[:1]] * before + [value] + [value[-1:]] * (window - 1 - before))
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)


def _mean(value: np.ndarray, window: int) -> np.ndarray:
    return np.asarray(_windows(value, window).mean(axis=-1))


def _highest(value: np.ndarray, window: int) -> np.ndarray:
    """Over a window as wide as twice that of the mean after it, so that the mean nowhere falls below `value`."""
    return np.asarray(_windows(value, 2 * window + 1).max(axis=-1))
