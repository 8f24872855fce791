"""Claims: `robostack distill` makes a run like any other of an expert's run."""

import json

import pytest

from robostack import cli
from robostack.export.onnx import load_policy
from robostack.run_folder import RunFolder

STUDENT = "--student.hidden 8 --student.recurrent 4 --student.channels velocity setpoint --num-envs 8"


def robostack(line, *more):
    """Exit status of a command line."""
    return cli.main([*line.split(), *map(str, more)])


@pytest.mark.parametrize(
    "method", ["cloning", "dagger", "aacd --learner.freeze-critic --learner.imitation 1 --learner.steps 8"]
)
def test_from_an_expert_to_a_verified_file(method, expert, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/usr/bin:/bin") if method == "dagger" else monkeypatch.setenv("PATH", "/nonexistent")
    folder = tmp_path / "student"
    assert (
        robostack(f"distill {expert.path} --method {method} {STUDENT} --learner.iterations 3 --run-folder", folder) == 0
    )
    run = RunFolder.open(folder)
    assert run.config()["algorithm"] == method.split()[0]
    assert run.config()["learner"]["teacher"]["run"] == str(expert.path)
    assert robostack("export", folder) == 0
    policy = load_policy(run.policy)
    assert [c.name for c in policy.spec.observations] == ["velocity", "setpoint"]
    assert policy.spec.state.size == 4
    assert len(policy.spec.provenance["teacher_sha256"]) == 64
    if method == "dagger":
        assert robostack("verify", folder) == 0
        assert robostack("report", folder) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--student.channels true_state", "true_state is privileged"),
        ("--student.channels speed", "no channel 'speed'"),
        ("--student.privileged", "leave actor.privileged off"),
        ("--student force_field", "no student of ball is called 'force_field'; there are: none"),
        ("--max-flash-kb 9 --method aacd", "leave out --method aacd"),
        ("--max-flash-kb 9 --shapes 8y8", "--shapes 8y8: widths of layers"),
        ("--max-flash-kb 9 --shapes 0", "--shapes 0: widths of layers"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_no_folder(line, message, expert, tmp_path, capsys):
    assert robostack(f"distill {expert.path} {line} --run-folder {tmp_path / 'student'}") == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "student").exists()


def test_a_policy_is_fitted_to_a_board_and_exported(expert, tmp_path, need_tool, capsys):
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_tool(tool)
    line = (
        f"distill {expert.path} --max-flash-kb 11.5 --shapes 4 64x64 --student.channels velocity setpoint --num-envs 8"
    )
    assert robostack(f"{line} --quick --json --run-folder", tmp_path / "small") == 0
    shown = json.loads(capsys.readouterr().out)
    run = RunFolder.open(tmp_path / "small")
    candidates = {c["name"]: c for c in shown["compress"]["candidates"]}
    assert candidates.keys() == {f"{shape} {p}" for shape in ("4", "64x64") for p in ("float32", "int16")}
    assert "success_rate" not in candidates["64x64 float32"]
    assert shown["compress"]["best"].startswith("4 ") and shown["compress"]["pareto"]
    assert shown["export"]["report"]["flash_bytes"] <= 11.5 * 1024
    assert shown["export"]["report"]["precision"] == shown["compress"]["best"].split()[1]
    assert run.policy.is_file()
    assert robostack(f"{line} --quick --run-folder", run.path) == 1
    assert "holds a run already" in capsys.readouterr().err
