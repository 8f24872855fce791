"""`robostack calibrate-tactile`: learn an image sensor's shading from pictures of a ball pressed into it"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

from robostack.commands.answer import answer
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack_sim.tactile.sensor.calibration import Calibration
    from robostack_sim.tactile.sensor.fitting import Press

Array = NDArray[np.float64]

KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
RESTS = ("rest", "background")
SHOWN, STRONGER = 6, 4.0
HELD_OUT = 5
"""each fifth press is kept from a second fit, which is judged by them"""


@dataclass(frozen=True)
class Command:
    """Calibrate a visuotactile sensor of your own from images of a ball that was pressed into its gel.

    FOLDER has one image or more of the gel at rest, rest*.png (or background*), and all others are presses, of a ball
    of known radius, one print an image: some thirty, all over the gel, more and less deep, none cut off by the border.
    Images are used as they are: take them with the size, exposure and lights that the sensor will have.

    Leaves the table in Taxim's two files, polycalib.npz and dataPack.npz, which `from_taxim` and FieldEstimator read;
    circles.csv, where it saw the prints, which you may correct and give back by --circles; and calibration.png, each
    press beside what the table makes of it and what is left, four times as strong.

    Example: robostack calibrate-tactile presses/ --ball-radius-m 0.004 --pixel-m 6.5e-5
    """

    folder: Annotated[Path, tyro.conf.Positional]
    ball_radius_m: float
    pixel_m: float
    """From one pixel to the next on the gel: photograph a ruler that is pressed in."""
    out: Path | None = None
    """Default: FOLDER/calibration."""
    circles: Path | None = None
    """Prints by hand: a table with the columns image, x, y, radius, in pixels."""
    bins: int = 120
    """Of the table, each way."""
    json: bool = False
    """Print the figures as JSON for a script."""

    def run(self) -> int:
        ball_px = self._checked()
        from robostack_sim.tactile.sensor.calibration import to_taxim
        from robostack_sim.tactile.sensor.fitting import errors, fit

        rest, images = read_folder(self.folder)
        presses, left_out = self._presses(rest, images, ball_px)
        calibration = fit(rest, presses, ball_px, self.bins)
        wrong, change = errors(calibration, rest, presses, ball_px)
        held = presses[::HELD_OUT]
        rest_of_them = [p for k, p in enumerate(presses) if k % HELD_OUT]
        unseen = errors(fit(rest, rest_of_them, ball_px, self.bins), rest, held, ball_px)[0]
        steepest = float(np.degrees(np.arcsin(max(p.radius for p in presses) / ball_px)))
        out = self.out or self.folder / "calibration"
        out.mkdir(parents=True, exist_ok=True)
        to_taxim(calibration, out)
        write_circles(out / "circles.csv", presses)
        draw(out / "calibration.png", calibration, presses, ball_px)
        found = {
            "presses": len(presses), "left_out": left_out, "residual": wrong, "residual_unseen": unseen,
            "change": change, "steepest_deg": steepest, "out": str(out),
        }  # fmt: skip
        if self.json:
            answer(found)
            return 0
        for line in left_out:
            print(f"left out: {line}")
        print(
            f"{len(presses)} presses; what is left of a change of {change:.1f} of 255 (RMS): {wrong:.1f}, of presses "
            f"that a fit has not seen {unseen:.1f}\nslopes up to {steepest:.0f} degrees; steeper ones get the nearest\n"
            f"{out}: look at calibration.png"
        )
        return 0

    def _checked(self) -> float:
        """The ball's radius in pixels."""
        for name, value in (("ball-radius-m", self.ball_radius_m), ("pixel-m", self.pixel_m)):
            if not 0.0 < value < 0.1:
                raise ContractError(f"--{name} {value:g}: must be more than 0 and less than 0.1 m")
        if not 10 <= self.bins <= 500:
            raise ContractError(f"--bins {self.bins}: must lie in [10, 500]")
        if self.ball_radius_m < 4.0 * self.pixel_m:
            raise ContractError(
                f"--ball-radius-m {self.ball_radius_m:g} is {self.ball_radius_m / self.pixel_m:.1f} pixels: of "
                "so small a ball no slope can be seen; take a larger ball, or more pixels"
            )
        return self.ball_radius_m / self.pixel_m

    def _presses(self, rest: Array, images: dict[str, Array], ball_px: float) -> tuple[list[Press], list[str]]:
        from robostack_sim.tactile.sensor.fitting import LEAST_PRESSES, NoPrint, Press, find_print

        if self.circles is not None:
            given = read_circles(self.circles, images)
            return [Press(name, images[name], *place) for name, place in given.items()], []
        presses, left_out = [], []
        for name, image in images.items():
            try:
                presses.append(find_print(name, image, rest, ball_px))
            except NoPrint as why:
                left_out.append(str(why))
        if left_out and len(presses) < LEAST_PRESSES:
            raise ContractError(f"{len(presses)} of {len(images)} presses can be used: {'; '.join(left_out[:3])}")
        if presses and (widest := max(p.radius for p in presses)) > 0.95 * ball_px:
            raise ContractError(
                f"a print has a radius of {widest * self.pixel_m * 1e3:.2f} mm, the ball of "
                f"{self.ball_radius_m * 1e3:.2f} mm: --ball-radius-m or --pixel-m is wrong"
            )
        return presses, left_out


