"""Claim: what a page tells somebody to type works as it stands there, line after line, beginning from one short run.

Trainings and evaluations are cut short (LESS), and a package of the reader's own is put where Python looks for it, as
`pip install -e` does. A page says itself which of its blocks are not run, and why.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pages import PAGES, Block, Command, blocks, commands, lines, parsed

from robostack import cli
from robostack.run_folder import RunFolder
from robostack_sim.quadrotor.task import Quadrotor

LESS = {
    "train": ["--num-envs", "16", "--learner.iterations", "3"],
    "distill": ["--num-envs", "16", "--learner.iterations", "3"],
    "evaluate": ["--episodes", "8"],
}
"""added to what a page says: the last word counts"""
EMULATED = {"docs/firmware.md"}
"""pages that need the cross compiler and the emulator; the others are read where there are none, which is faster"""
OURS = {"robostack", "pip", "cd"}
RUN = [page for page in PAGES if any(b.kind == "sh" and not b.why_not for b in blocks(page))]


class Reader:
    """Types what a page says, in the folder where it stands."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capsys, self.site = patch, capsys, folder / "site"
        self.own, self.complaint = set[str](), ""
        tools = folder / "bin"
        for made in (self.site, tools, folder / "home"):
            made.mkdir()
        (tools / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (tools / "python").chmod(0o755)
        patch.chdir(folder)
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("PATH", str(tools), prepend=":")
        patch.setenv("PYTHONPATH", str(self.site), prepend=":")
        patch.syspath_prepend(str(self.site))

    def read(self, block: Block) -> None:
        if block.kind == "toml" and (named := re.match(r"# (\w+\.toml)\n", block.text)):
            Path(named[1]).write_text(block.text)
        elif block.kind == "sh" and not block.why_not:
            if any(words[0] in OURS for line in lines(block) for words in commands(line)):
                for line in lines(block):
                    assert self.type(line) == 0, f"{line}: {self.complaint}"
            else:
                done = subprocess.run(["bash", "-ec", block.text], capture_output=True, text=True, check=False)
                assert done.returncode == 0, block.text + done.stderr
                self.forget()

    def type(self, line: str) -> int:
        """Exit status of a line of shell."""
        status, output, skipped = 0, "", False
        for command in parsed(line):
            joined = command.joined
            skipped = skipped if joined == "|" else (joined == "&&" and status != 0) or (joined == "||" and status == 0)
            if not skipped:
                status, output = self.run(command, output if joined == "|" else "")
        return status

    def run(self, command: Command, given: str) -> tuple[int, str]:
        """Exit status and output of a command that is given `given`."""
        program, *words = [os.path.expandvars(os.path.expanduser(word)) for word in command.words]
        if program == "robostack":
            status = cli.main([*words, *LESS.get(words[0], [])])
            output, self.complaint = self.capsys.readouterr()
        elif program == "cd":
            self.patch.chdir(words[0])
            status, output = 0, ""
        elif program == "pip":
            self.install(Path(words[words.index("-e") + 1]))
            status, output = 0, ""
        else:
            done = subprocess.run([program, *words], input=given, stdout=subprocess.PIPE, text=True, check=False)
            status, output = done.returncode, done.stdout
            self.forget()
        if command.into:
            Path(command.into).expanduser().write_text(output)
        return status, output

    def install(self, folder: Path) -> None:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        info = self.site / f"{project['name']}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        for group, entries in project["entry-points"].items():
            named = "".join(f"{name} = {place}\n" for name, place in entries.items())
            (info / "entry_points.txt").write_text(f"[{group}]\n{named}")
        self.patch.syspath_prepend(str((folder / "src").resolve()))
        self.patch.setenv("PYTHONPATH", str((folder / "src").resolve()), prepend=":")
        self.own.add(project["name"])

    def forget(self) -> None:
        """Each command is a process of its own, which reads again what was edited."""
        for name in [name for name in sys.modules if name.partition(".")[0] in self.own]:
            del sys.modules[name]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a task's flights the first two, of a tenth of a second each; a policy is judged in few environments."""
    scenarios = Quadrotor.scenarios
    first = lambda task: [replace(one, seconds=0.1) for one in scenarios(task)[:2]]  # noqa: E731
    monkeypatch.setattr(Quadrotor, "scenarios", first)
    monkeypatch.setattr("robostack.learn.trainer.EVALUATION_ENVS", 16)


@pytest.fixture(scope="session")
def without_emulator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH to every program of this machine but the cross compiler and the emulator."""
    folder = tmp_path_factory.mktemp("programs")
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).glob("*"):
            if not program.name.startswith(("arm-none-eabi", "qemu-system")):
                (folder / program.name).unlink(missing_ok=True)
                (folder / program.name).symlink_to(program)
    return str(folder)


@pytest.fixture
def reader(
    request: pytest.FixtureRequest,
    _trained_quadrotor: Path,
    without_emulator: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    need_tool: Callable[..., str],
) -> Reader:
    emulated = any(page in request.node.name for page in EMULATED)
    for tool in ("make", "cc", "jq", *(("arm-none-eabi-gcc", "clang") if emulated else ())):
        need_tool(tool)
    if not emulated:
        monkeypatch.setenv("PATH", without_emulator)
    run = RunFolder(Path(shutil.copytree(_trained_quadrotor, tmp_path / "logs/quadrotor/first")))
    run.make_latest()
    shutil.copy(run.policy, tmp_path)
    return Reader(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_work(page: str, reader: Reader) -> None:
    for block in blocks(page):
        reader.read(block)
    reader.forget()


def test_every_tutorial_is_run() -> None:
    assert {page for page in PAGES if "/tutorials/" in page} < set(RUN)


@pytest.mark.parametrize(
    ("line", "status"),
    [("robostack lsit", 2), ("false && robostack list", 1), ("robostack explain absent.onnx || true", 0),
     ("robostack list --json | jq -e .nothing", 1), ("robostack list --json | jq .runs > runs.json", 0)],
)  # fmt: skip
def test_a_line_that_fails_is_found(line: str, status: int, reader: Reader) -> None:
    assert reader.type(line) == status
