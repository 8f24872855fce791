"""Claims: an export for a target holds what that target builds from and nothing of the others, and reports its cost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from small_policy import small_policy

from robostack import cli
from robostack.export.firmware import ROOMS, Target, export_firmware
from robostack.export.target import CORE_HZ, measure
from robostack.run_folder import RunFolder


@pytest.mark.parametrize("target", ROOMS)
def test_a_target_gets_its_own_rooms_and_the_policys(target: Target, tmp_path: Path) -> None:
    export_firmware(small_policy(tmp_path / "policy.onnx"), tmp_path / "out", target=target)
    held = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert held == {*ROOMS[target], "generated"}


def test_the_generic_library_builds_and_checks_itself(tmp_path: Path, need_tool: Callable[..., str]) -> None:
    need_tool("cc")
    folder = tmp_path / "out"
    export_firmware(small_policy(tmp_path / "policy.onnx"), folder, target="generic-c")
    generic = folder / "generic"
    subprocess.run(["make", "-s", "check"], cwd=generic, check=True)
    assert (generic / "build" / "libpolicy.a").stat().st_size > 1000
    source = folder / "generated" / "policy.c"  # one weight that is not the policy's
    changed = source.read_text().replace("weights_", "weights_x", 1).replace("weights_x", "weights_", 1)
    start = changed.index("static const float weights_")
    digits = changed.index("0x", start)
    source.write_text(changed[:digits] + "0x1.8p+3f, " + changed[changed.index(",", digits) + 1 :])
    subprocess.run(["make", "-s", "clean"], cwd=generic, check=True)
    assert subprocess.run(["make", "-s", "check"], cwd=generic, capture_output=True, check=False).returncode != 0


def test_a_report_has_flash_ram_stack_and_cycles_against_the_period(tmp_path: Path, board_tools: None) -> None:
    policy = small_policy(tmp_path / "policy.onnx")
    report = measure(policy, "stm32f405", "float32")
    assert report.missing == "" and report.by_object and report.cycles and report.instructions
    assert {"policy.o", "envelope.o", "kernels.o"} <= report.by_object.keys() and "usart.o" not in report.by_object
    assert report.flash_bytes == sum(flash for flash, _ in report.by_object.values())
    assert 100 < (report.stack_bytes or 0) < 4096
    assert report.budget == pytest.approx(report.cycles / (policy.spec.control_dt_s * CORE_HZ), rel=1e-3)
    assert report.self_test_vectors == 16
    report.save(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["policy_hash"] == policy.policy_hash


def test_without_the_tools_a_report_says_what_installs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = small_policy(tmp_path / "policy.onnx")
    monkeypatch.setenv("PATH", "/nonexistent")
    report = measure(policy, "crazyflie", "float32")
    assert report.cycles is None and "apt-get install" in report.missing
    assert report.lines() == [f"not measured: {report.missing}"]


def test_each_target_has_a_folder_of_its_own_in_a_run(
    quadrotor_run: Path, board_tools: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder.open(quadrotor_run)
    assert cli.main(["export", str(run.path), "--target", "crazyflie"]) == 0
    said = capsys.readouterr()
    assert "modelled cycles" in said.out and "not qualified; robostack qualify" in said.err
    assert (run.exported / "crazyflie" / "crazyflie" / "app.c").is_file()
    assert (run.exported / "firmware" / "boards").is_dir()
    kept = json.loads((run.exported / "crazyflie" / "report.json").read_text())
    assert kept == json.loads(json.dumps(run.metrics()["export"]["report"]))
