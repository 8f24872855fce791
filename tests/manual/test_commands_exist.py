"""Claim: whatever a page tells somebody to type is there: verbs, options and settings, targets, extras, files.

Nothing is run here; what can be run in seconds is, in test_commands_run.py.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pages import PAGES, ROOT, blocks, commands, lines

from robostack import cli, registry
from robostack.commands.new import TEMPLATES
from robostack.run_folder import RunFolder

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEACHERS = ("quadrotor", "tactile_placement")
OWN = {"hello", "my_task"}
"""tasks that a reader began by `robostack new task`"""
OTHERS = {
    ".", "cd", "colcon", "cp", "done", "export", "for", "git", "grep", "jq", "kill", "mkdir", "pytest",
    "python3", "sed", "sleep", "ssh-keygen", "sudo", "touch",
}  # fmt: skip
"""programs that are not ours, and words of the shell"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which experts were trained, as far as their students' settings can tell."""
    from robostack.learn.algorithms import settings_of
    from robostack.learn.trained import keep_settings

    folder = tmp_path_factory.mktemp("read")
    for name in TEACHERS:
        run = RunFolder.create(name, root=folder / "logs")
        task = SimpleNamespace(name=name, config=registry.load("task", name).Config())
        keep_settings(run, task, settings_of("ppo")(), 0)  # type: ignore[arg-type]
        (run.checkpoints / "best.pt").touch()
    return folder


def template() -> Any:
    """The task that `robostack new task` begins with."""
    spec = importlib.util.spec_from_file_location("my_task", TEMPLATES / "task/src/my_task/task.py")
    assert spec and spec.loader
    sys.modules["my_task"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MyTask


def check_robostack(words: list[str]) -> None:
    verb, rest = words[0], words[1:]
    if verb in ("--help", "VERB"):
        return
    assert cli.command_of(verb) is not None, f"there is no verb {verb}"
    command, unknown = cli.parse(verb, rest)
    settings = [word for word in unknown[0] if word != "--"] if unknown else []
    if verb == "train":
        kind = template() if command.task in OWN else registry.load("task", command.task)
        replace(command, task_help=False)._settings(kind, settings, None)
    elif verb == "sweep":
        grid = [f"--{option.partition('=')[0]}={option.partition('=')[2].split(',')[0]}" for option in command.grid]
        check_robostack(["train", command.task, *settings, *grid])
    elif verb == "distill":
        command._settings(RunFolder.find(command.teacher, command.root), settings)
    elif verb == "up":
        registry.load("stack", command.stack)


def check_module(words: list[str]) -> None:
    """python, torchrun: what they are asked to run."""
    if "-m" not in words:
        assert (ROOT / words[-1]).is_file()
        return
    module, *rest = words[words.index("-m") + 1 :]
    if module == "robostack":
        check_robostack(rest)


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"
    for extras in re.findall(r"\[(.*?)\]", " ".join(words)):
        assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys(), extras


def check_setup(words: list[str]) -> None:
    assert {w for w in words if not w.startswith("-")} <= PROJECT["optional-dependencies"].keys()


def check_make(words: list[str]) -> None:
    """Targets and variables are in the Makefile of the folder, ours or that of an export."""
    folder = Path(words[words.index("-C") + 1]) if "-C" in words else None
    words = [w for w in words if w != "-C" and Path(w) != folder]
    own = ROOT / "Makefile"
    makefile = {"generic": ROOT / "firmware/generic/Makefile", "firmware": ROOT / "firmware/Makefile"}
    text = (makefile[folder.name] if folder else own).read_text()
    for word in words:
        name, is_variable, _ = word.partition("=")
        if name == "CRAZYFLIE_BASE" or (is_variable and not folder):
            text = (ROOT / "firmware/crazyflie/Makefile").read_text()
        found = re.search(rf"\b{name}\b", text) if is_variable else re.search(rf"^(\.PHONY:.* )?{name}\b", text, re.M)
        assert found, f"make {word}"


def check_ros2(words: list[str]) -> None:
    match words:
        case ["launch", "robostack", file, *given]:
            from robostack_real.stacks.launching import arguments

            assert (ROOT / "launch" / file).is_file()
            known = arguments(registry.load("stack", file.partition(".")[0])).keys()
            assert {word.partition(":=")[0] for word in given} <= known
        case ["run", "robostack", node, *_]:
            assert node in PROJECT["scripts"]
        case [verb, *_]:
            assert verb in ("service", "topic", "security")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "robostack": check_robostack, "python": check_module, "torchrun": check_module, "pip": check_pip,
    "./setup.sh": check_setup, "make": check_make, "ros2": check_ros2,
}  # fmt: skip


def check(command: list[str]) -> None:
    program, *words = command
    assert program in OTHERS | CHECKS.keys(), f"nobody knows {program}"
    if program in CHECKS:
        CHECKS[program](words)


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.kind == "sh" for b in blocks(page))])
def test_every_command_of_a_page_exists(
    page: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    wrong = []
    for block in blocks(page):
        for line in lines(block) if block.kind == "sh" else ():
            for command in commands(line):
                try:
                    check(command)
                except (SystemExit, Exception) as error:
                    said = " ".join(capsys.readouterr().err.split()) or error
                    wrong.append(f"{page}:{block.line}: {' '.join(command)}: {said}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "command",
    [
        "robostack trian quadrotor",
        "robostack train quadrotor --masss-scale 0.9 1.1",
        "robostack train quadroter",
        "robostack distill logs/quadrotor/latest --student.hiden 32",
        "robostack distill logs/quadrotor/latest --student force_field",
        "robostack sweep quadrotor --grid learner.iteration=120",
        "robostack export --target arduino",
        "robostack up quadcopter",
        "make flly",
        "make -C logs/quadrotor/latest/exported/generic-c/generic chekc",
        "pip install 'robostack[trian]'",
        "./setup.sh trian",
        "ros2 launch robostack quadrotor.launch.py polici:=policy.onnx",
        "ros2 run robostack policy_nod",
        "torchrun --nproc-per-node 4 -m robostack train quadrotor --num-env 128",
        "python benchmarks/absent.py",
        "rosbotack train",
    ],
)
def test_a_command_that_does_not_exist_is_found(
    command: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    with pytest.raises((SystemExit, AssertionError, LookupError)) as stopped:
        check(commands(command)[0])
    assert not isinstance(stopped.value, SystemExit) or stopped.value.code == 2


def test_no_command_hides_where_it_is_not_looked_at() -> None:
    """In an indented block, or in a fence of another kind."""
    for page, text in PAGES.items():
        outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"^    (robostack|make|pip|\./setup\.sh) ", outside, re.MULTILINE), page
        for block in blocks(page):
            assert block.kind, f"{page}:{block.line}: a fence says what is in it"
            assert block.kind == "sh" or not re.search(r"^robostack \w", block.text, re.MULTILINE), page


def test_what_python_on_a_page_imports_is_there() -> None:
    for page in PAGES:
        for block in (b for b in blocks(page) if b.kind == "python"):
            for line in re.findall(r"^(?:import|from) robostack.*", block.text, re.MULTILINE):
                exec(line, {})


def test_files_of_this_repository_that_a_page_names_are_there() -> None:
    for page, text in PAGES.items():
        # mkdocs follows the links of the others
        links = re.findall(r"\]\(((?!https?:)[^)#]+)", text) if page == "README.md" else []
        for path in links + re.findall(r"`((?:robostack|sim|real|firmware|tests|benchmarks|launch)/[\w/.-]+)`", text):
            assert (ROOT / path).exists(), f"{page}: {path}"
