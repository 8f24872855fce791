"""What a camera behind a pad's gel sees, GelSight's way, batched over environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor
from torch.nn import functional

from robostack import warp_start
from robostack.lanes import LANES, as_lanes, columns, num_threads, stored
from robostack.recorded import current_stream
from robostack_sim.tactile.sensor.calibration import Calibration, three_lights
from robostack_sim.tactile.sensor.force_field import ForceField
from robostack_sim.tactile.sensor.heights import DEEPEST_M, heights_kernel
from robostack_sim.tactile.sensor.imaging import blur_across_kernel, blur_down_kernel, marker_kernel, shade_kernel
from robostack_sim.tactile.sensor.pads import Grip
from robostack_sim.tactile.sensor.solids import Indenters

warp_start.start()


@dataclass(frozen=True)
class Camera:
    """`width` x `height` pixels, `pitch_m` apart on the gel, whose middle is the pad's: x to the right, y downwards.

    With `markers`, (columns, rows) of them, `marker_radius_m` in size, are printed on the gel.
    """

    width: int = 80
    height: int = 60
    pitch_m: float = 3.0e-4
    thickness_m: float = 0.002
    markers: tuple[int, int] | None = None
    marker_radius_m: float = 4.0e-4

    def __post_init__(self) -> None:
        if self.width < LANES or self.width % LANES or self.height < 2:
            raise ValueError(
                f"Camera: {self.width} x {self.height} pixels: width must be a multiple of {LANES}, height 2 or more"
            )
        if self.markers and min(self.markers) < 1:
            raise ValueError(f"Camera: markers = {self.markers}: at least one each way, or None")
        for name in ("pitch_m", "thickness_m", "marker_radius_m"):
            if not 0.0 < getattr(self, name) < 0.1:
                raise ValueError(f"Camera: {name} = {getattr(self, name)!r}: must be more than 0, less than 0.1 m")


class TactileImage:
    """Images of `grip`'s pads, pressed by `indenters`.

    `colours` (num_envs, num_pads, 3, 4) is what a camera makes of red, green, blue and 1; `draw_colours` draws it anew,
    and it may be edited in place. `heights` is each pixel's height above the pad at rest (m), as `lanes.columns` stores
    it; `force_field.as_rows` shows it as images.
    """

    def __init__(
        self, camera: Camera, grip: Grip, indenters: Indenters, calibration: Calibration | None = None
    ) -> None:
        if indenters.num_envs != grip.num_envs:
            raise ValueError(f"TactileImage: {grip.num_envs} grips, but {indenters.num_envs} indenters: one each")
        self.camera, self.grip, self.indenters, self.device = camera, grip, indenters, grip.device
        self.calibration = calibration or three_lights(camera.width, camera.height)
        height, width, rows = camera.height, camera.width, grip.num_envs * grip.num_pads
        self.shape = (grip.num_envs, grip.num_pads, height, width, 3)
        self.image = torch.zeros(self.shape, dtype=torch.uint8, device=self.device)
        self.colours = torch.zeros(grip.num_envs, grip.num_pads, 3, 4, device=self.device)
        self.colours[..., :3] = torch.eye(3, device=self.device)
        self._levels = torch.zeros(grip.num_envs, grip.num_pads, device=self.device)
        pixels = height * width
        self._places = columns(pixels, 2, self.device)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        middle = torch.tensor([0.5 * (width - 1), 0.5 * (height - 1)])
        self._places.copy_((torch.stack([x, y], -1).flatten(0, 1) - middle) * camera.pitch_m)
        self.heights, self._down, self._deep = (columns(pixels, rows, self.device) for _ in range(3))
        self._tables = self._scaled(x, y)
        self._rest: Tensor | None = None
        self._launches = self._record()

    def _scaled(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """Table, gel at rest and places of the pixels, for the camera's number of pixels."""
        table, rest = (torch.tensor(t, device=self.device) for t in (self.calibration.table, self.calibration.rest))
        tall, wide, _ = rest.shape
        camera = self.camera
        if (camera.height, camera.width) != (tall, wide):
            size = (camera.height, camera.width)
            rest = functional.interpolate(rest.permute(2, 0, 1)[None], size, mode="bilinear", align_corners=False)
            rest = rest[0].permute(1, 2, 0)
        px = (x + 0.5) * (wide / camera.width) - 0.5
        py = (y + 0.5) * (tall / camera.height) - 0.5
        return [table, rest.contiguous(), torch.stack([px, py], -1).float().contiguous().to(self.device)]

    def _record(self) -> list[Any]:
        height, width, reach = self.camera.height, self.camera.width, self.camera.thickness_m
        rows, threads = self.heights.shape[1], num_threads(height * width, self.device)
        relative, levels = (wp.from_torch(t.flatten(0, 1)) for t in (self.grip.relative, self._levels))
        heights, down, deep = map(as_lanes, (self.heights, self._down, self._deep))
        table, rest, places = self._tables
        looked = [*self.indenters.arrays(), relative, DEEPEST_M, reach, as_lanes(self._places), heights]
        colours, image = (wp.from_torch(t.flatten(0, 1)) for t in (self.colours, self.image))
        shaded = [1.0 / self.camera.pitch_m, wp.from_torch(table), wp.from_torch(rest, dtype=wp.vec3),
                  wp.from_torch(places, dtype=wp.vec2), colours, wp.from_torch(stored(self._deep)), image]  # fmt: skip
        both = (rows, threads)
        steps: list[tuple[Any, Sequence[int], list[Any]]] = [
            (heights_kernel, both, looked),
            (blur_down_kernel, both, [levels, reach, threads // height, height, heights, down]),
            (blur_across_kernel, both, [width, down, deep]),
            (shade_kernel, (rows, height, width), shaded),
        ]
        where: dict[str, Any] = {"device": wp.device_from_torch(self.device), "record_cmd": True}
        if self.camera.markers:
            across, along = self.camera.markers
            self._middles = torch.zeros(self.grip.num_envs, self.grip.num_pads, across * along, 2, device=self.device)
            middles = wp.from_torch(self._middles.flatten(0, 1), dtype=wp.vec2)
            radius = self.camera.marker_radius_m / self.camera.pitch_m
            steps.append((marker_kernel, (rows, across * along), [radius, 0.2, middles, image]))
        return [wp.launch(kernel, dim, arguments, **where) for kernel, dim, arguments in steps]

    def render(self, field: ForceField | None = None) -> Tensor:
        """(num_envs, num_pads, height, width, 3) uint8, red, green, blue; it aliases a buffer until the next call.

        With `field`, by `Bristle` on the same grip, the gel is as deep as it was for the field's load, and markers go
        with its shear; without, they stay, and the gel is as deep as the solid's pose says.
        """
        if field is None:
            self._levels.zero_()
        else:
            self._levels.copy_(field.level_m)
        if self.camera.markers:
            self._place_markers(field)
        stream = current_stream(self.device)
        for launch in self._launches:
            launch.launch(stream)
        return self.image

    def _place_markers(self, field: ForceField | None) -> None:
        across, along = self.camera.markers or (0, 0)
        at = [(torch.arange(n, device=self.device) + 0.5) / n * m - 0.5
              for n, m in ((across, self.camera.width), (along, self.camera.height))]  # fmt: skip
        y, x = torch.meshgrid(at[1], at[0], indexing="ij")
        self._middles.copy_(torch.stack([x, y], -1).flatten(0, 1))
        if field is not None:
            middle = torch.tensor([self.camera.width - 1, self.camera.height - 1], device=self.device) / 2
            half = torch.tensor([field.pad.columns, field.pad.rows], device=self.device) * field.pad.pitch_m / 2
            places = (torch.stack([x, y], -1) - middle) * self.camera.pitch_m / half
            sheared = field.displacement_m[:, :, :2].flatten(0, 1)
            grid = places.expand(len(sheared), -1, -1, -1)
            moved = functional.grid_sample(sheared, grid, align_corners=False)
            self._middles += moved.movedim(1, -1).reshape(self._middles.shape) / self.camera.pitch_m

    def rest(self) -> Tensor:
        """(num_envs, num_pads, height, width, 3) uint8: the gels that nothing touches, through each camera."""
        away, seen = self.grip.relative[..., 9:12].clone(), self.image.clone()
        self.grip.relative[..., 11] = 1.0
        untouched = self.render().clone()
        self.grip.relative[..., 9:12] = away
        self.image.copy_(seen)
        return untouched

    def difference(self) -> Tensor:
        """int16, in the image's shape: the last image less the gel at rest."""
        if self._rest is None:
            self._rest = self.rest().short()
        return self.image.short() - self._rest

    def draw_colours(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        swap: bool = True,
        env_ids: Tensor | slice = slice(None),
        generator: torch.Generator | None = None,
    ) -> None:
        """Other cameras in these environments (all by default), each its own: colours swapped about, each made stronger
        or weaker by up to `contrast`, and all brighter or darker by up to `brightness` of the full scale."""
        shape = self.colours[env_ids].shape[:2]
        uniform = lambda *size: 2 * torch.rand(*size, generator=generator, device=self.device) - 1  # noqa: E731
        order = uniform(*shape, 3).argsort(-1) if swap else torch.arange(3, device=self.device).expand(*shape, 3)
        gains = 1.0 + contrast * uniform(*shape, 3, 1)
        drawn = torch.zeros(*shape, 3, 4, device=self.device)
        drawn[..., :3] = functional.one_hot(order, 3) * gains
        # contrast turns about the middle of the scale
        drawn[..., 3] = 127.5 * (1.0 - gains[..., 0]) + 255.0 * brightness * uniform(*shape, 1)
        self.colours[env_ids] = drawn
        self._rest = None
