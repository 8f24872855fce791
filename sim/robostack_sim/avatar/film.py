"""Pictures and films of a character beside who was recorded, drawn without OpenGL: solids as what they look like from
afar, the far ones first, and a skeleton as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw

from robostack_sim.avatar.motion.clip import Skeleton

PAPER, FLOOR, BONE = (250, 250, 247), (226, 226, 220), (196, 84, 47)
LIGHT = np.array([0.4, -0.5, 0.77])
OVERSAMPLING = 2


@dataclass(frozen=True)
class Camera:
    """Looks along a level direction turned `azimuth_rad` from x to y, down by `elevation_rad`, without perspective."""

    azimuth_rad: float = 2.3
    elevation_rad: float = 0.2
    middle_m: tuple[float, float, float] = (0.0, 0.0, 0.85)
    height_m: float = 2.2
    size: tuple[int, int] = (320, 320)

    @classmethod
    def of(cls, head_m: float) -> Camera:
        """For one whose head is so high."""
        return cls(middle_m=(0.0, 0.0, 0.55 * head_m), height_m=1.45 * head_m)

    def axes(self) -> np.ndarray:
        """(3, 3) rows: right, up, and away from the camera."""
        a, e = self.azimuth_rad, self.elevation_rad
        away = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), -np.sin(e)])
        right = np.array([np.sin(a), -np.cos(a), 0.0])
        return np.stack([right, np.cross(right, away), away])

    def pixels(self, point_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(..., 3) -> (..., 2) in the oversampled picture, and how far away."""
        seen = (np.asarray(point_m) - self.middle_m) @ self.axes().T
        scale = self.scale
        middle = OVERSAMPLING * 0.5 * np.array(self.size)
        return np.stack([middle[0] + scale * seen[..., 0], middle[1] - scale * seen[..., 1]], -1), seen[..., 2]

    @property
    def scale(self) -> float:
        """Pixels a metre."""
        return OVERSAMPLING * self.size[1] / self.height_m


def picture(model: mujoco.MjModel, data: mujoco.MjData, camera: Camera) -> Image.Image:
    """Of all geoms but the floor; `data` has its kinematics."""
    image, draw = _paper(camera)
    away = camera.axes()[2]
    order = sorted(range(model.ngeom), key=lambda g: -float((data.geom_xpos[g] - camera.middle_m) @ away))
    for geom in order:
        if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_PLANE and model.geom_rgba[geom, 3] > 0.05:
            _solid(draw, model, data, geom, camera)
    return image.resize(camera.size, Image.Resampling.LANCZOS)


def stick_figure(skeleton: Skeleton, position_m: np.ndarray, camera: Camera) -> Image.Image:
    """Of (J, 3) joints."""
    image, draw = _paper(camera)
    there, _ = camera.pixels(position_m)
    for i, parent in enumerate(skeleton.parents):
        if parent >= 0:
            draw.line([*there[parent], *there[i]], fill=BONE, width=round(0.025 * camera.scale))
    return image.resize(camera.size, Image.Resampling.LANCZOS)


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """One to the right of the other."""
    found = Image.new("RGB", (sum(i.width for i in images), max(i.height for i in images)), PAPER)
    x = 0
    for image in images:
        found.paste(image, (x, 0))
        x += image.width
    return found


def save_gif(path: Path, frames: Iterable[Image.Image], rate_hz: float) -> None:
    """All or nothing."""
    first, *rest = [f.quantize(64, dither=Image.Dither.NONE) for f in frames]
    fresh = path.with_suffix(".part")
    try:
        first.save(fresh, format="GIF", save_all=True, append_images=rest, duration=round(1000.0 / rate_hz), loop=0)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _paper(camera: Camera) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    size = OVERSAMPLING * camera.size[0], OVERSAMPLING * camera.size[1]
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    corners = 0.4 * camera.height_m * np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    middle = np.array([camera.middle_m[0], camera.middle_m[1], 0.0])
    there, _ = camera.pixels(corners + middle)
    draw.polygon([tuple(p) for p in there], fill=FLOOR)
    return image, draw


def _solid(draw: ImageDraw.ImageDraw, model: mujoco.MjModel, data: mujoco.MjData, geom: int, camera: Camera) -> None:
    place, turn, size = data.geom_xpos[geom], data.geom_xmat[geom].reshape(3, 3), model.geom_size[geom]
    kind = mujoco.mjtGeom(model.geom_type[geom])
    rgb = np.clip(model.geom_rgba[geom, :3], 0.05, 1.0)
    if kind in (mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_CYLINDER):
        ends, _ = camera.pixels(place + np.outer([-size[1], size[1]], turn[:, 2]))
        shade = _shade(rgb, 0.8 + 0.2 * abs(float(np.cross(turn[:, 2], LIGHT)[2])))
        width = max(1, round(2.0 * size[0] * camera.scale))
        draw.line([*ends[0], *ends[1]], fill=shade, width=width)
        for end in ends:
            _disc(draw, end, 0.5 * width, shade)
    elif kind in (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_ELLIPSOID):
        there, _ = camera.pixels(place)
        radius = float(size[0]) if kind == mujoco.mjtGeom.mjGEOM_SPHERE else float(np.cbrt(np.prod(size)))
        _disc(draw, there, radius * camera.scale, _shade(rgb, 0.95))
    elif kind == mujoco.mjtGeom.mjGEOM_BOX:
        _box(draw, place, turn, size, rgb, camera)
    elif kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        there, _ = camera.pixels(place + model.mesh_vert[first : first + count : max(1, count // 200)] @ turn.T)
        draw.polygon([tuple(p) for p in _hull(there)], fill=_shade(rgb, 0.9))


def _box(
    draw: ImageDraw.ImageDraw, place: np.ndarray, turn: np.ndarray, size: np.ndarray, rgb: np.ndarray, camera: Camera
) -> None:
    away = camera.axes()[2]
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = sign * turn[:, axis]
            if normal @ away > 0.0:  # the back
                continue
            u, v = (turn[:, k] * size[k] for k in range(3) if k != axis)
            middle = place + normal * size[axis]
            there, _ = camera.pixels(np.stack([middle + u + v, middle + u - v, middle - u - v, middle - u + v]))
            draw.polygon([tuple(p) for p in there], fill=_shade(rgb, 0.75 + 0.25 * max(0.0, float(normal @ LIGHT))))


def _disc(draw: ImageDraw.ImageDraw, middle: np.ndarray, radius: float, fill: tuple[int, int, int]) -> None:
    x, y = float(middle[0]), float(middle[1])
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)


def _shade(rgb: np.ndarray, share: float) -> tuple[int, int, int]:
    r, g, b = (int(255 * min(1.0, c * share)) for c in rgb)
    return r, g, b


def _hull(points: np.ndarray) -> list[np.ndarray]:
    """(N, 2) -> corners around them (Andrew's monotone chain)."""
    order = points[np.lexsort((points[:, 1], points[:, 0]))]

    def half(row: np.ndarray) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for p in row:
            while len(found) > 1 and np.cross(found[-1] - found[-2], p - found[-2]) <= 0.0:
                found.pop()
            found.append(p)
        return found[:-1]

    return half(order) + half(order[::-1])
