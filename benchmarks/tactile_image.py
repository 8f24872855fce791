"""Speed of the tactile image on one core, and of `taxim` at equal size and batch in the same process.

    python benchmarks/tactile_image.py [--quick]

Ours is everything from the pose of a gripped solid to the pixels: the height of each, blur, slope and shading.
`taxim` (PyPI, torch) is given the heights, so that it is timed for the gel's shape, slope and
shading alone, without shadows, as we have none; its gel is a pyramid of wide Gaussian blurs, ours TacSL's small one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _results import row, write
from _taxim import simulator
from tactile_field import SOLIDS, scenes

from robostack_sim.tactile.sensor.force_field import as_rows
from robostack_sim.tactile.sensor.image import Camera, TactileImage
from robostack_sim.tactile.sensor.pads import Grip
from robostack_sim.tactile.sensor.solids import Indenters

CAMERAS = {"80x60": (Camera(), 32), "320x240": (Camera(320, 240, 7.5e-5), 4)}
"""and how many environments, of two pads each"""


def per_second(call: Callable[[], Any], images: int, seconds: float) -> float:
    """Images a second of one core, which others may share: by the median call."""
    call()
    spent: list[float] = []
    while sum(spent) < seconds or len(spent) < 5:
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return images / statistics.median(spent)


def ours(camera: Camera, num_envs: int, solid: str) -> Callable[[], Any]:
    shape, half_m = SOLIDS[solid]
    grip = Grip(num_envs)
    relative, _ = scenes(half_m, num_envs, 2)
    image = TactileImage(camera, grip, Indenters([shape], num_envs))
    turn = iter(range(10**9))

    def call() -> None:
        grip.relative.copy_(relative[next(turn) % len(relative)])
        image.render()

    return call


def taxims(camera: Camera, num_envs: int, solid: str) -> Callable[[], Any]:
    """The same heights, as many at once. Raises ImportError."""
    theirs = simulator()
    shape, half_m = SOLIDS[solid]
    grip = Grip(num_envs)
    image = TactileImage(camera, grip, Indenters([shape], num_envs))
    grip.relative.copy_(scenes(half_m, num_envs, 2)[0][0])
    image.render()
    heights_mm = 1e3 * as_rows(image.heights, image.shape[:4]).flatten(0, 1).clamp(max=camera.thickness_m)
    return lambda: theirs.render(heights_mm, with_shadow=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the time")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = 0.4 if options.quick else 2.0
    faster: dict[str, Any] = {"better": "higher"}
    rows = []
    for size, (camera, num_envs) in CAMERAS.items():
        for solid in ("round peg", "hex nut"):
            rate = per_second(ours(camera, num_envs, solid), 2 * num_envs, seconds)
            peer = None
            try:
                peer = per_second(taxims(camera, num_envs, solid), 2 * num_envs, seconds)
            except ImportError as error:
                print(f"without taxim: {error}; pip install --no-deps taxim")
            bar = 2000.0 if size == "80x60" else None
            rows.append(row(f"{size}: {solid}", rate, "images/s", bar, **faster,
                            reference="taxim, from heights", reference_value=peer and round(peer, 1)))  # fmt: skip
            if peer:
                rows.append(row(f"{size}: {solid}, over taxim", rate / peer, "x", 2.0, **faster))
    write("tactile_image", rows, options.out)


if __name__ == "__main__":
    main()
