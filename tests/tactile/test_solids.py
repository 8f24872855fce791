"""Claims: a solid's distance is exact inside and out, and its gradient is the way to the nearest surface."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robostack_sim.tactile.sensor.solids import (
    Box,
    Cylinder,
    Indenters,
    Prism,
    Solid,
    Sphere,
    hex_nut,
    octagonal_peg,
    round_peg,
)

SOLIDS: dict[str, Solid] = {
    "sphere": Sphere(0.006),
    "round peg": round_peg(0.016, 0.05),
    "box": Box(0.016, 0.02, 0.03),
    "hex nut": hex_nut(0.024, 0.013, 0.0068),
    "octagonal peg": octagonal_peg(0.016, 0.05),
    "hexagonal bar": Prism(6, 0.01, 0.04),
}
Points = NDArray[np.float64]


def outline(solid: Solid, n: int) -> Points:
    """n points around a cross section."""
    turn = np.linspace(0.0, 2 * np.pi, n, endpoint=False)
    if isinstance(solid, Box):
        far = 1.0 / np.maximum(np.abs(np.cos(turn)) / (0.5 * solid.x_m), np.abs(np.sin(turn)) / (0.5 * solid.y_m))
    elif isinstance(solid, Prism):
        step = 2 * np.pi / solid.sides
        far = 0.5 * solid.across_flats_m / np.cos((turn + step / 2) % step - step / 2)
    else:
        assert isinstance(solid, Cylinder)
        far = np.full(n, solid.radius_m)
    return np.stack([far * np.cos(turn), far * np.sin(turn)], 1)


def surface(solid: Solid) -> Points:
    """Points all over it, from its description alone."""
    if isinstance(solid, Sphere):
        v = np.random.default_rng(0).normal(size=(20000, 3))
        return solid.radius_m * v / np.linalg.norm(v, axis=1, keepdims=True)
    outer = outline(solid, 240)
    half = 0.5 * (solid.z_m if isinstance(solid, Box) else solid.height_m)
    bore = solid.bore_radius_m if isinstance(solid, Prism) else 0.0
    inner = bore * outer / np.linalg.norm(outer, axis=1, keepdims=True)
    walls = [outer] if bore == 0.0 else [outer, inner]
    parts = [np.c_[wall, np.full(len(wall), z)] for wall in walls for z in np.linspace(-half, half, 40)]
    for share in np.linspace(0.0, 1.0, 20):
        ring = inner + share * (outer - inner)
        parts += [np.c_[ring, np.full(len(ring), z)] for z in (-half, half)]
    return np.concatenate(parts)


def is_inside(solid: Solid, p: Points) -> NDArray[np.bool_]:
    if isinstance(solid, Sphere):
        return np.linalg.norm(p, axis=1) < solid.radius_m
    if isinstance(solid, Box):
        return (np.abs(p) < 0.5 * np.array([solid.x_m, solid.y_m, solid.z_m])).all(1)
    far = np.hypot(p[:, 0], p[:, 1])
    between = np.abs(p[:, 2]) < 0.5 * solid.height_m
    if isinstance(solid, Cylinder):
        return between & (far < solid.radius_m)
    turns = 2 * np.pi * np.arange(solid.sides) / solid.sides
    across = (p[:, :1] * np.cos(turns) + p[:, 1:2] * np.sin(turns)).max(1)
    return between & (across < 0.5 * solid.across_flats_m) & (far > solid.bore_radius_m)


def ask(solid: Solid, points: Points) -> tuple[Points, Points]:
    d, g = Indenters([solid], 1).distance(torch.tensor(points, dtype=torch.float32)[None])
    return d[0].double().numpy(), g[0].double().numpy()


def around(solid: Solid) -> Points:
    reach = np.abs(surface(solid)).max(0) * 1.5
    return np.random.default_rng(1).uniform(-reach, reach, (600, 3))


@pytest.mark.parametrize("solid", SOLIDS.values(), ids=SOLIDS)
def test_the_distance_is_that_of_the_nearest_point_of_the_surface_negative_inside(solid: Solid) -> None:
    points, skin = around(solid), surface(solid)
    d, _ = ask(solid, points)
    assert np.array_equal(d < 0, is_inside(solid, points))
    assert 30 < (d < 0).sum() < 570
    nearest = np.array([np.linalg.norm(skin - p, axis=1).min() for p in points])
    assert (np.abs(d) <= nearest + 1e-7).all()  # nothing is nearer than it says
    assert np.abs(ask(solid, skin)[0]).max() < 1e-7  # and its surface is the solid's


@pytest.mark.parametrize("solid", SOLIDS.values(), ids=SOLIDS)
def test_going_back_by_the_distance_along_the_gradient_ends_on_the_surface(solid: Solid) -> None:
    points = around(solid)
    d, g = ask(solid, points)
    assert np.abs(np.linalg.norm(g, axis=1) - 1.0).max() < 1e-5
    assert np.abs(ask(solid, points - d[:, None] * g)[0]).max() < 1e-7


@pytest.mark.parametrize("solid", SOLIDS.values(), ids=SOLIDS)
def test_the_gradient_is_that_of_finite_differences(solid: Solid) -> None:
    points, h = around(solid), 5e-5
    g = ask(solid, points)[1]
    steps = np.concatenate([points + sign * h * np.eye(3)[k] for k in range(3) for sign in (1, -1)])
    d = ask(solid, steps)[0].reshape(3, 2, -1)
    measured = ((d[:, 0] - d[:, 1]) / (2 * h)).T
    smooth = np.abs(np.linalg.norm(measured, axis=1) - 1.0) < 1e-3  # no ridge within h
    assert smooth.mean() > 0.9
    assert np.abs(g - measured)[smooth].max() < 0.03


def test_on_the_axis_and_in_the_middle_nothing_is_not_a_number() -> None:
    for solid in SOLIDS.values():
        d, g = ask(solid, np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.001], [0.0, 0.0, 0.1]]))
        assert np.isfinite(d).all() and np.isfinite(g).all()


def test_an_octagonal_peg_is_as_wide_across_its_flats_as_a_round_one_and_wider_across_its_corners() -> None:
    eighth = math.pi / 8
    corner = [[0.008 / math.cos(eighth) * math.cos(eighth), 0.008 / math.cos(eighth) * math.sin(eighth), 0.0]]
    assert abs(ask(octagonal_peg(0.016, 0.05), np.array([[0.008, 0.0, 0.0]]))[0][0]) < 1e-8
    assert abs(ask(octagonal_peg(0.016, 0.05), np.array(corner))[0][0]) < 1e-8
    assert ask(round_peg(0.016, 0.05), np.array(corner))[0][0] == pytest.approx(
        0.008 / math.cos(eighth) - 0.008, abs=1e-8
    )


def test_environments_have_solids_of_their_own() -> None:
    indenters = Indenters([Sphere(0.005), Box(0.01, 0.01, 0.01), Sphere(0.004)], 4)
    points = torch.tensor([0.007, 0.0, 0.0]).expand(4, 1, 3)
    assert indenters.distance(points)[0][:, 0].tolist() == pytest.approx([0.002] * 4)
    indenters.choose([2, 1], torch.tensor([1, 3]))
    assert indenters.distance(points)[0][:, 0].tolist() == pytest.approx([0.002, 0.003, 0.002, 0.002], abs=1e-8)
    indenters.numbers[0, 0] = 0.006  # a size drawn anew, in place
    assert indenters.distance(points)[0][0, 0].item() == pytest.approx(0.001, abs=1e-8)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Sphere(6.0), "Sphere: radius_m = 6.0.*millimetres"),
        (lambda: Sphere(-0.006), "radius_m = -0.006"),
        (lambda: Cylinder(0.008, 0.0), "Cylinder: height_m = 0.0"),
        (lambda: Box(0.01, float("nan"), 0.01), "Box: y_m = nan"),
        (lambda: Prism(7, 0.016, 0.05), "sides = 7: must be 6 or 8"),
        (lambda: hex_nut(0.024, 0.013, 0.012), "bore_radius_m = 0.012: leaves nothing of across_flats_m = 0.024"),
        (lambda: Indenters([], 3), "no solids"),
        (lambda: Indenters([Sphere(0.006)], 3).choose([0, 1, 0]), "which has 0 to 1: 0 to 0"),
        (lambda: Indenters([Sphere(0.006)], 3).distance(torch.zeros(2, 1, 3)), "2 environments, there are 3"),
    ],
)
def test_what_is_no_solid_is_refused_by_name(make, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
