"""The firmware builds for every board and transport, with the flags that keep it bit-exact."""

import itertools
import shutil

import pytest
import tiny

from robostack.export.firmware import firmware_source
from robostack_real.twins.build import BuildError, build_firmware, install_line, missing_tools

BOARDS, TRANSPORTS = ("host", "netduinoplus2"), ("usart", "lockstep")


@pytest.mark.parametrize(("board", "transport"), [*itertools.product(BOARDS, TRANSPORTS)])
def test_every_board_builds_without_a_warning_and_with_a_bounded_stack(firmware, board, transport):
    elf = firmware(board, transport)
    assert elf.read_bytes()[:4] == b"\x7fELF"
    usage = [line.split("\t") for su in elf.parent.glob("*.su") for line in su.read_text().splitlines()]
    assert len({kind for _, _, kind in usage} - {"static"}) == 0, "a stack frame whose size is not known"
    assert max(int(size) for _, size, _ in usage) < 1024


def test_a_second_build_compiles_nothing(firmware):
    elf = firmware("host", "lockstep")
    before = elf.stat().st_mtime_ns
    generated = elf.parent.parent / "generated"
    assert build_firmware(firmware_source(), generated, elf.parent, board="host") == elf
    assert elf.stat().st_mtime_ns == before


def test_the_firmware_has_no_heap_and_no_file_name_of_this_machine(firmware):
    elf = firmware("netduinoplus2", "usart")
    image = elf.read_bytes()
    assert b"malloc" not in image
    assert bytes(firmware_source()) not in image
    assert bytes(elf.parent) not in image


def test_a_broken_policy_shows_the_compilers_message(tmp_path):
    tiny.need(tiny.missing_tools("host"), "C compiler")
    generated = tiny.write_generated(tmp_path / "generated")
    (generated / "infer.c").write_text("int policy_infer(void) { return 1.5; }\n")
    with pytest.raises(BuildError, match=r"infer\.c:1:.*error"):
        build_firmware(firmware_source(), generated, tmp_path / "build", board="host")


@pytest.mark.parametrize("setting", ["BOARD=arduino", "TRANSPORT=pigeon"])
def test_an_unknown_board_or_transport_is_named_with_those_there_are(tmp_path, setting):
    tiny.need(tiny.missing_tools("host"), "C compiler")
    name, value = setting.split("=")
    options = {"BOARD": {"board": value}, "TRANSPORT": {"board": "host", "transport": value}}[name]
    with pytest.raises((BuildError, KeyError), match=value):
        build_firmware(firmware_source(), tmp_path, tmp_path / "build", **options)


def test_missing_tools_are_named_with_the_line_that_installs_them(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tools() == ["make", "arm-none-eabi-gcc", "newlib", "qemu-system-arm"]
    assert install_line(missing_tools("host")) == "sudo apt-get install -y make gcc"
    with pytest.raises(BuildError, match="apt-get install -y make gcc-arm-none-eabi libnewlib-arm-none-eabi"):
        build_firmware(firmware_source(), tmp_path, tmp_path / "build")


def test_sources_build_from_a_copy_that_stands_alone(tmp_path):
    """As an export ships them: the firmware's folder with `generated` inside."""
    tiny.need(tiny.missing_tools("host"), "C compiler")
    copy = shutil.copytree(firmware_source(), tmp_path / "firmware")
    tiny.write_generated(copy / "generated")
    elf = build_firmware(copy, copy / "generated", copy / "build", board="host", transport="usart")
    assert elf.is_file()
