"""Claims: from images of a ball's prints comes the table that made them, or a line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("PIL")

from PIL import Image
from pressing import LYING, UPRIGHT

from robostack import cli
from robostack_sim.tactile.sensor.calibration import from_taxim, three_lights
from robostack_sim.tactile.sensor.fitting import NoPrint, find_print, fit, slopes
from robostack_sim.tactile.sensor.image import Camera, TactileImage
from robostack_sim.tactile.sensor.pads import Grip
from robostack_sim.tactile.sensor.solids import Indenters, Sphere, round_peg

BALL_M, PIXEL_M, N = 0.004, 3e-4, 32
KNOWN = three_lights()


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    """(N, 3) x, y and depth, m."""
    random = np.random.default_rng(1)
    return random.uniform((-0.008, -0.005, 3e-4), (0.008, 0.005, 1.1e-3), (N, 3))


@pytest.fixture(scope="module")
def images(places: np.ndarray) -> np.ndarray:
    return seen(Sphere(BALL_M), [(x, y, BALL_M - d, *UPRIGHT) for x, y, d in places])


@pytest.fixture
def folder(images: np.ndarray, tmp_path: Path) -> Path:
    save(tmp_path / "rest.png", np.clip(KNOWN.rest, 0, 255))
    for k, image in enumerate(images):
        save(tmp_path / f"press_{k:02d}.png", image)
    return tmp_path


def seen(solid, poses, calibration=KNOWN) -> np.ndarray:
    grip = Grip(len(poses), 1)
    view = TactileImage(Camera(), grip, Indenters([solid], len(poses)), calibration)
    pads = torch.tensor([0.0, 0.0, 0.0, *UPRIGHT]).expand(len(poses), 1, 7)
    grip.update(pads, torch.tensor(poses, dtype=torch.float32))
    return view.render()[:, 0].numpy().copy()


def save(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image.round().astype(np.uint8)).save(path)


def calibrate(folder: Path, *words: str, ball_m: float = BALL_M) -> int:
    line = ["calibrate-tactile", str(folder), "--ball-radius-m", str(ball_m), "--pixel-m", str(PIXEL_M), *words]
    return cli.main(line)


def test_it_finds_each_print_to_a_fifth_of_a_pixel(images, places):
    rest = np.clip(KNOWN.rest, 0, 255)
    for image, (x, y, deep) in zip(images[:8], places, strict=False):
        found = find_print("a", image.astype(float), rest, BALL_M / PIXEL_M)
        true = (x / PIXEL_M + 39.5, y / PIXEL_M + 29.5, np.sqrt(2 * BALL_M * deep - deep**2) / PIXEL_M)
        assert (found.x, found.y, found.radius) == pytest.approx(true, abs=0.2)


def test_the_table_that_made_the_images_comes_back(folder, capsys):
    assert calibrate(folder, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["presses"] > 0.7 * N and said["presses"] + len(said["left_out"]) == N
    assert said["residual"] < 0.1 * said["change"] and said["residual_unseen"] < 0.15 * said["change"]
    found = from_taxim(Path(said["out"]))
    assert np.abs(found.rest - KNOWN.rest).max() <= 0.5
    peg = round_peg(0.016, 0.05)  # another solid, whose slopes the balls had
    pose = [(0.001, 0.0, 0.0075, *LYING)]
    true, made = (seen(peg, pose, table)[0].astype(float) for table in (KNOWN, found))
    change = true - np.clip(KNOWN.rest, 0, 255)
    assert np.sqrt(np.mean((true - made) ** 2)) < 0.15 * np.sqrt(np.mean(change**2))
    with Image.open(folder / "calibration/calibration.png") as sheet:
        assert sheet.size == (3 * 248, 20 + 6 * 188)


def test_circles_by_hand_are_taken_as_they_are(folder, capsys):
    for k in range(12, N):
        (folder / f"press_{k:02d}.png").unlink()
    assert calibrate(folder, "--bins", "30") == 0
    circles = folder / "calibration/circles.csv"
    lines = circles.read_text().splitlines()
    edited = folder / "mine.csv"
    edited.write_text("\n".join(lines[:11]))
    assert calibrate(folder, "--bins", "30", "--circles", str(edited), "--out", str(folder / "other")) == 0
    assert (folder / "other/circles.csv").read_text().splitlines() == lines[:11]
    edited.write_text("image,x,y,radius\nnone.png,1,2,3")
    assert calibrate(folder, "--circles", str(edited)) == 1
    assert "mine.csv:2: there is no press 'none.png'" in capsys.readouterr().err
    edited.write_text("image,x,y\npress_00.png,1,2")
    assert calibrate(folder, "--circles", str(edited)) == 1
    assert "mine.csv:2: must have image, x, y and radius" in capsys.readouterr().err


def test_what_is_wrong_with_a_folder_is_said(folder, images, capsys):
    def says(words: str, **options) -> None:
        assert calibrate(folder, **options) == 1
        assert words in capsys.readouterr().err

    save(folder / "press_03.png", images[3][:30])
    says("press_03.png: 80 x 30 pixels, but rest.png has 80 x 60")
    (folder / "press_03.png").write_text("no image")
    says("press_03.png: is no image")
    for k in range(7, N):
        (folder / f"press_{k:02d}.png").unlink()
    save(folder / "press_03.png", images[3])
    says("at least 8 are needed")
    for k in range(7):
        save(folder / f"press_{k:02d}.png", np.clip(KNOWN.rest, 0, 255))
    says("0 of 7 presses can be used: press_00.png: shows no print")
    (folder / "rest.png").unlink()
    says("has no image of the gel at rest, such as rest.png, among its 7 images")
    says("is 0.3 pixels: of so small a ball no slope can be seen", ball_m=1e-4)


def test_a_print_that_the_border_cuts_off_is_left_out():
    rest = np.clip(KNOWN.rest, 0, 255)
    (cut,) = seen(Sphere(BALL_M), [(0.0115, 0.0, BALL_M - 1e-3, *UPRIGHT)])
    with pytest.raises(NoPrint, match="cut off by the border"):
        find_print("a", cut.astype(float), rest, BALL_M / PIXEL_M)


def test_a_few_presses_are_refused_by_the_fit_too():
    with pytest.raises(ValueError, match="0 presses with a whole print, at least 8"):
        fit(np.zeros((60, 80, 3)), [], 13.0)


def test_slopes_inside_a_print_are_the_balls_own():
    gx, gy = slopes((61, 81), 40.0, 30.0, 8.0, 13.0)
    assert gx[30, 44] == pytest.approx(-4.0 / np.sqrt(13.0**2 - 4.0**2), rel=0.05)
    assert gy[30, 40] == 0.0 and gx[30, 60] == 0.0
