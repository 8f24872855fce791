"""Claims: what is begun works at once, installed as a user does, and its own tests say so; nothing is overwritten."""

import json
import os
import subprocess
import sys

import pytest

from robostack import cli
from robostack.commands.new import TEMPLATES
from robostack_sim.quadrotor.vehicle import load_vehicle


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with a task, a device and a vehicle, and the place where the first two are installed."""
    folder = tmp_path_factory.mktemp("begun")
    for kind, name in (("task", "hello"), ("device", "arm_of_mine"), ("vehicle", "my_drone")):
        assert cli.main(["new", kind, name, "--into", str(folder)]) == 0
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    subprocess.run([*pip, "site", "./hello", "./arm_of_mine"], cwd=folder, check=True, capture_output=True, text=True)
    return folder


@pytest.fixture
def installed(begun, monkeypatch):
    """As if they were installed here."""
    monkeypatch.syspath_prepend(str(begun / "site"))
    monkeypatch.chdir(begun)


def test_an_installed_task_is_listed_and_trains(installed, tmp_path, capsys):
    assert cli.main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tasks"]["hello"] == "hello.task:Hello"
    assert found["devices"]["arm_of_mine"] == "arm_of_mine.device:ArmOfMine"
    root = ["--root", str(tmp_path)]
    assert cli.main(["train", "hello", "--quick", "--json", *root]) == 0
    assert json.loads(capsys.readouterr().out)["iterations"] == 12
    assert cli.main(["export", "hello", *root]) == 0
    assert cli.main(["evaluate", "hello", "--episodes", "8", *root]) == 0


def test_the_tests_that_come_along_pass(begun):
    environment = {**os.environ, "PYTHONPATH": str(begun / "site"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "hello", "arm_of_mine", "my_drone"]
    done = subprocess.run(command, cwd=begun, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


def test_nothing_of_the_template_is_left(begun):
    for path in (p for p in begun.rglob("*") if p.is_file() and "site" not in p.parts and p.suffix != ".pyc"):
        text = str(path.relative_to(begun)) + path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("my_task", "MyTask", "my_device", "MyDevice", "my_vehicle")), path


def test_the_vehicle_begins_as_the_shipped_crazyflie():
    template, shipped = load_vehicle(TEMPLATES / "vehicle/my_vehicle.toml"), load_vehicle("crazyflie_2_1")
    assert template.numbers == shipped.numbers


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("task", "Hello", "such as hello"),
        ("task", "my task", "such as my_task"),
        ("task", "9lives", "no name for a task"),
        ("task", "class", "no word of Python's"),
        ("device", "é", "no name for a device"),
        ("vehicle", "a" * 49, "at most 48"),
        ("task", "../up", "such as up"),
        ("task", "", "no name for a task"),
        ("task", "json", "a Python module that is installed"),
        ("task", "quadrotor", "comes with robostack"),
        ("device", "epics", "comes with robostack"),
    ],
)
def test_a_name_that_will_not_do_is_refused_with_what_would(tmp_path, capsys, kind, name, said):
    assert cli.main(["new", kind, name, "--into", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/task.py").write_text("my work")
    assert cli.main(["new", "task", "mine", "--into", str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "task.py"]


def test_a_place_that_is_none_is_named_and_a_full_one_leaves_nothing_half_made(tmp_path, capsys, monkeypatch):
    assert cli.main(["new", "task", "mine", "--into", str(tmp_path / "absent")]) == 1
    assert "there is no such folder" in capsys.readouterr().err

    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    assert cli.main(["new", "task", "mine", "--into", str(tmp_path)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_script_is_told_the_files_and_what_comes_next(tmp_path, capsys):
    assert cli.main(["new", "vehicle", "mine", "--into", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["files"]) == sorted(str(p) for p in (tmp_path / "mine").iterdir())
    assert found["next"].startswith("robostack train quadrotor --vehicle ")
