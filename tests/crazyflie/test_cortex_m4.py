"""The app as the firmware's own build compiles it: for a Cortex-M4F, with that build's flags and our Kbuild's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from robostack.export.board import LINK
from robostack.export.firmware import firmware_source, generate_firmware
from robostack_real.devices.crazyflie_obstacle import Obstacle
from robostack_real.twins.crazyflie_app import APP, APP_LINK, FLAGS, expect_bits

CORE = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
BUILD = ("-fno-math-errno", "-fno-strict-aliasing", "-ffunction-sections", "-fdata-sections", "-O3")
FIRMWARE = firmware_source()
CRAZYFLIE = FIRMWARE / "crazyflie"
STABILIZER_STACK_BYTES = 4 * 450


@pytest.fixture
def generated(quadrotor_run: Path) -> Path:
    """With the bits that this machine expects, as the app's Makefile leaves it."""
    folder = quadrotor_run / "exported" / "firmware" / "generated"
    expect_bits(folder, folder)
    return folder


def includes(generated: Path) -> list[str]:
    rooms = (CRAZYFLIE, generated, *(FIRMWARE / room for room in ("envelope", "link", "policy")))
    return [f"-I{room}" for room in rooms]


@pytest.mark.parametrize("hot_swap", [False, True])
def test_it_compiles_with_the_firmwares_flags_and_ours_and_its_frames_are_small(
    quadrotor_run: Path, generated: Path, tmp_path: Path, need_tool: Callable[..., str], hot_swap: bool
) -> None:
    """450 words are all that the stabilizer's task has, for the estimator's state and the PID too."""
    compiler = need_tool("arm-none-eabi-gcc")
    if hot_swap:
        shutil.copy(generated / "expected_bits.h", tmp_path)
        generated = tmp_path / "generated"
        generate_firmware(quadrotor_run / "exported" / "policy.onnx", generated, hot_swap=True)
    rooms = [FIRMWARE / "envelope", FIRMWARE / "policy", generated]
    sources = [*(CRAZYFLIE / name for name in APP), *(FIRMWARE / "link" / name for name in APP_LINK)]
    sources += [c for room in rooms for c in room.glob("*.c")]
    command = [compiler, *CORE, *FLAGS, *BUILD, "-DRS_CF_INTERFACE", "-fstack-usage", f"-I{tmp_path}"]
    subprocess.run([*command, *includes(generated), "-c", *sources], check=True, cwd=tmp_path)
    frames = [int(line.split("\t")[1]) for file in tmp_path.glob("*.su") for line in file.read_text().splitlines()]
    assert len(frames) > 30 and max(frames) < STABILIZER_STACK_BYTES / 8


@pytest.mark.parametrize(("contraction", "status"), [("off", 0), ("fast", 1)])
def test_the_board_computes_the_self_test_to_the_bit_unless_multiply_adds_are_contracted(
    generated: Path, tmp_path: Path, need_tool: Callable[..., str], contraction: str, status: int
) -> None:
    compiler, emulator = need_tool("arm-none-eabi-gcc"), need_tool("qemu-system-arm")
    board = FIRMWARE / "boards" / "netduinoplus2"
    sources = [Path(__file__).parent / "board_bits.c", CRAZYFLIE / "output_bits.c", board / "startup.c"]
    sources += [*(FIRMWARE / "policy").glob("*.c"), generated / "policy.c"]
    command = [compiler, *CORE, *FLAGS, *BUILD, f"-ffp-contract={contraction}", *includes(generated), f"-I{board}"]
    elf = tmp_path / "bits.elf"
    subprocess.run([*command, *sources, "-T", board / "stm32f405.ld", *LINK, "-o", elf], check=True)
    run = [emulator, "-M", "netduinoplus2", "-kernel", elf, "-nographic", "-monitor", "none", "-serial", "none"]
    run += ["-semihosting-config", "enable=on,target=native"]
    assert subprocess.run(run, check=False, timeout=60).returncode == status


def test_our_declarations_are_laid_out_as_the_firmwares(need_tool: Callable[..., str]) -> None:
    """As far as can be known without it: the numbers in layout.c are a checkout's."""
    command = [need_tool("arm-none-eabi-gcc"), *CORE, *FLAGS, "-DRS_CF_INTERFACE", f"-I{CRAZYFLIE}", "-fsyntax-only"]
    subprocess.run([*command, CRAZYFLIE / "layout.c"], check=True)


def test_the_users_own_checkout_is_laid_out_the_same(tmp_path: Path, need_tool: Callable[..., str]) -> None:
    if "CRAZYFLIE_BASE" not in os.environ:
        pytest.skip("set CRAZYFLIE_BASE to a checkout of crazyflie-firmware")
    need_tool("arm-none-eabi-gcc")
    shutil.copytree(FIRMWARE, tmp_path / "firmware")
    subprocess.run(["make", "check"], cwd=tmp_path / "firmware" / "crazyflie", check=True)


def test_its_names_fit_the_radios_packets() -> None:
    """A table entry is one CRTP packet: group and name in 26 bytes, each ended by a zero."""
    text = (CRAZYFLIE / "app.c").read_text()
    names = re.findall(r"(?:PARAM|LOG)_ADD\(\w+, (\w+),", text)
    assert len(names) > 20 and all(len(f"rsp{name}") + 2 <= 26 for name in names)


def test_the_obstacles_have_the_same_numbers_in_python() -> None:
    enum = (CRAZYFLIE / "app.c").read_text().partition("typedef enum {")[2].partition("} obstacle_t;")[0]
    assert dict(re.findall(r"(\w+) = (\d+),", enum)) == {o.name: str(o.value) for o in Obstacle}


def test_the_page_names_every_parameter_and_log_variable() -> None:
    text = (CRAZYFLIE / "app.c").read_text()
    page = (FIRMWARE.parent / "docs" / "crazyflie.md").read_text()
    named = set(re.findall(r"`rsp\.(\w+)`", page)) | {"m2", "m3"}  # m1 to m4
    assert named == set(re.findall(r"(?:PARAM|LOG)_ADD\(\w+, (\w+),", text))
