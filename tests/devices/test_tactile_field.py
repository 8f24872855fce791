"""Claims: from images alone comes the force field that the simulator's pad felt, within the error the page says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from robostack.spec import ContractError
from robostack_real.devices.tactile_camera import CameraSensor
from robostack_real.devices.tactile_field import FieldEstimator, FieldSensor, Gel
from robostack_real.twins.tactile_camera import VirtualTactileCamera
from robostack_sim.tactile.sensor.calibration import three_lights, to_taxim
from robostack_sim.tactile.sensor.image import Camera

PIXEL_M, SIZE = 1.5e-4, (160, 192)
MARKERS = (12, 14)


def away(_: float) -> tuple[float, float, float]:
    return 0.0, 0.0, -0.005


class Pressed:
    """The gel at rest, and as it is pressed at a place and then sheared."""

    def __init__(self, markers: tuple[int, int] | None = None) -> None:
        self.calibration = three_lights(*SIZE)
        self.gel = Gel(pixel_m=PIXEL_M, markers=markers)
        camera = Camera(*SIZE, PIXEL_M, markers=markers)
        self.twin = VirtualTactileCamera(camera, script=away, calibration=self.calibration, rate_hz=1e4)
        self.rest = self.twin.grab()
        self.estimator = FieldEstimator(self.calibration.table, self.calibration.rest, self.gel)
        self.estimator.tare(self.rest)

    def __call__(self, x: float, y: float, deep: float, shear: float = 0.0):
        """Estimate, what of it was seen, the pad's own field."""
        for place in ((x, y, deep), (x + shear, y, deep)):
            self.twin.script = lambda _, place=place: place
            image = self.twin.grab()
        return *self.estimator.estimate(image), self.twin.field


@pytest.fixture(scope="module")
def plain() -> Pressed:
    return Pressed()


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.004, -0.006), (-0.005, 0.008)])
@pytest.mark.parametrize("deep", [4e-4, 8e-4])
def test_pressing_is_the_pads_own(plain, place, deep):
    found, valid, true = plain(*place, deep)
    assert valid[2].all() and not valid[:2].any() and not found[:2].any()
    assert found[2].sum() == pytest.approx(true[2].sum(), rel=0.15)
    assert np.corrcoef(found[2].ravel(), true[2].ravel())[0, 1] > 0.97


def test_a_gel_that_nothing_touches_feels_nothing(plain):
    found, _, _ = plain(0.0, 0.0, -0.001)
    assert np.abs(found).max() < 1e-3


def test_markers_say_the_shear():
    pressed = Pressed(MARKERS)
    found, valid, true = pressed(0.002, -0.004, 8e-4, 2.5e-4)
    assert valid.all()
    assert found[2].sum() == pytest.approx(true[2].sum(), rel=0.25)
    assert found[0].sum() == pytest.approx(true[0].sum(), rel=0.3)
    assert abs(found[1].sum()) < 0.1 * found[0].sum()
    held, _, _ = pressed(0.002, -0.004, 8e-4)
    assert abs(held[0].sum()) < 0.15 * found[0].sum()


def test_what_the_camera_does_not_see_is_not_felt():
    table = three_lights(80, 60)
    found, valid = FieldEstimator(table.table, table.rest, Gel()).estimate(table.rest)
    assert valid[2].any(1).tolist() == [False] * 3 + [True] * 8 + [False] * 3  # 18 of 28 mm
    assert not found.any()


def test_images_of_another_size_than_the_calibrations_are_refused(plain):
    with pytest.raises(ContractError, match="an image of 80 x 60 pixels, but the calibration is for 160 x 192"):
        plain.estimator.estimate(np.zeros((60, 80, 3)))


def test_a_camera_and_an_estimator_are_a_sensor_of_forces(plain):
    twin = VirtualTactileCamera(Camera(*SIZE, PIXEL_M), script=away, calibration=plain.calibration)
    with FieldSensor(CameraSensor(twin), plain.estimator) as sensor:
        twin.script = lambda _: (0.0, 0.0, 8e-4)
        while (values := _next(sensor)).sum() < 1.0:
            pass
        assert values.shape == (3, 14, 10)
        sensor.tare()  # this press is nothing from now on
        assert np.abs(_next(sensor)).max() < 0.05


def _next(sensor: FieldSensor) -> np.ndarray:
    while (touch := sensor.read()) is None:
        pass
    return touch.values


def test_a_folder_of_taxims_names_is_read_and_one_that_lacks_them_is_named(tmp_path: Path):
    known = three_lights(32, 24, bins=12)
    to_taxim(known, tmp_path)
    estimator = FieldEstimator.read(tmp_path, Gel(rows=2, columns=2))
    plain = FieldEstimator(known.table, known.rest, Gel(rows=2, columns=2))
    assert estimator._inverse == pytest.approx(plain._inverse)
    np.savez(tmp_path / "dataPack.npz", background=known.rest)
    with pytest.raises(ContractError, match="have no f0"):
        FieldEstimator.read(tmp_path, Gel())
