"""A simulated machine whose magnetic skin is on a serial line: what it feels goes out as a real board sends it and
comes back through the driver. All else is the simulator's.

URIs are anyskin_twin://SCENARIO, of the task that the policy was trained in.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np

from robostack.export.onnx import LoadedPolicy
from robostack.runtime.envelope import Array
from robostack_real.devices.anyskin_device import CHANNEL, AnySkinDevice
from robostack_real.link.skin_frames import MAGNETOMETERS
from robostack_real.twins.anyskin import VirtualSkin
from robostack_real.twins.simulated import Simulated


class SkinOnLine(AnySkinDevice):
    """See robostack_real.devices.anyskin_device.AnySkinDevice. The task's skin is tared already, so the driver's tare
    finds a skin that feels nothing."""

    def __init__(self, uri: str, policy: LoadedPolicy) -> None:
        self._folder = TemporaryDirectory(prefix="robostack-")
        link = Path(self._folder.name) / "skin"
        super().__init__(f"anyskin://{link}?on=sim://{uri.partition('://')[2]}", policy)
        self.where, self.twin = uri, VirtualSkin(link)
        self.twin.felt = np.zeros((MAGNETOMETERS, 3), np.float32)

    @property
    def _simulated(self) -> Simulated:
        assert isinstance(self._on, Simulated)
        return self._on

    def write(self, action: Array) -> Array:
        got = super().write(action)
        self._feel()
        return got

    def __enter__(self) -> Self:
        self.twin.__enter__()
        try:
            super().__enter__()
        except BaseException:
            self.twin.__exit__()
            raise
        self._feel()
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self.twin.__exit__()
        self._folder.cleanup()

    def _feel(self) -> None:
        values, _ = self._simulated.read()[CHANNEL]
        self.twin.felt = np.reshape(values, (MAGNETOMETERS, 3)).astype(np.float32)
