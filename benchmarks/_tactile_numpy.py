"""The tactile force fields in vectorised NumPy, float32: what the Warp kernels are held against, for time and result.

Arrays are (pads, taxels); `relative`, `material` and `loads` are rows a pad, as the kernels have them. A call is of one
kind of solid, so that no mask is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robostack_sim.tactile.sensor.heights import DEEPEST_M
from robostack_sim.tactile.sensor.solids import C, Kind

Array = NDArray[Any]
TINY, FAR = np.float32(1e-12), np.float32(1.0)


def sign(x: Array) -> Array:
    return np.copysign(np.float32(1.0), x)


def both(da: Array, db: Array) -> tuple[Array, Array, Array]:
    a, b = np.maximum(da, 0), np.maximum(db, 0)
    beyond, nearer = np.sqrt(a * a + b * b), np.maximum(da, db)
    inside, first = nearer <= 0, da >= db
    per = 1 / np.maximum(beyond, TINY)
    return np.minimum(nearer, 0) + beyond, np.where(inside, first, per * a), np.where(inside, ~first, per * b)


def section(kind: Kind, n: Array, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """`n` (C.SIZE, pads, 1)"""
    if kind == Kind.CYLINDER:
        far = np.sqrt(x * x + y * y)
        per = 1 / np.maximum(far, TINY)
        return far - n[C.WIDTH], per * x, per * y
    if kind == Kind.BOX:
        d, along, across = both(np.abs(x) - n[C.WIDTH], np.abs(y) - n[C.FACE])
        return d, along * sign(x), across * sign(y)
    px, py, folds = np.abs(x), np.abs(y), []
    for k in (C.FOLDS, C.FOLDS + 2):
        s, c = n[k], n[k + 1]
        over = c * py - s * px
        folds.append((over > 0, s, c))
        over = 2 * np.maximum(over, 0)
        px, py = px + s * over, py - c * over
    gap, past = px - n[C.WIDTH], py - np.clip(py, -n[C.FACE], n[C.FACE])
    outside = gap > 0
    far = np.sqrt(gap * gap + past * past)
    per = 1 / np.maximum(far, TINY)
    d, gx, gy = np.where(outside, far, gap), np.where(outside, per * gap, 1), np.where(outside, per * past, 0)
    for over, s, c in reversed(folds):
        back = 2 * over * (c * gy - s * gx)
        gx, gy = gx + s * back, gy - c * back
    gx, gy = gx * sign(x), gy * sign(y)
    if n[C.BORE].any():
        far = np.sqrt(x * x + y * y)
        per, bore = 1 / np.maximum(far, TINY), n[C.BORE] - far
        hole = bore >= d
        d, gx, gy = np.maximum(d, bore), np.where(hole, -per * x, gx), np.where(hole, -per * y, gy)
    return d, gx, gy


def distance(kind: Kind, n: Array, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array, Array]:
    """And its gradient."""
    if kind == Kind.SPHERE:
        far = np.sqrt(x * x + y * y + z * z)
        per = 1 / np.maximum(far, TINY)
        return far - n[C.WIDTH], per * x, per * y, per * z
    flat, gx, gy = section(kind, n, x, y)
    d, along, across = both(flat, np.abs(z) - n[C.HALF_HEIGHT])
    return d, along * gx, along * gy, across * sign(z)


def inward(r: Array, x: Array, y: Array, z: Array) -> list[Array]:
    """A point of the pad's frame in the indenter's; `r` (18, pads, 1)"""
    dx, dy, dz = x - r[9], y - r[10], z - r[11]
    return [r[k] * dx + r[3 + k] * dy + r[6 + k] * dz for k in range(3)]


def turned(numbers: Array, pads_each: int) -> Array:
    """Rows an environment as (columns, pads, 1)."""
    return np.ascontiguousarray(np.repeat(numbers, pads_each, 0).T[..., None])


def penalty(kind: Kind, numbers: Array, relative: Array, material: Array, taxels: Array) -> Array:
    """(pads, 3, taxels); `numbers` (envs, C.SIZE), `relative` (pads, 18), `material` (pads, 3), `taxels` (taxels, 3)"""
    r, m = (np.ascontiguousarray(a.T[..., None]) for a in (relative, material))
    n = turned(numbers, len(relative) // len(numbers))
    x, y = taxels[None, :, 0], taxels[None, :, 1]
    d, gx, gy, gz = distance(kind, n, *inward(r, x, y, np.zeros_like(x)))
    normal = [r[3 * k] * gx + r[3 * k + 1] * gy + r[3 * k + 2] * gz for k in range(3)]
    dx, dy, dz = x - r[9], y - r[10], -r[11]
    v = [r[12] + r[16] * dz - r[17] * dy, r[13] + r[17] * dx - r[15] * dz, r[14] + r[15] * dy - r[16] * dx]
    along = v[0] * normal[0] + v[1] * normal[1] + v[2] * normal[2]
    v = [a - along * b for a, b in zip(v, normal, strict=True)]
    push = m[0] * np.maximum(-d, 0)
    speed = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    drag = np.minimum(m[1], m[2] * push / np.maximum(speed, TINY))
    out = np.empty((len(relative), 3, taxels.shape[0]), np.float32)
    for k, way in enumerate((1, 1, -1)):
        out[:, k] = way * (push * normal[k] + drag * v[k])
    return out


def heights(kind: Kind, numbers: Array, relative: Array, deepest: float, reach: float, taxels: Array) -> Array:
    """(pads, taxels)"""
    r = np.ascontiguousarray(relative.T[..., None])
    n = turned(numbers, len(relative) // len(numbers))
    z: Array = np.full((len(relative), len(taxels)), -deepest, np.float32)
    p = inward(r, taxels[None, :, 0], taxels[None, :, 1], z)
    d, slope = distance(kind, n, *p)[0], np.float32(1.0)
    for _ in range(12):
        moved = np.clip(z + d / slope, -deepest, np.float32(reach)) - z
        if np.abs(moved).max() < 1e-6:
            break
        z = z + moved
        p = [a + r[6 + k] * moved for k, a in enumerate(p)]
        now = distance(kind, n, *p)[0]
        slope = np.clip((d - now) / (moved + (moved == 0)), np.float32(0.2), np.float32(1.0))
        d = now
    return z + FAR * (z >= np.float32(reach - 1e-6))


@dataclass
class Bristles:
    """The elastic foundation with memory, stepping."""

    kind: Kind
    numbers: Array
    material: Array
    taxels: Array
    thickness_m: float
    state: dict[str, Array] = field(default_factory=dict)

    def step(self, relative: Array, loads: Array | None = None) -> Array:
        """(pads, 3, taxels)"""
        h = heights(self.kind, self.numbers, relative, DEEPEST_M, self.thickness_m, self.taxels)
        r, (kn, kt, mu) = np.ascontiguousarray(relative.T[..., None]), self.material.T[..., None]
        x, y, area = (self.taxels[None, :, k] for k in range(3))
        level: Any = np.float32(0.0)
        if loads is not None:
            level, edge = np.zeros_like(kn), np.full_like(kn, 0.5)
            for _ in range(16):
                a = area * (h <= edge)
                touched = a.sum(1, keepdims=True)
                sunk = (np.maximum(loads[:, 2:], 0) / kn + (a * h).sum(1, keepdims=True)) / np.maximum(touched, TINY)
                level = np.where(touched > 0, sunk, level)
                if (level >= edge - 1e-9).all():
                    break
                edge = np.minimum(edge, level)
        push = kn * area * np.clip(level - h, 0, np.float32(self.thickness_m))
        here = inward(r, x, y, np.zeros_like(x))
        anchor, before = here, np.zeros_like(push, bool)
        if self.state:
            before = self.state["push"] > 1e-9
            anchor = [np.where(before, self.state[k], now) for k, now in zip("xyz", here, strict=True)]
        ux = np.where(before, r[0] * anchor[0] + r[1] * anchor[1] + r[2] * anchor[2] + r[9] - x, 0)
        uy = np.where(before, r[3] * anchor[0] + r[4] * anchor[1] + r[5] * anchor[2] + r[10] - y, 0)
        k = kt * area
        shift = np.zeros((len(relative), 2), np.float32)
        if loads is not None:
            stiffness = (k * (push > 1e-9)).sum(1)
            going = stiffness > 0
            for _ in range(8):
                sx, sy = ux + shift[:, :1], uy + shift[:, 1:]
                share = np.minimum(1, mu * push / np.maximum(k * np.sqrt(sx * sx + sy * sy), 1e-9))
                left = loads[:, :2] - np.stack([(k * share * s).sum(1) for s in (sx, sy)], 1)
                enough = 1e-3 * np.hypot(loads[:, 0], loads[:, 1]) + 1e-9
                going &= np.hypot(left[:, 0], left[:, 1]) > enough
                if not going.any():
                    break
                shift = np.where(going[:, None], shift + left / np.maximum(stiffness, TINY)[:, None], shift)
        ux, uy = ux + shift[:, :1], uy + shift[:, 1:]
        share = np.minimum(1, mu * push / np.maximum(k * np.sqrt(ux * ux + uy * uy), 1e-9))
        ux, uy = share * ux, share * uy
        holds = (share >= 1) & (shift == 0).all(1, keepdims=True)
        fresh = inward(r, x + ux, y + uy, np.zeros_like(x))
        kept = {name: np.where(holds, a, b) for name, a, b in zip("xyz", anchor, fresh, strict=True)}
        self.state = {**kept, "push": push}
        return np.stack([k * ux, k * uy, push], 1)
