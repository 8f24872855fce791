"""Claims: `robostack qualify` is a gate that a script can trust, and its verdict is of the very bytes it lies in."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from slider import install_slider, slider_policy

from robostack import cli
from robostack.export.onnx import load_policy, parse_policy, seal
from robostack.qualify import qualification
from robostack.qualify.probes import ports
from robostack.qualify.record import KEY, keep_record, record_of, state, warning
from robostack.run_folder import RunFolder
from robostack.signature import check, new_key, public_keys, sign
from robostack.spec import ContractError

QUICK = ["--episodes", "16", "--generations", "2"]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which a policy was qualified, through every port, and what was printed."""
    folder = tmp_path_factory.mktemp("qualified")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        install_slider(tmp_path_factory.mktemp("site"), patch)
        patch.chdir(folder)
        slider_policy(folder / "policy.onnx")
        assert cli.main(["qualify", "policy.onnx", *QUICK]) == 0
    return folder, printed.getvalue()


@pytest.fixture
def qualified(once: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(shutil.copytree(once[0], tmp_path / "here"))
    return tmp_path / "here/policy.onnx"


@pytest.fixture(autouse=True)
def one_port(slider_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ports are asked for once, in `once`."""
    monkeypatch.setattr(ports, "verify", partial(ports.verify, ports=("onnxruntime",)))


def test_a_policy_that_meets_its_bars_passes_and_says_so_everywhere(
    qualified: Path, once: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = once[1]
    assert "passed: " in text and "--replay qualification/worst_case.json" in text
    folder = qualified.parent / "qualification"
    result = json.loads((folder / "result.json").read_text())
    assert result["verdict"] == "passed" and set(result["seconds"]) == set(qualification.PROBES)
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 8 and "http" not in page.replace("http://www.w3.org", "")
    for text in ("Worst case", "Packet loss", "Frequency-Averaged Score", "--replay qualification/worst_case.json"):
        assert text in page
    record = record_of(load_policy(qualified))
    assert record and record.passed and record.episodes == 16 and warning(load_policy(qualified)) is None
    assert cli.main(["explain", str(qualified)]) == 0
    assert "qualified, " in capsys.readouterr().out
    assert cli.main(["explain", str(qualified), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["qualification"]["passed"]


def test_its_page_is_shown_by_a_browser_without_a_complaint(qualified: Path, browser: Any) -> None:
    browser.check_report(qualified.parent / "qualification/report.html", "report-qualify")


def test_a_case_is_flown_again_by_the_command_that_is_printed(
    qualified: Path, once: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = [line.split(", again: ")[1] for line in once[1].splitlines() if ", again: " in line]
    assert len(printed) == 2
    for command in printed:
        assert cli.main([*command.split()[1:], "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["then"] == found["now"]
    assert cli.main(printed[0].split()[1:]) == 0
    text = capsys.readouterr().out
    assert "push_m_s = " in text and "(as it was)" in text
    other = slider_policy(qualified.parent / "other.onnx", talk=1.0).origin
    assert cli.main(["qualify", other, "--replay", "qualification/worst_case.json"]) == 1
    assert "give the policy that was qualified" in capsys.readouterr().err


def test_a_policy_that_misses_a_bar_fails_and_the_exit_status_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.onnx"
    slider_policy(path, talk=5.0)
    assert cli.main(["qualify", str(path), *QUICK, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "failed"
    missed = [r["what"] for r in found["rows"] if r["bar"] is not None and not (r["value"] or 0.0) >= r["bar"]]
    assert missed == ["adversary on gossip"]
    assert state(load_policy(path)) == "failed qualification"
    assert "robostack qualify" in (warning(load_policy(path)) or "")


def test_what_changed_after_qualification_is_unqualified(qualified: Path) -> None:
    policy = load_policy(qualified)
    text = policy.metadata[KEY]
    for changed in (
        policy.spec.model_copy(update={"provenance": {"settings": {"num_envs": 8}}}),
        policy.spec.model_copy(update={"obs_delay_s": (0.0, 0.1)}),
    ):
        forged = parse_policy(seal(policy.model, changed, {KEY: text}), "forged")
        assert record_of(forged) is None and state(forged) == "changed after it was qualified"
    other = slider_policy(qualified.parent / "other.onnx", talk=1.0)
    assert record_of(keep_record(other, policy)) is None
    same = slider_policy(qualified.parent / "same.onnx")
    assert warning(same) and record_of(keep_record(same, policy)) == record_of(policy)
    damaged = parse_policy(seal(policy.model, policy.spec, {KEY: "{"}), "damaged")
    assert record_of(damaged) is None


def test_a_signature_covers_the_verdict(qualified: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_key(tmp_path / "robot")
    policy = load_policy(qualified)
    sign(policy, tmp_path / "robot")
    keys = public_keys(tmp_path / "robot.pub")
    check(policy, keys)
    bare = replace(policy, data=seal(policy.model, policy.spec))
    with pytest.raises(ContractError, match="as it is now"):
        check(bare, keys)
    assert cli.main(["qualify", str(qualified), *QUICK, "--overwrite", "--seed", "1"]) == 0
    assert "sign it again" in capsys.readouterr().out


def test_ctrl_c_keeps_what_is_done_and_gives_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(bench: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "policy.onnx"
    before = slider_policy(path).data
    monkeypatch.setattr(qualification, "PROBES", {**qualification.PROBES, "rate": interrupted})
    assert cli.main(["qualify", str(path), *QUICK, "--json"]) == 130
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "stopped" and list(found["seconds"]) == ["nominal", "parameters", "worst_case"]
    assert "It was stopped" in (tmp_path / "qualification/report.html").read_text()
    assert path.read_bytes() == before


def test_bad_input_is_named_before_anything_is_flown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        assert cli.main(["qualify", *words]) == 1
        return capsys.readouterr().err

    path = tmp_path / "policy.onnx"
    slider_policy(path)
    (tmp_path / "there").mkdir()
    assert "there exists; give --out" in refused(str(path), "--out", str(tmp_path / "there"))
    assert "--episodes 0: must be 1 at least" in refused(str(path), "--episodes", "0")
    assert "no such file" in refused(str(path), "--replay", str(tmp_path / "absent.json"))
    (tmp_path / "odd.json").write_text('{"name": "odd"}')
    assert "odd.json: not a case" in refused(str(path), "--replay", str(tmp_path / "odd.json"))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cmaes", None)
        for name in [n for n in sys.modules if n.startswith("robostack.qualify.") and "record" not in n]:
            patch.delitem(sys.modules, name)
        assert "pip install 'robostack[qualify]'" in refused(str(path))
    with monkeypatch.context() as patch:
        patch.setattr("slider.Slider.bars", ())
        assert "says nothing of what a policy must reach" in refused(str(path))
    assert not (tmp_path / "qualification").exists()


def test_an_export_keeps_the_verdict_of_the_same_policy(
    quadrotor_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from robostack.qualify.record import Record, subject_of, with_record

    run = RunFolder.open(quadrotor_run)
    policy = load_policy(run.policy)
    record = Record(subject_of(policy), True, "0.1.0", 128, 12, 0, ())
    run.policy.write_bytes(with_record(policy, record).data)
    assert cli.main(["export", str(quadrotor_run)]) == 0
    assert "warning" not in capsys.readouterr().err
    assert record_of(load_policy(run.policy)) == record
