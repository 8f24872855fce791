"""Quaternions (..., 4), wxyz, Hamilton, of unit length, over any leading axes."""

from __future__ import annotations

import numpy as np

IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """First `b`, then `a`."""
    w, x, y, z = np.moveaxis(a, -1, 0)
    s, i, j, k = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            w * s - x * i - y * j - z * k,
            w * i + x * s + y * k - z * j,
            w * j - x * k + y * s + z * i,
            w * k + x * j - y * i + z * s,
        ],
        axis=-1,
    )


def inverse(q: np.ndarray) -> np.ndarray:
    return q * np.array([1.0, -1.0, -1.0, -1.0])


def rotate(q: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """(..., 3) `vector` turned by `q`."""
    u = q[..., 1:]
    cross = 2.0 * np.cross(u, vector)
    return np.asarray(vector + q[..., :1] * cross + np.cross(u, cross))


def from_rotation_vector(vector: np.ndarray) -> np.ndarray:
    """(..., 3) axis times angle, rad."""
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.concatenate([np.cos(0.5 * angle), 0.5 * np.sinc(0.5 * angle / np.pi) * vector], axis=-1)


def to_rotation_vector(q: np.ndarray) -> np.ndarray:
    """(..., 3) axis times angle, rad, by the shorter way round."""
    q = np.where(q[..., :1] < 0.0, -q, q)
    size = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(size, q[..., :1])
    return np.asarray(q[..., 1:] * np.where(size > 1e-9, angle / np.maximum(size, 1e-9), 2.0))


def from_euler(order: str, angle_rad: np.ndarray) -> np.ndarray:
    """Turns about the axes named in `order`, upper case, one after the other and each about the axis as the one before
    left it. (..., len(order)) angles."""
    found = np.broadcast_to(IDENTITY, (*angle_rad.shape[:-1], 4))
    for i, axis in enumerate(order):
        turn = np.zeros((*angle_rad.shape[:-1], 4))
        turn[..., 0] = np.cos(0.5 * angle_rad[..., i])
        turn[..., 1 + "XYZ".index(axis)] = np.sin(0.5 * angle_rad[..., i])
        found = multiply(found, turn)
    return found


def slerp(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """From `a` to `b` by the shorter way round; `share` (...) in [0, 1]."""
    return multiply(a, from_rotation_vector(to_rotation_vector(multiply(inverse(a), b)) * share[..., None]))


def normalise(q: np.ndarray) -> np.ndarray:
    """Raises ValueError for one without length or that is no number."""
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    if not (length > 1e-6).all():  # a NaN is not greater either
        raise ValueError("a quaternion has no length")
    return np.asarray(q / length)


def continuous(q: np.ndarray) -> np.ndarray:
    """(T, ..., 4) with signs such that neighbours in time are near each other."""
    flips = np.where((q[1:] * q[:-1]).sum(-1) < 0.0, -1.0, 1.0)
    return np.concatenate([q[:1], q[1:] * np.cumprod(flips, axis=0)[..., None]])


def yaw(q: np.ndarray) -> np.ndarray:
    """(...) rad about z that takes x to where q's x axis points over the floor."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    return np.asarray(np.arctan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z))
