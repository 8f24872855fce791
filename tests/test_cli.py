"""Claims: the command line teaches, says what is wrong in one line, and its exit status tells the truth."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robostack import cli, registry
from robostack.commands import VERBS
from robostack.run_folder import RunFolder

ROOT = Path(__file__).resolve().parent.parent


def robostack(*args, cwd=None):
    """(exit status, stdout, stderr) of the command."""
    command = [sys.executable, "-m", "robostack", *args]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    return done.returncode, done.stdout, done.stderr


def test_help_names_every_verb_and_loads_nothing_heavy():
    code = "import sys; from robostack.cli import main; main(['--help']); print('LOADED', *sys.modules)"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    shown, _, loaded = text.partition("LOADED")
    assert all(f"  {verb} " in shown for verb in VERBS)
    assert not {"torch", "onnx", "pydantic", "tyro", "rich", "numpy"} & set(loaded.split())


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_help_teaches_with_an_example(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    assert f"Example: robostack {verb}" in capsys.readouterr().out


def test_an_unknown_verb_is_wrong_usage_and_the_nearest_is_offered(capsys):
    assert cli.main(["exprot"]) == 2
    assert "Did you mean `robostack export`?" in capsys.readouterr().err


def test_an_unknown_option_is_wrong_usage(capsys):
    assert cli.main(["list", "--jsno"]) == 2


def test_a_failure_is_one_line_without_a_traceback_and_debug_shows_it(tmp_path):
    status, out, err = robostack("explain", "absent.onnx", cwd=tmp_path)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "absent.onnx" in err
    status, _, err = robostack("explain", "absent.onnx", "--debug", cwd=tmp_path)
    assert status == 1
    assert "Traceback" in err


@pytest.mark.parametrize("content", [b"", b"not an onnx file at all", b"\x08\x07\x12"])
def test_explaining_a_foreign_file_fails_by_its_name(tmp_path, capsys, content):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(content)
    assert cli.main(["explain", str(path)]) == 1
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["export", "verify", "evaluate", "qualify", "fly", "report", "explain"])
def test_without_a_run_the_first_command_to_use_is_named(tmp_path, verb, capsys):
    assert cli.main([verb, "--root", str(tmp_path)]) == 1
    assert "robostack train" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["verify", "evaluate", "qualify", "fly", "explain"])
def test_without_an_exported_policy_the_export_command_is_named(tmp_path, verb, capsys):
    run = RunFolder.create("quadrotor", root=tmp_path)
    assert cli.main([verb, str(run.path)]) == 1
    assert "robostack export" in capsys.readouterr().err


def test_list_as_json_is_json_and_has_the_runs(tmp_path, capsys):
    run = RunFolder.create("quadrotor", name="first", root=tmp_path)
    assert cli.main(["list", "--json", "--root", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == [str(run.path)]
    assert "quadrotor" in found["tasks"]


def test_an_unknown_task_lists_the_installed_ones():
    with pytest.raises(registry.UnknownNameError, match=r"Did you mean 'quadrotor'\? Installed tasks: .*quadrotor"):
        registry.make("quadroter")


def test_a_tasks_name_may_be_spelled_with_hyphens(capsys):
    assert registry.load("task", "beam-transmission") is registry.load("task", "beam_transmission")
    assert cli.main(["train", "beam-transmission", "--task-help"]) == 0
    assert "robostack train beam_transmission" in capsys.readouterr().out


def test_the_extra_that_installs_a_module_is_known():
    assert registry.extra_for("torch") == "train"
    assert registry.extra_for("warp.types") == "train"
    assert registry.extra_for("numpy") is None


def test_the_exit_statuses_on_the_page_are_those_of_the_program():
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    shown = {int(status): what for status, what in re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)}
    assert shown == cli.EXIT_STATUS


def test_help_has_a_line_for_every_verb_and_says_what_is_returned(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "exit status: 0 done; 1 it failed" in text
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    for verb, summary in cli.summaries().items():
        assert [verb, summary] in lines
        assert not summary.startswith("from robostack"), verb


def test_ctrl_c_is_exit_status_130(tmp_path):
    code = (
        "import time, robostack.commands.list as verb, robostack.cli as cli\n"
        "verb.Command.run = lambda self: (print('ready', flush=True), time.sleep(60))[0]\n"
        "raise SystemExit(cli.main(['list']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_closed_pipe_is_no_traceback():
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "robostack", "list"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert "Traceback" not in done.stderr
