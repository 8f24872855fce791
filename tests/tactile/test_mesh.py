"""Claims: a mesh is as good an indenter as a formula, and one that closes no volume is refused by name."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robostack_sim.tactile.sensor import mesh
from robostack_sim.tactile.sensor.mesh import Mesh, bake, load_mesh
from robostack_sim.tactile.sensor.solids import Box, Indenters

# a box of 10 x 12 x 8 mm, seen from outside counter-clockwise
CORNERS = np.array([[x, y, z] for x in (-5.0, 5.0) for y in (-6.0, 6.0) for z in (-4.0, 4.0)])
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))])
SAME = Box(0.01, 0.012, 0.008)
SPACING = 5e-4


@pytest.fixture
def baked(tmp_path: Path) -> Mesh:
    return bake(CORNERS * 1e-3, FACES, SPACING, cache=tmp_path)


def points(reach_m: float, n: int = 400) -> torch.Tensor:
    draw = np.random.default_rng(0).uniform(-reach_m, reach_m, (1, n, 3))
    return torch.tensor(draw, dtype=torch.float32)


def test_a_meshs_distance_and_normal_are_the_solids_but_for_its_lattice(baked: Mesh) -> None:
    at = points(1.0) * torch.tensor([0.0058, 0.0068, 0.0048])
    d, g = Indenters([baked], 1).distance(at)
    true_d, true_g = Indenters([SAME], 1).distance(at)
    assert (d - true_d).abs().max().item() < 0.5 * SPACING  # at edges
    flat = (at[0].abs() < torch.tensor([0.004, 0.005, 0.003])).sum(1) == 2  # before one face and away from its edges
    flat &= true_d[0] > -0.0006
    assert flat.sum() > 30
    assert (d - true_d)[0, flat].abs().max().item() < 1e-6
    flat &= true_d[0] < 0.0005  # the gradient looks half a spacing around, and must not look beyond the lattice
    assert (g - true_g)[0, flat].abs().max().item() < 0.01


def test_outside_its_lattice_a_mesh_is_further_away_than_nothing_and_no_further_than_it_is(baked: Mesh) -> None:
    at = points(0.05)
    d = Indenters([baked], 1).distance(at)[0]
    true_d = Indenters([SAME], 1).distance(at)[0]
    outside = true_d[0] > 0.003
    assert outside.sum() > 300
    assert (d <= true_d + 0.5 * SPACING)[0, outside].all()
    assert (d > 0.6 * true_d)[0, outside].all()


def test_meshes_and_solids_are_in_one_scene(baked: Mesh) -> None:
    other = bake(CORNERS * 5e-4, FACES, SPACING, name="half as large")
    indenters = Indenters([baked, SAME, other], 3)
    indenters.choose([0, 1, 2])
    d = indenters.distance(torch.tensor([[[0.0, 0.0, 0.0045]], [[0.0, 0.0, 0.0045]], [[0.0, 0.0, 0.0025]]]))[0]
    assert d[:, 0].tolist() == pytest.approx([0.0005] * 3, abs=1e-6)


def test_a_mesh_is_baked_once_and_a_spoilt_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    really = mesh._bake
    monkeypatch.setattr(mesh, "_bake", lambda *given: calls.append(1) or really(*given))
    first = bake(CORNERS * 1e-3, FACES, SPACING, cache=tmp_path)
    again = bake(CORNERS * 1e-3, FACES, SPACING, cache=tmp_path)
    assert len(calls) == 1 and np.array_equal(first.lattice, again.lattice)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    spoilt = bake(CORNERS * 1e-3, FACES, SPACING, cache=tmp_path)
    assert len(calls) == 2 and np.array_equal(first.lattice, spoilt.lattice)
    bake(CORNERS * 1e-3, FACES, 2 * SPACING, cache=tmp_path)
    assert len(calls) == 3


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert bake(CORNERS * 1e-3, FACES, SPACING, cache=tmp_path / "file").lattice.min() < 0


def binary_stl(path: Path, corners: NDArray[np.float64], faces: NDArray[np.int64]) -> Path:
    triangles = b"".join(struct.pack("<12fH", 0, 0, 0, *corners[f].ravel(), 0) for f in faces)
    path.write_bytes(b"solid, says the header".ljust(80) + struct.pack("<I", len(faces)) + triangles)
    return path


def text_stl(path: Path, corners: NDArray[np.float64], faces: NDArray[np.int64]) -> Path:
    lines = ["solid box"]
    for f in faces:
        vertices = [f"vertex {x} {y} {z}" for x, y, z in corners[f]]
        lines += ["facet normal 0 0 0", "outer loop", *vertices, "endloop", "endfacet"]
    path.write_text("\n".join([*lines, "endsolid box", ""]))
    return path


def obj(path: Path, corners: NDArray[np.float64], faces: NDArray[np.int64]) -> Path:
    lines = [f"v {x} {y} {z}" for x, y, z in corners]
    lines += ["f " + " ".join(f"{n + 1}//1" for n in quad) for quad in QUADS]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(("write", "name"), [(binary_stl, "a.stl"), (text_stl, "b.STL"), (obj, "c.obj")])
def test_a_file_of_each_kind_is_the_same_box(write, name: str, tmp_path: Path) -> None:
    found = load_mesh(write(tmp_path / name, CORNERS, FACES), 1e-3, SPACING, cache=tmp_path)
    d = Indenters([found], 1).distance(torch.tensor([[[0.0, 0.0, 0.0], [0.006, 0.0, 0.0]]]))[0]
    assert d[0].tolist() == pytest.approx([-0.004, 0.001], abs=1e-6)


@pytest.mark.parametrize(
    ("corners", "faces", "spacing", "says"),
    [
        (CORNERS * 1e-3, FACES[:-1], SPACING, "cup: not watertight: 3 edges have a face on one side only.* m; close"),
        (CORNERS * 1e-3, FACES[:, ::-1], SPACING, "cup: inside out"),
        (CORNERS * 1e-3, np.concatenate([FACES[:6], FACES[6:, ::-1]]), SPACING, "cup: not watertight"),
        (CORNERS * 1e-3, np.concatenate([FACES, FACES[:1]]), SPACING, "cup: not watertight: 3 edges have several"),
        (CORNERS, FACES, SPACING, "cup: 12 m long; is it in millimetres"),
        (CORNERS * 1e-3, FACES, 1e-5, "cup: spacing_m = 1e-05 makes a lattice of .* points, more than"),
        (CORNERS * float("nan"), FACES, SPACING, "cup: no mesh"),
        (CORNERS * 1e-3, FACES + 1, SPACING, "cup: no mesh"),
        (CORNERS * 1e-3, FACES[:0], SPACING, "cup: no mesh: 8 points, 0 faces"),
    ],
)
def test_a_mesh_that_closes_no_volume_is_refused_by_name(corners, faces, spacing: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        bake(corners, faces, spacing, name="cup")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.step", b"", "an .stl or .obj file"),
        ("a.stl", b"solid\nendsolid", "no triangles"),
        ("a.stl", b"\x00\xff" * 60, "not a mesh of that kind"),
        ("a.stl", b"solid\nvertex 1 2 3\nvertex 1 2", "not a mesh of that kind"),
        ("a.obj", b"v 1 2 x", "not a mesh of that kind"),
        ("a.obj", b"v 1 2 3", "no triangles"),
    ],
)
def test_a_file_that_is_no_mesh_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says) as raised:
        load_mesh(tmp_path / name)
    assert name in str(raised.value)
