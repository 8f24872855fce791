"""Axes of the formats and of headsets, to ours (x ahead, y left, z up); and back where something is sent.

A vector and a quaternion's vector part change alike, where both systems are right-handed. A left-handed one (Unity, and
so VMC) turns the other way round an axis as well.
"""

from __future__ import annotations

import numpy as np


def from_y_up(value: np.ndarray) -> np.ndarray:
    """y up, z ahead, x left: BVH and ASF by custom. (..., 3) vectors or (..., 4) quaternions."""
    return _permuted(value, (2, 0, 1))


def from_x_ahead(value: np.ndarray) -> np.ndarray:
    """y up, x ahead, z right: DeepMimic's."""
    return _permuted(value, (0, 2, 1), (1.0, -1.0, 1.0))


def from_openxr(value: np.ndarray) -> np.ndarray:
    """y up, -z ahead, x right: OpenXR and WebXR."""
    return _permuted(value, (2, 0, 1), (-1.0, -1.0, 1.0))


def from_unity(value: np.ndarray) -> np.ndarray:
    """y up, z ahead, x right, left-handed: Unity and VMC."""
    return _handed(_permuted(value, (2, 0, 1), (1.0, -1.0, 1.0)))


def to_unity(value: np.ndarray) -> np.ndarray:
    return _handed(_permuted(value, (1, 2, 0), (-1.0, 1.0, 1.0)))


def _permuted(value: np.ndarray, order: tuple[int, int, int], sign: tuple[float, ...] = (1.0, 1.0, 1.0)) -> np.ndarray:
    value = np.asarray(value)
    turned = value[..., -3:][..., order] * np.array(sign)
    return np.concatenate([value[..., :1], turned], axis=-1) if value.shape[-1] == 4 else turned


def _handed(value: np.ndarray) -> np.ndarray:
    """A quaternion's vector is an axial one: a mirror turns it round once more."""
    return value * np.array([1.0, -1.0, -1.0, -1.0]) if value.shape[-1] == 4 else value
