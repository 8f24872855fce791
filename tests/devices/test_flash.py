"""Claims: flash refuses what does not fit before anything is written, shows each step, and verifies afterwards.

make, cfloader, dfu-util and openocd are stand-ins that write down how they were called: the real ones need a checkout
of GPL firmware and a board.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from robostack import cli
from robostack.export.firmware import export_firmware
from robostack.export.onnx import load_policy
from robostack.hosts import Check
from robostack.run_folder import RunFolder
from robostack.signature import new_key, sign
from robostack.spec import ContractError
from robostack_real.devices import flash
from robostack_real.devices.flash import check_on_board

MAKE = """#!/bin/sh
echo "make $*" >> "$CALLS"
mkdir -p build && printf image-of-a-crazyflie > build/cf2.bin
"""
TOOL = """#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
for last; do :; done
case "$0 $*" in *dfu-util*-U*) printf '%s' "$READ_BACK" > "$last";; esac
exit "${FAILS:-0}"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The tools as stand-ins, and what they were called with so far."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in {"make": MAKE, "cfloader": TOOL, "dfu-util": TOOL, "openocd": TOOL}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    log = tmp_path / "calls"
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(log))
    monkeypatch.setenv("READ_BACK", "image-of-a-crazyflie")
    return lambda: log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def base(tmp_path: Path) -> str:
    """What looks like a checkout of crazyflie-firmware."""
    (tmp_path / "cf" / "tools" / "make").mkdir(parents=True)
    (tmp_path / "cf" / "tools" / "make" / "oot.mk").touch()
    return str(tmp_path / "cf")


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the seconds that compiling the app takes."""
    monkeypatch.setattr(flash, "check_fits", lambda generated: None)


@pytest.fixture
def run(quadrotor_run: Path, need_tool: Callable[..., str]) -> str:
    need_tool("cc")
    run = RunFolder.open(quadrotor_run)
    export_firmware(load_policy(run.policy), run.exported / "crazyflie", target="crazyflie")
    return str(quadrotor_run)


@pytest.mark.usefixtures("fits")
def test_a_dry_run_shows_every_step_and_does_none(
    run: str, base: str, calls: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    uri = "radio://0/80/2M"
    assert cli.main(["flash", run, "--crazyflie-base", base, "--uri", uri, "--dry-run"]) == 0
    said, warned = capsys.readouterr()
    assert "not qualified; robostack qualify" in warned
    assert "build the image in your checkout" in said and f"CRAZYFLIE_BASE={base}" in said
    assert f"stm32-fw -w {uri}" in said and "compare the policy's hash and self-test" in said
    assert calls() == []


def test_dfu_writes_and_reads_back(
    run: str, base: str, calls: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["flash", run, "--crazyflie-base", base, "--dfu"]) == 0
    made, written, read = calls()
    assert made == f"make -j2 CRAZYFLIE_BASE={base}"
    assert "-s 0x08004000 -D" in written and "-s 0x08004000:20 -U" in read
    assert "is on board" in capsys.readouterr().out


@pytest.mark.usefixtures("fits")
def test_what_reads_back_differently_is_said_with_the_byte(
    run: str,
    base: str,
    calls: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("READ_BACK", "image-of-A-crazyflie")
    assert cli.main(["flash", run, "--crazyflie-base", base, "--dfu"]) == 1
    assert "differs from" in (err := capsys.readouterr().err) and "at byte 9" in err


@pytest.mark.usefixtures("fits")
def test_openocd_verifies_by_itself(run: str, base: str, calls: Callable[[], list[str]]) -> None:
    assert cli.main(["flash", run, "--crazyflie-base", base, "--openocd"]) == 0
    assert "0x08004000 verify reset exit" in calls()[-1]


@pytest.mark.usefixtures("fits")
def test_a_tool_that_fails_ends_it_with_its_name(
    run: str,
    base: str,
    calls: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAILS", "3")
    assert cli.main(["flash", run, "--crazyflie-base", base, "--openocd"]) == 1
    assert "openocd ended with status 3" in capsys.readouterr().err


@pytest.mark.usefixtures("fits")
def test_a_tool_that_is_missing_is_named_with_what_installs_it(
    run: str, base: str, calls: Callable[[], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin" / "cfloader").unlink()
    if shutil.which("cfloader"):
        pytest.skip("a real cfloader is installed")
    assert cli.main(["flash", run, "--crazyflie-base", base, "--uri", "radio://0/80/2M"]) == 1
    assert "cfloader is not installed: pip install cfclient" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one of --uri radio://..., --dfu, --openocd"),
        (["--dfu", "--openocd"], "one of --uri radio://..., --dfu, --openocd"),
        (["--uri", "udp://127.0.0.1:19850"], "cfloader writes over radio"),
        (["--dfu", "--crazyflie-base", "/nonexistent"], "no checkout of crazyflie-firmware"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_done(
    run: str, base: str, calls: Callable[[], list[str]], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["flash", run, "--crazyflie-base", base, *words]) == 1
    assert said in capsys.readouterr().err
    assert calls() == []


def test_a_policy_of_another_machine_is_refused_before_anything_is_written(
    run: str, base: str, calls: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    generated = RunFolder.open(run).exported / "crazyflie" / "generated" / "policy.c"
    text = generated.read_text()
    assert '"rotor_speed_command.front_right"' in text
    generated.write_text(text.replace('"rotor_speed_command.front_right"', '"thrust.front_right"'))
    assert cli.main(["flash", run, "--crazyflie-base", base, "--dfu"]) == 1
    assert "this policy is not a Crazyflie's" in capsys.readouterr().err
    assert calls() == []


def test_a_board_with_another_policy_after_writing_is_not_called_flashed() -> None:
    right = Check("its self-test", True, "0 vectors missed")
    check_on_board([Check("policy on board", True, "ab"), right, Check("battery", False, "3 V")])
    with pytest.raises(ContractError, match="written, but not right: policy on board: ab, this file has cd; flash"):
        check_on_board([Check("policy on board", False, "ab, this file has cd", "flash it"), right])


def test_a_run_without_an_export_says_what_makes_one(
    run: str, base: str, calls: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(RunFolder.open(run).exported / "crazyflie")
    assert cli.main(["flash", run, "--crazyflie-base", base, "--dfu"]) == 1
    assert "--target crazyflie" in capsys.readouterr().err


def test_an_unsigned_policy_is_not_flashed_where_a_signature_is_required(
    run: str, base: str, calls: Callable[[], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_key(tmp_path / "robot")
    words = ["flash", run, "--crazyflie-base", base, "--dfu", "--require-signature", str(tmp_path / "robot.pub")]
    assert cli.main(words) == 1
    assert "not signed" in capsys.readouterr().err
    assert calls() == []


@pytest.mark.usefixtures("fits")
def test_a_signed_policy_is_flashed_from_its_own_c_whatever_lies_in_the_export(
    run: str, base: str, calls: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.open(run)
    new_key(tmp_path / "robot")
    sign(load_policy(folder.policy), tmp_path / "robot")
    spoiled = folder.exported / "crazyflie" / "generated" / "policy.c"
    sound = spoiled.read_bytes()
    spoiled.write_bytes(b"/* not what was signed */")
    make = MAKE + f"cp ../generated/policy.c {tmp_path}/built.c\n"
    (tmp_path / "bin" / "make").write_text(make)
    words = ["flash", run, "--crazyflie-base", base, "--dfu", "--require-signature", str(tmp_path / "robot.pub")]
    assert cli.main(words) == 0
    assert (tmp_path / "built.c").read_bytes() == sound
    assert len(calls()) == 3
