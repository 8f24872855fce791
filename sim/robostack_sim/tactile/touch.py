"""What the pads of many grippers feel of the peg between them: force field, magnetic skin, image, each as its sensor
says it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robostack_sim.tactile.gripper import Gripper
from robostack_sim.tactile.sensor.anyskin import AnySkin, MagneticSkin
from robostack_sim.tactile.sensor.force_field import Bristle, ForceField
from robostack_sim.tactile.sensor.image import Camera, TactileImage
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.readings import Readings, SensorModel
from robostack_sim.tactile.sensor.solids import Indenters

CAMERA = Camera(32, 24, 7.5e-4)
"""24 x 18 mm in few pixels: an actor is no convolution, and looks at each of them"""
TARE_READINGS = 16
"""of the skin with nothing in the gripper, whose mean is its baseline"""


class Touch:
    """Sensors of both pads of each of `gripper`'s environments, read every `dt` s.

    After `restart` and `sense`: `field_n` (num_envs, 2, 3, 14, 10), `skin_ut` (num_envs, 5, 3) of the first pad, and
    `image` (num_envs, 2, 24, 32, 3), the difference from the gel at rest in shares of the full scale, None without.
    `load_n` (num_envs, 2, 3) is what each pad carries: shear along its x and y, and pressing.
    """

    def __init__(
        self, gripper: Gripper, sensor: SensorModel, skin: MagneticSkin, dt: float, image: bool = False
    ) -> None:
        n, self.gripper = gripper.num_envs, gripper
        self.grip, indenters = Grip(n), Indenters([gripper.peg.solid], n)
        self.field = ForceField(Pad(), self.grip, indenters, Bristle())
        self._law = self.field.material.clone()
        self.readings, self.skin = Readings(self.field, sensor, dt), AnySkin(self.field, skin, dt)
        self._camera = TactileImage(CAMERA, self.grip, indenters) if image else None
        self.load_n = torch.zeros(n, 2, 3)
        self.field_n, self.skin_ut = torch.zeros(self.field.shape), torch.zeros(n, 5, 3)
        self.image = torch.zeros(self._camera.shape) if self._camera else None
        self.skin.read()
        self._bare_ut = self.skin.field_ut.clone()
        """of the gel that nothing touches"""
        self._draw = torch.Generator()

    def seed(self, seed: int) -> None:
        for part in (self.readings, self.skin):
            part.seed(seed)
        self._draw.manual_seed(seed)

    def restart(self, rows: Tensor, stiffness: Tensor) -> None:
        """Other sensors, tared before they grip, in the environments `rows` (n,); their gels are `stiffness` (n,) times
        as stiff as the reference. Then all are read."""
        self.field.reset(rows)
        self.field.material[rows] = self._law[rows]
        self.field.material[rows, :, :2] *= stiffness[:, None, None]
        self.readings.reset(rows)
        self.skin.reset(rows)
        noise = torch.randn(self._bare_ut.shape, generator=self._draw)
        self.skin.tare(self._bare_ut + self.skin.skin.noise_ut / TARE_READINGS**0.5 * noise, rows)
        self.sense()

    def sense(self) -> None:
        """Reads all sensors as the gripper is now."""
        self.grip.update(self.gripper.pad_poses, self.gripper.peg_pose)
        self.load_n.copy_(self.grip.load(self.gripper.pad_force_n))
        self.field.step(self.load_n)
        self.field_n.copy_(self.readings.read())
        self.skin_ut.copy_(self.skin.read()[:, 0])
        if self._camera is not None and self.image is not None:
            self._camera.render(self.field)
            torch.div(self._camera.difference(), 255.0, out=self.image)

    def state_dict(self) -> dict[str, Tensor]:
        """They alias internal buffers, but for the generators' states."""
        parts: dict[str, Any] = {"field": self.field, "readings": self.readings, "skin": self.skin}
        kept = {f"{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}
        own = {"field_n": self.field_n, "skin_ut": self.skin_ut, "load_n": self.load_n, "draw": self._draw.get_state()}
        return {**kept, **own, **({} if self.image is None else {"image": self.image})}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        for name, part in (("field", self.field), ("readings", self.readings), ("skin", self.skin)):
            part.load_state_dict({k.partition(".")[2]: v for k, v in kept.items() if k.startswith(f"{name}.")})
        self._draw.set_state(kept["draw"])
        for name in ("field_n", "skin_ut", "load_n", *(["image"] if self.image is not None else [])):
            getattr(self, name).copy_(kept[name])
