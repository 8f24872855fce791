"""A camera behind a simulated gel, under a ball that a script presses: an ImageSource of a visuotactile sensor."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch

from robostack_real.devices.tactile_camera import Image
from robostack_real.link.errors import LinkLost, PortAbsent
from robostack_real.twins.anyskin import BALL_M, Script, kneading
from robostack_sim.tactile.sensor.calibration import Calibration
from robostack_sim.tactile.sensor.force_field import Bristle, ForceField
from robostack_sim.tactile.sensor.image import Camera, TactileImage
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Indenters, Sphere

RATE_HZ = 60.0


class VirtualTactileCamera:
    """See robostack_real.devices.tactile_camera.ImageSource. `script` and `plugged` may be changed at any time; `field`
    (3, rows, columns) N is what the pad feels in the newest image."""

    def __init__(
        self,
        camera: Camera | None = None,
        pad: Pad | None = None,
        *,
        script: Script = kneading,
        calibration: Calibration | None = None,
        rate_hz: float = RATE_HZ,
    ) -> None:
        self.where, self.script, self.rate_hz, self.plugged = "the simulated gel", script, rate_hz, True
        self._grip, indenters = Grip(1, 1), Indenters([Sphere(BALL_M)], 1)
        self._field = ForceField(pad or Pad(), self._grip, indenters, Bristle())
        self._image = TactileImage(camera or Camera(), self._grip, indenters, calibration)
        self.field: npt.NDArray[np.float32] = np.zeros(self._field.shape[2:], np.float32)
        self._steps, self._due_s = 0, 0.0

    def open(self) -> None:
        if not self.plugged:
            raise PortAbsent(f"{self.where}: unplugged")
        self._due_s = time.monotonic()

    def grab(self) -> Image:
        self._due_s += 1.0 / self.rate_hz
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        if not self.plugged:
            raise LinkLost(f"{self.where}: unplugged")
        x, y, deep = self.script(self._steps / self.rate_hz)
        self._steps += 1
        self._grip.relative[..., 9:12] = torch.tensor([x, y, BALL_M - deep])
        self.field = self._field.step()[0, 0].numpy().copy()
        image: Image = self._image.render(self._field)[0, 0].numpy().copy()
        return image

    def close(self) -> None:
        return
