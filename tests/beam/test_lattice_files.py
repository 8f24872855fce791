"""Claims: a lattice file is read with its units, and one that is wrong is refused by file, part, field and value."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from lines import IONS

from robostack.spec import ContractError
from robostack_sim.beam.lattice import Bpm, Corrector, Solenoid
from robostack_sim.beam.lattice_files import load_lattice, read_lattice_json, shipped

GOOD = files("robostack_sim.beam").joinpath("lattices", "cafe2_cm1.toml").read_text()


def test_the_shipped_line_is_the_published_one() -> None:
    assert "cafe2_cm1" in shipped()
    lattice = load_lattice("cafe2_cm1")
    assert lattice.beam.kinetic_ev / 40 == pytest.approx(1.356e6)
    assert len(lattice.bpms) == 5 and len(lattice.corrector_names) == 10
    assert lattice.length_m / 5 == pytest.approx(0.64, abs=0.01)
    first, second = (e for e in lattice.elements if e.name in ("solenoid_1", "solenoid_2"))
    assert isinstance(first, Solenoid) and isinstance(second, Solenoid)
    assert first.field_t == -second.field_t > 0


def test_a_users_copy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("value = 2.68", "value = 2.5"))
    assert load_lattice(path).elements[1].field_t == 2.5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("value = 0.35,", "value = -0.35,", r"part\.solenoid\.length\.value = -0\.35: must lie in \[0, 10000\] m"),
        ("value = 0.35,", "value = nan,", r"part\.solenoid\.length\.value = nan"),
        ("value = 0.35,", 'value = "0.35",', r"part\.solenoid\.length\.value = '0\.35'"),
        ('unit = "T"', 'unit = "G"', r"part\.solenoid\.field\.unit = 'G': must be 'T'"),
        ('kind = "bpm"', 'kind = "bmp"', r"part\.bpm: kind = 'bmp'"),
        ("field = {", "filed = {", r"part\.solenoid: missing \['field'\]"),
        ('kind = "bpm"', 'kind = "bpm"\nfield = 3', r"part\.bpm: unknown \['field'\]"),
        ('"-solenoid", "half', '"-sol", "half', r"line: 'sol' is no part"),
        ("steering = {", "# {", r"solenoid_1: a corrector needs"),
        ("current_max = {", "# {", r"solenoid_1: a corrector needs"),
        ('name = "cafe2_cm1"', "", r"has \['beam', 'line', 'part'\]"),
        ("mass = {", "mess = {", r"beam\.mass"),
        ("value = 1.7e5", "value = 1e300", r"part\.gap\.voltage"),
        ("[beam]", "[beam", "not a TOML file"),
    ],
)
def test_a_wrong_lattice_is_refused_by_name(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = tmp_path / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ContractError, match=rf"mine\.toml.*{named}"):
        load_lattice(path)


def test_an_unknown_lattice_lists_the_shipped_ones() -> None:
    with pytest.raises(ContractError, match=r"cafe2_cm2.*cafe2_cm1"):
        load_lattice("cafe2_cm2")


LATTICE_JSON = {
    "version": "cheetah-0.8",
    "root": "line",
    "elements": {
        "d": ["Drift", {"length": 0.4, "tracking_method": "linear"}],
        "q": ["Quadrupole", {"length": 0.2, "k1": 3.0, "tilt": 0.0}],
        "s": ["Solenoid", {"length": 0.3, "k": 2.0}],
        "h": ["HorizontalCorrector", {"length": 0.1, "angle": 1e-3}],
        "b": ["BPM", {"is_active": True}],
        "a": ["Aperture", {"x_max": 0.01, "y_max": 0.02}],
    },
    "lattices": {"cell": ["q", "b"], "line": ["d", "h", "cell", "s", "a"]},
}


def test_lattice_json_is_read_with_the_beams_rigidity(tmp_path: Path) -> None:
    path = tmp_path / "line.json"
    path.write_text(json.dumps(LATTICE_JSON))
    lattice = read_lattice_json(path, IONS)
    assert [e.name for e in lattice.elements] == ["d", "h", "q", "b", "s", "a"]
    drift, corrector, quadrupole, bpm, solenoid, aperture = lattice.elements
    assert drift.length_m == 0.4 and isinstance(bpm, Bpm) and aperture.aperture_m == 0.01
    assert isinstance(corrector, Corrector) and lattice.corrector_names == ("h_h",)
    assert quadrupole.gradient_t_m / IONS.rigidity_t_m == pytest.approx(3.0)  # type: ignore[attr-defined]
    assert solenoid.field_t / (2 * IONS.rigidity_t_m) == pytest.approx(2.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"d": ["Drift", {"length": -1.0}]}, "element d: length_m = -1.0"),
        ({"d": ["Drift", {"length": [0.1, 0.2]}]}, r"element d: length = \[0.1, 0.2\]"),
        ({"d": ["Cavity", {"length": 1.0}]}, "element d: a Cavity is not read"),
        ({"q": ["Quadrupole", {"length": 0.2, "tilt": 0.1}]}, "element q: tilt"),
        ({"q": ["Quadrupole"]}, "not a LatticeJSON file"),
    ],
)
def test_what_lattice_json_cannot_say_to_us_is_named(tmp_path: Path, change: dict, named: str) -> None:
    path = tmp_path / "line.json"
    path.write_text(json.dumps({**LATTICE_JSON, "elements": {**LATTICE_JSON["elements"], **change}}))
    with pytest.raises(ContractError, match=rf"line\.json.*{named}"):
        read_lattice_json(path, IONS)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"elements": {}, "lattices": {"a": ["a"]}, "root": "a"}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "line.json"
    path.write_text(text)
    with pytest.raises(ContractError, match=r"line\.json: not a LatticeJSON file"):
        read_lattice_json(path, IONS)
    with pytest.raises(ContractError, match=r"line\.json: not a LatticeJSON file"):
        read_lattice_json(tmp_path / "absent" / "line.json", IONS)
