"""Claims: what a user installs has everything in it, and what CI installs is what pyproject allows."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "pyproject.toml", "setup.py", "setup.cfg", "package.xml", "README.md", "LICENSE",
    "robostack", "sim", "real", "firmware", "launch", "resource",
)  # fmt: skip


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


def test_the_wheel_has_every_c_source_and_what_builds_them(wheel):
    builders = ("Makefile", "Kbuild", "oot-config", "hot-swap-config")
    sources = {f"robostack/firmware/{p.relative_to(ROOT / 'firmware')}" for p in (ROOT / "firmware").rglob("*")
               if p.suffix in (".c", ".h", ".ld") or p.name in builders}  # fmt: skip
    assert len(sources) > 5
    assert sources - wheel == set()


def test_the_wheel_has_the_parameter_files_and_the_type_markers(wheel):
    vehicles = {
        f"robostack_sim/{p.relative_to(ROOT / 'sim/robostack_sim')}"
        for p in (ROOT / "sim/robostack_sim").rglob("*.toml")
    }
    assert vehicles
    typed = {f"{package}/py.typed" for package in ("robostack", "robostack_sim", "robostack_real")}
    pages = {"robostack/evaluate/report_template.html", "robostack_real/nodes/view.html"}
    characters = ROOT / "sim/robostack_sim/avatar/characters"
    vehicles |= {f"robostack_sim/avatar/characters/{p.relative_to(characters)}" for p in characters.glob("*/policy.*")}
    epics = {f"robostack_real/devices/epics/{name}" for name in ("operator.db", "orbit.bob", "cafe2_cm1.toml")}
    assert (vehicles | typed | pages | epics | {"robostack_real/stacks/fastdds.xml"}) - wheel == set()


def test_the_ros_manifest_is_of_this_version_and_names_the_messages_that_the_wheels_bring():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    assert manifest.findtext("version") == project["version"]
    depends = {d.text for d in manifest.findall("exec_depend")}
    wheels = {Requirement(r).name for r in project["optional-dependencies"]["ros"]}
    assert {w.removeprefix("ros-jazzy-").replace("-", "_") for w in wheels} - depends == set()


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


@pytest.fixture
def checkout(tmp_path):
    """What set-up needs, alone in a folder, with a PATH of its own: `bin/` has no Python and no tool of ours."""
    for name in ("setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname", "cat", "cksum", "sort", "paste", "sed", "tr"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    program(tmp_path, "id", "echo 1000")  # not root: nothing is installed here
    return tmp_path


def program(checkout, name, script):
    (checkout / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (checkout / "bin" / name).chmod(0o755)


def stamp(checkout, extras):
    """As if set-up had installed these."""
    (checkout / ".venv").mkdir()
    command = "cat pyproject.toml constraints.txt | cksum"
    state = subprocess.run(command, shell=True, cwd=checkout, capture_output=True, text=True, check=True).stdout
    (checkout / ".venv/robostack-setup").write_text(f"{state}{extras}\n")


def set_up(checkout, *words, **environment):
    return subprocess.run(
        ["./setup.sh", *words],
        cwd=checkout, env={"PATH": str(checkout / "bin"), **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_set_up_does_nothing_twice(checkout):
    stamp(checkout, "dev train")
    done = set_up(checkout, "train")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_interpreter_that_is_too_old_or_absent_is_named(checkout):
    done = set_up(checkout, PYTHON="no-such-python")
    assert done.returncode == 1
    assert "PYTHON=no-such-python" in done.stderr


@pytest.mark.parametrize(
    ("installed", "taken"),
    [
        ({"python3": True, "python3.13": True}, "python3"),  # wheels are there for a machine's own
        ({"python3": False, "python3.12": True, "python3.11": True}, "python3.12"),
        ({"python3": False}, None),
    ],
)
def test_the_machines_own_python_comes_first_if_it_is_new_enough(checkout, installed, taken):
    for name, new_enough in installed.items():
        program(checkout, name, f"case $* in *version_info*) exit {int(not new_enough)};; *venv*) exit 7;; esac")
    done = set_up(checkout)
    assert done.returncode != 0
    said = f"making .venv with {checkout}/bin/{taken}\x1b" if taken else "needs Python 3.11 or newer"
    assert said in done.stderr


def test_a_tool_that_is_missing_is_a_failure_in_ci_and_named_with_its_remedy_elsewhere(checkout):
    line = "sudo apt-get install make gcc libc6-dev gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
    stamp(checkout, "")
    here = set_up(checkout, "--tools")
    assert here.returncode == 0
    assert f"{line}\n" in here.stderr
    tests = set_up(checkout, "--test-tools")
    assert f"{line} cppcheck clang libclang-rt-dev openssh-client openssl jq fish zsh chromium\n" in tests.stderr
    in_ci = set_up(checkout, "--test-tools", CI="true")
    assert in_ci.returncode == 1
    assert "missing: make gcc" in in_ci.stderr


def test_an_unknown_option_of_set_up_is_named(checkout):
    done = set_up(checkout, "--tolls")
    assert (done.returncode, "--tolls" in done.stderr) == (1, True)
