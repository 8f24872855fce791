"""Claims: an image is Taxim's formula on the blurred depth of the gel, and what nothing touches looks as at rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pressing import LYING, UPRIGHT

from robostack_sim.tactile.sensor.calibration import Calibration, from_taxim, three_lights
from robostack_sim.tactile.sensor.force_field import Bristle, ForceField
from robostack_sim.tactile.sensor.image import Camera, TactileImage
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Box, Indenters, Solid, Sphere, round_peg

BALL, BLOCK, PEG = Sphere(0.004), Box(0.006, 0.009, 0.01), round_peg(0.016, 0.05)
Array = NDArray[np.float64]


def looking_at(solid: Solid, calibration: Calibration | None = None, camera: Camera | None = None, n: int = 2):
    grip, indenters = Grip(n, 1), Indenters([solid], n)
    return TactileImage(camera or Camera(), grip, indenters, calibration)


def press(image: TactileImage, position_m, quat_wxyz=UPRIGHT) -> NDArray[np.uint8]:
    n = image.grip.num_envs
    pads = torch.tensor([0.0, 0.0, 0.0, *UPRIGHT]).expand(n, 1, 7)
    image.grip.update(pads, torch.tensor([*position_m, *quat_wxyz]).expand(n, 7))
    return image.render()[0, 0].numpy().copy()


def blurred(deep: Array) -> Array:
    weights = np.array([1, 4, 6, 4, 1]) / 16
    wide = np.pad(deep, 2, mode="edge")
    down = sum(w * wide[k : k + len(deep)] for k, w in enumerate(weights))
    return sum(w * down[:, k : k + deep.shape[1]] for k, w in enumerate(weights))


def taxims(deep: Array, pitch_m: float, calibration: Calibration) -> Array:
    """Its formula, pixel by pixel, of a calibration with as many pixels."""
    edge = np.pad(deep, 1, mode="edge") / pitch_m
    gx, gy = 0.5 * (edge[1:-1, 2:] - edge[1:-1, :-2]), 0.5 * (edge[2:, 1:-1] - edge[:-2, 1:-1])
    bins = len(calibration.table) - 1
    steep = np.floor(np.arctan(np.hypot(gx, gy)) / (np.pi / 2) * bins).astype(int)
    way = np.floor((np.arctan2(gy, gx) + np.pi) / (2 * np.pi) * bins).astype(int)
    y, x = np.mgrid[: len(deep), : deep.shape[1]]
    basis = np.stack([x * x, y * y, x * y, x, y, np.ones_like(x)], -1)
    bent = np.einsum("ijkc,ijc->ijk", calibration.table[steep, way], basis)
    return np.clip(calibration.rest + np.where((gx != 0) | (gy != 0), 1, 0)[..., None] * bent, 0, 255)


def test_an_image_is_taxims_formula_of_the_blurred_depth_of_a_ball() -> None:
    draw = np.random.default_rng(0)
    table = np.concatenate([draw.normal(0, 1e-3, (90, 90, 3, 3)), draw.normal(0, 0.1, (90, 90, 3, 3))], -1)
    calibration = Calibration(table.astype(np.float32), draw.uniform(80, 150, (60, 80, 3)).astype(np.float32))
    image = looking_at(BALL, calibration)
    seen = press(image, (1e-3, -5e-4, 0.0032))
    y, x = (np.mgrid[:60, :80] - np.array([29.5, 39.5])[:, None, None]) * 3e-4
    far2 = (x - 1e-3) ** 2 + (y + 5e-4) ** 2
    deep = np.maximum(np.sqrt(np.maximum(0.004**2 - far2, 0)) - 0.0032, 0)
    expected = taxims(blurred(deep), 3e-4, calibration)
    off = np.abs(seen - expected).max(-1)
    # a slope next to a bin's edge may fall in the next
    assert (off <= 1.0).mean() > 0.99 and (seen != np.round(calibration.rest)).any(-1).mean() > 0.05


def test_untouched_the_gel_looks_as_at_rest() -> None:
    image = looking_at(BLOCK)
    rest = np.clip(three_lights().rest, 0, 255)
    assert np.abs(press(image, (0.0, 0.0, 0.02)) - rest).max() <= 0.5 + 1e-3
    assert np.array_equal(image.rest()[0, 0].numpy(), press(image, (0.0, 0.0, 0.02)))
    assert not image.difference().any()


def test_a_flat_face_shows_its_edges_each_in_the_colour_of_the_light_that_it_faces() -> None:
    image = looking_at(BLOCK)
    press(image, (0.0, 0.0, 0.0046))
    change = image.difference()[0, 0].float()
    assert not change[24:36, 34:46].any()  # the face itself is level
    left, right = change[25:35, 26:34].mean((0, 1)), change[25:35, 46:54].mean((0, 1))
    # the red light stands at +x, and the skin left of the block leans towards it
    assert left[0] > 5.0 and right[0] < -5.0
    top, bottom = change[10:17, 36:44].mean((0, 1)), change[43:50, 36:44].mean((0, 1))
    assert top[1] > bottom[1] and top[2] < bottom[2]


def test_a_load_makes_the_print_that_its_field_says_however_shallow_the_solver_is() -> None:
    image = looking_at(PEG)
    field = ForceField(Pad(), image.grip, image.indenters, Bristle())
    press(image, (0.0, 0.0, 0.0081), LYING)
    assert not image.difference().any()
    wide = []
    for load in (2.0, 15.0):
        field.step(torch.tensor([0.0, 0.0, load]).expand(2, 1, 3))
        image.render(field)
        wide.append(image.difference()[0, 0, 30].abs().amax(-1).nonzero().numel())
    assert 4 < wide[0] < wide[1]


def test_a_folder_of_taxims_is_read_with_its_colours_in_their_places(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        from_taxim(tmp_path)
    draw = np.random.default_rng(0)
    table = {f"grad_{c}": draw.normal(size=(9, 9, 6)) for c in "rgb"}
    rest = draw.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "polycalib.npz", bins=9, **table)
    np.savez(tmp_path / "dataPack.npz", f0=rest)
    found = from_taxim(tmp_path)
    assert np.array_equal(found.table[:, :, 0], table["grad_b"].astype(np.float32))
    assert np.array_equal(found.rest[..., 0], rest[..., 2])
    assert press(looking_at(BALL, found), (0.0, 0.0, 0.0035)).shape == (60, 80, 3)
    np.savez(tmp_path / "dataPack.npz", background=rest)
    with pytest.raises(ValueError, match=r"dataPack\.npz: has no 'f0', but background"):
        from_taxim(tmp_path)


def test_markers_go_with_the_shear() -> None:
    image = looking_at(PEG, camera=Camera(markers=(8, 6)))
    field = ForceField(Pad(), image.grip, image.indenters, Bristle())
    press(image, (0.0, 0.0, 0.0068), LYING)
    field.step()
    plain = image.render(field)[0, 0].clone().float()
    assert (plain < 0.5 * image.calibration.rest.min()).any()
    press(image, (3e-4, 0.0, 0.0068), LYING)
    field.step()
    image.render(field)
    moved = image._middles[0, 0].clone()
    press(image, (3e-4, 0.0, 0.05), LYING)
    field.step()
    image.render(field)
    shift = (moved - image._middles[0, 0]).view(6, 8, 2)
    assert shift[2:4, 3:5, 0].mean().item() == pytest.approx(3e-4 / 3e-4, rel=0.1)  # a pixel
    assert shift[:, [0, -1]].abs().max().item() < 1e-3


def test_the_size_of_an_image_is_free_and_a_calibration_is_fitted_to_it() -> None:
    small, large = looking_at(BALL, three_lights()), looking_at(BALL, three_lights(), Camera(320, 240, 7.5e-5))
    a, b = press(small, (0.0, 0.0, 0.0032)), press(large, (0.0, 0.0, 0.0032))
    assert b.shape == (240, 320, 3)
    rest = press(small, (0.0, 0.0, 0.05)), press(large, (0.0, 0.0, 0.05))
    coarse = rest[1].reshape(60, 4, 80, 4, 3).mean((1, 3))
    assert np.abs(coarse - rest[0]).max() < 2.0
    assert a.std() == pytest.approx(b.std(), rel=0.2)


def test_drawn_colours_are_a_swap_a_gain_and_an_offset_of_each_cameras_own() -> None:
    image = looking_at(BALL, n=50)
    plain = press(image, (0.0, 0.0, 0.0032)).astype(float)
    image.draw_colours(swap=True, contrast=0.0, brightness=0.0, generator=torch.Generator().manual_seed(0))
    swapped = image.render()[:, 0].numpy()
    orders = {tuple(int(np.abs(one[..., k, None] - plain).mean((0, 1)).argmin()) for k in range(3)) for one in swapped}
    assert len(orders) == 6
    image.draw_colours(swap=False, contrast=0.2, brightness=0.1, generator=torch.Generator().manual_seed(0))
    matrix = image.colours[3, 0].numpy()
    expected = np.clip(plain @ matrix[:, :3].T + matrix[:, 3], 0, 255)
    assert np.abs(image.render()[3, 0].numpy() - expected).max() <= 1.5
    assert (image.colours[:, 0, 0, 0].std() > 0.05) and (image.colours[:, 0, 0, 3].std() > 5.0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Camera(100, 60), "100 x 60 pixels: width must be a multiple of 16"),
        (lambda: Camera(pitch_m=3.0), "pitch_m = 3.0"),
        (lambda: Camera(markers=(8, 0)), r"markers = \(8, 0\): at least one"),
        (lambda: Calibration(np.zeros((3, 4, 3, 6)), np.zeros((60, 80, 3))), r"table is \(3, 4, 3, 6\)"),
        (lambda: Calibration(np.zeros((4, 4, 3, 6)), np.zeros((60, 80))), r"rest is \(60, 80\)"),
        (lambda: TactileImage(Camera(), Grip(2), Indenters([BALL], 3)), "2 grips, but 3 indenters"),
    ],
)
def test_what_is_no_camera_is_named(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
