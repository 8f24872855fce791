"""Claims: what a user installs has everything in it, and what CI installs is what pyproject allows."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "robostack", "sim", "real", "firmware")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in the wheel, built from a copy so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name, **({"ignore": skip} if copy is shutil.copytree else {}))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", "dist", "."],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(zipfile.ZipFile(next((folder / "dist").glob("*.whl"))).namelist())


def test_the_wheel_has_every_module(wheel):
    for package, folder in (
        ("robostack", "robostack"),
        ("robostack_sim", "sim/robostack_sim"),
        ("robostack_real", "real/robostack_real"),
    ):
        modules = {f"{package}/{p.relative_to(ROOT / folder)}" for p in (ROOT / folder).rglob("*.py")}
        assert modules - wheel == set()


def test_the_wheel_has_every_c_source_and_linker_script(wheel):
    sources = {f"robostack/firmware/{p.relative_to(ROOT / 'firmware')}"
               for p in (ROOT / "firmware").rglob("*") if p.suffix in (".c", ".h", ".ld")}  # fmt: skip
    assert len(sources) > 5
    assert sources - wheel == set()


def test_the_wheel_has_the_parameter_files_and_the_type_markers(wheel):
    vehicles = {
        f"robostack_sim/{p.relative_to(ROOT / 'sim/robostack_sim')}"
        for p in (ROOT / "sim/robostack_sim").rglob("*.toml")
    }
    assert vehicles
    typed = {f"{package}/py.typed" for package in ("robostack", "robostack_sim", "robostack_real")}
    assert (vehicles | typed | {"robostack/evaluate/report_template.html"}) - wheel == set()


def test_the_wheel_carries_its_licence(wheel):
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_every_dependency_is_pinned_within_its_range():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *(r for group in extras.values() for r in group)]:
        requirement = Requirement(text)
        assert pins[requirement.name] in requirement.specifier, text
    assert pins["torch"] == "2.13.0"


def test_the_runtime_needs_no_trainer():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[<>=]", d)[0] for d in project["dependencies"]}
    assert not names & {"torch", "warp-lang", "matplotlib", "tensorboard"}


def test_set_up_does_nothing_twice(tmp_path):
    for name in ("setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    state = subprocess.run(
        "cat pyproject.toml constraints.txt | cksum",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / ".venv/robostack-setup").write_text(f"{state.stdout}dev train\n")
    done = subprocess.run(["./setup.sh", "train"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_interpreter_that_is_too_old_or_absent_is_named(tmp_path):
    for name in ("setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(
        ["env", "PYTHON=no-such-python", "./setup.sh"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "PYTHON=no-such-python" in done.stderr