def read_folder(folder: Path) -> tuple[Array, dict[str, Array]]:
    """The gel at rest (height, width, 3), 0 to 255, and each press by its file's name. Raises ContractError."""
    from PIL import Image, UnidentifiedImageError

    if not folder.is_dir():
        raise ContractError(f"{folder}: is no folder")
    found: dict[str, Array] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in KINDS):
        try:
            with Image.open(path) as file:
                found[path.name] = np.asarray(file.convert("RGB"), float)
        except UnidentifiedImageError as error:
            raise ContractError(f"{path}: is no image") from error
    rests = [name for name in found if name.lower().startswith(RESTS)]
    if not rests:
        raise ContractError(
            f"{folder}: has no image of the gel at rest, such as rest.png, among its {len(found)} images"
        )
    size = found[rests[0]].shape
    for name, image in found.items():
        if image.shape != size:
            raise ContractError(
                f"{folder / name}: {image.shape[1]} x {image.shape[0]} pixels, but {rests[0]} has "
                f"{size[1]} x {size[0]}: all must come from the same camera as it is"
            )
    rest = np.mean([found.pop(name) for name in rests], 0)
    return rest, found


def write_circles(path: Path, presses: Sequence[Press]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "x", "y", "radius"])
        table.writerows([p.name, f"{p.x:.2f}", f"{p.y:.2f}", f"{p.radius:.2f}"] for p in presses)


def read_circles(path: Path, images: dict[str, Array]) -> dict[str, tuple[float, float, float]]:
    """x, y and radius by image. Raises ContractError naming the row."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for k, row in enumerate(rows, 2):
        try:
            place = (float(row["x"]), float(row["y"]), float(row["radius"]))
            name = row["image"]
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"{path}:{k}: must have image, x, y and radius, in pixels") from error
        if name not in images:
            raise ContractError(f"{path}:{k}: there is no press {name!r} in the folder")
        found[name] = place
    return found


def draw(path: Path, calibration: Calibration, presses: Sequence[Press], ball_px: float) -> None:
    """Of presses from first to last: image with its circle, what the table makes of it, what is left."""
    from PIL import Image, ImageDraw

    from robostack_sim.tactile.sensor.fitting import shaded

    shown = [presses[k] for k in np.linspace(0, len(presses) - 1, min(SHOWN, len(presses))).astype(int)]
    height, width = calibration.rest.shape[:2]
    times = max(1, round(240 / width))
    wide, tall, top = width * times + 8, height * times + 8, 20
    sheet = Image.new("RGB", (3 * wide, top + len(shown) * tall), "white")
    pen = ImageDraw.Draw(sheet)
    for k, title in enumerate(("press, and its circle", "by the table", f"what is left, x {STRONGER:g}")):
        pen.text((k * wide + 4, 4), title, fill="black")
    for j, press in enumerate(shown):
        made = shaded(calibration, press, ball_px)
        for k, picture in enumerate((press.image, made, 127.5 + STRONGER * (press.image - made))):
            pixels = np.clip(picture, 0.0, 255.0).astype(np.uint8)
            corner = (k * wide, top + j * tall)
            sheet.paste(
                Image.fromarray(pixels).resize((width * times, height * times), Image.Resampling.NEAREST), corner
            )
            if k == 0:
                x, y, r = (times * v for v in (press.x + 0.5, press.y + 0.5, press.radius))
                pen.ellipse(
                    (corner[0] + x - r, corner[1] + y - r, corner[0] + x + r, corner[1] + y + r), outline="white"
                )
    sheet.save(path)
