"""Claims: at TAB a shell is given what may come next, and what was made a moment ago is among it."""

import subprocess
import sys
from pathlib import Path

import pytest

from robostack.commands import VERBS
from robostack.completion import SCRIPTS, candidates
from robostack.run_folder import RunFolder

BIN = Path(sys.executable).parent


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return RunFolder.create("quadrotor", name="first")


@pytest.mark.parametrize(
    ("words", "some"),
    [
        ([""], {"--help"}),
        (["ev"], {"evaluate\task an exported policy many unseen episodes of its task"}),
        (["evaluate", "--"], {"--episodes", "--json", "--debug"}),
        (["train", ""], {"quadrotor", "beam_orbit"}),
        (["train", "--seed", "3", ""], {"quadrotor"}),
        (["train", "--json", ""], {"quadrotor"}),
        (["train", "--algorithm", "s"], {"shac", "sac"}),
        (["fly", "--transport", ""], {"both", "lockstep", "serial"}),
        (["fly", "--board", ""], {"host", "netduinoplus2"}),
        (["trial", "--controllers", ""], {"policy", "svd"}),
        (["up", ""], {"beam", "quadrotor"}),
        (["avatar", ""], {"clips", "retarget", "live", "evaluate"}),
        (["avatar", "live", "--ch"], {"--character"}),
        (["new", ""], {"task", "vehicle", "device"}),
    ],
)
def test_what_may_come_next(words, some):
    found = candidates(words)
    assert some <= set(found)
    assert all(word.startswith(words[-1]) for word in found)


@pytest.mark.parametrize("words", [["nosuch", ""], ["train", "quadrotor", ""], ["explain", "--root", ""], ["list", ""]])
def test_where_anything_may_come_the_shell_is_left_to_offer_files(words):
    assert candidates(words) == []


def test_a_run_is_offered_by_its_task_and_by_its_folder(run):
    found = candidates(["report", ""])
    assert found == ["quadrotor", str(run.path), "logs/quadrotor/latest"]


def test_every_verb_is_offered():
    offered = {word.partition("\t")[0] for word in candidates([""])}
    assert set(VERBS) < offered


def asked_of_bash(line):
    """COMPREPLY after TAB at the end of `line`."""
    words = line.split(" ")
    script = f"""
        PATH={BIN}:$PATH
        {SCRIPTS["bash"]}
        COMP_WORDS=({" ".join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}
        _robostack; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes(run, need_tool):
    need_tool("bash")
    assert asked_of_bash("robostack exp") == ["export", "explain"]
    assert asked_of_bash("robostack train quad") == ["quadrotor"]
    assert str(run.path) in asked_of_bash("robostack report logs/")


def test_fish_completes(run, need_tool):
    lines = ["complete -C 'robostack exp'", "complete -C 'robostack train quad'"]
    script = "\n".join([f"set -x PATH {BIN} $PATH", SCRIPTS["fish"], *lines])
    done = subprocess.run([need_tool("fish"), "-c", script], capture_output=True, text=True, check=True)
    assert {line.partition("\t")[0] for line in done.stdout.splitlines()} == {"export", "explain", "quadrotor"}


def test_zsh_completes(run, need_tool):
    """`_describe` is zsh's own: what it is given is what the user is shown."""
    script = f"""
        path=({BIN} $path); autoload -U compinit; compinit -D -u
        {SCRIPTS["zsh"]}
        _describe() {{ print -rl -- ${{(P)2}} }}
        words=(robostack exp); CURRENT=2; _robostack
        words=(robostack train quad); CURRENT=3; _robostack
    """
    done = subprocess.run([need_tool("zsh"), "-fc", script], capture_output=True, text=True, check=False)
    shown = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert shown == ["export", "explain", "quadrotor"], done.stderr
