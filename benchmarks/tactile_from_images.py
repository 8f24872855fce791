"""What comes out of a gel's images: the force field that a pad felt, and the table of colours that made them.

    python benchmarks/tactile_from_images.py [--quick]

Images are our own model's, of a ball, so on no real gel's smoothness and no real noise. `taxim` (PyPI) brings a real
GelSight Mini's table; without it these rows are dashes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write
from _taxim import simulator

from robostack_real.devices.tactile_field import FieldEstimator, Gel
from robostack_real.twins.anyskin import Script, untouched
from robostack_real.twins.tactile_camera import VirtualTactileCamera
from robostack_sim.tactile.sensor.calibration import Calibration, from_taxim, three_lights
from robostack_sim.tactile.sensor.fitting import errors, find_print, fit
from robostack_sim.tactile.sensor.image import Camera, TactileImage
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Indenters, Sphere

BALL_M = 0.004
SHEAR_M = 2e-4
MARGIN_M = 0.0033
"""from the border: no print is cut off"""


def field(name: str, calibration: Calibration, camera: Camera, pad: Pad, places: int) -> list[dict[str, Any]]:
    """Of a ball of 6 mm, 0.3 to 1 mm deep, and sheared where there are markers."""
    gel = Gel(pad.rows, pad.columns, pad.pitch_m, pixel_m=camera.pitch_m, markers=camera.markers)
    twin = VirtualTactileCamera(camera, pad, calibration=calibration, rate_hz=1e5)
    estimator, random = FieldEstimator(calibration.table, calibration.rest, gel), np.random.default_rng(0)
    total, alike, shear, spent = [], [], [], []
    for _ in range(places):
        x, y = random.uniform(-0.4, 0.4, 2) * (camera.width * camera.pitch_m, camera.height * camera.pitch_m)
        x, y = np.clip((x, y), -0.0085, 0.0085)
        deep = random.uniform(3e-4, 1e-3)
        twin.script = untouched
        estimator.tare(twin.grab())
        for shift in (0.0, SHEAR_M if camera.markers else 0.0):
            twin.script = at((x + shift, y, deep))
            image = twin.grab()
        start = time.process_time()
        found, _ = estimator.estimate(image)
        spent.append(time.process_time() - start)
        total.append(found[2].sum() / twin.field[2].sum() - 1.0)
        alike.append(np.corrcoef(found[2].ravel(), twin.field[2].ravel())[0, 1])
        shear.append(found[0].sum() / twin.field[0].sum() - 1.0 if camera.markers else 0.0)
    rows = [
        row(f"{name}: pressing, summed: error, median", 100 * float(np.median(total)), "%"),
        row(f"{name}: pressing, summed: 95 of 100 within", 100 * float(np.percentile(np.abs(total), 95)), "%"),
        row(f"{name}: pressing, correlation over taxels, median", float(np.median(alike)), "", better="higher"),
        row(f"{name}: pressing, correlation over taxels, least", float(min(alike)), "", better="higher"),
    ]
    if camera.markers:
        rows.append(row(f"{name}: shear, summed: error, median", 100 * float(np.median(shear)), "%"))
        rows.append(row(f"{name}: shear, summed: 95 of 100 within", 100 * float(np.percentile(np.abs(shear), 95)), "%"))
    return [*rows, row(f"{name}: one estimate", 1e3 * float(np.median(spent)), "ms of a core")]


def at(place: tuple[float, float, float]) -> Script:
    return lambda _: place


def table(name: str, calibration: Calibration, camera: Camera, presses: int) -> list[dict[str, Any]]:
    """What a fit makes of presses of a ball of 4 mm, each fifth of which it does not see."""
    random = np.random.default_rng(1)
    half = np.array([camera.width, camera.height]) * camera.pitch_m / 2 - MARGIN_M
    places = random.uniform((*-half, 3e-4), (*half, 1.1e-3), (presses, 3))
    grip = Grip(presses, 1)
    view = TactileImage(camera, grip, Indenters([Sphere(BALL_M)], presses), calibration)
    upright = [1.0, 0.0, 0.0, 0.0]
    poses = torch.tensor([[x, y, BALL_M - deep, *upright] for x, y, deep in places.tolist()])
    grip.update(torch.tensor([0.0, 0.0, 0.0, *upright]).expand(presses, 1, 7), poses)
    images, rest = view.render()[:, 0].numpy().astype(float), view.rest()[0, 0].numpy().astype(float)
    ball_px = BALL_M / camera.pitch_m
    found = [find_print(str(k), image, rest, ball_px) for k, image in enumerate(images)]
    true = np.sqrt(2 * BALL_M * places[:, 2] - places[:, 2] ** 2) / camera.pitch_m
    off = np.array([p.radius for p in found]) / true - 1.0
    fitted = fit(rest, [p for k, p in enumerate(found) if k % 5], ball_px)
    wrong, change = errors(fitted, rest, found[::5], ball_px)
    return [
        row(f"{name}: a print's radius, error, worst", 100 * float(off[np.abs(off).argmax()]), "%"),
        row(f"{name}: what is left of {presses // 5 + bool(presses % 5)} unseen presses, RMS", wrong, "of 255",
            reference="their change", reference_value=round(change, 1)),
    ]  # fmt: skip


def minis() -> Calibration | None:
    try:
        simulator()
    except ImportError:
        return None
    return from_taxim()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few places and presses")
    parser.add_argument("--out", type=Path, help="results file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    places, presses = (8, 12) if options.quick else (60, 32)
    size, pixel_m = (160, 192), 1.5e-4
    matt, mini = three_lights(*size), minis()
    rows = field("field, matt gel, 160x192", matt, Camera(*size, pixel_m), Pad(), places)
    marked = Camera(*size, pixel_m, markers=(12, 14))
    rows += field("field, the same with 12x14 markers", matt, marked, Pad(), places)
    if mini is not None:
        rows += field("field, Mini's table, 640x480", mini, Camera(640, 480, 3.75e-5), Pad(8, 11), places // 2)
    rows += table("table, matt gel, 80x60", three_lights(), Camera(), presses)
    if mini is not None:
        rows += table("table, Mini's, 320x240", mini, Camera(320, 240, 7.5e-5), presses)
    write("tactile_from_images", rows, options.out)


if __name__ == "__main__":
    main()
