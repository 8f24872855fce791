"""What compilers and checkers say of all the C there is, and of a generated policy."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from robostack.export.board import CORE
from robostack.export.host import WARNINGS

BOARDS, TRANSPORTS = ("host", "netduinoplus2"), ("usart", "lockstep")
ROOMS = ("policy", "envelope", "link")
NOT_FIRMWARE = "insn_count_plugin.c"
"""a part of QEMU while it counts"""
EVERY_IMAGE = [f"{board} {transport}" for board, transport in product(BOARDS, TRANSPORTS)]


def sources(firmware: Path, board: str, transport: str) -> list[Path]:
    """What firmware/Makefile compiles, without the policy."""
    own = {"host": (), "netduinoplus2": ("startup", "clock")}[board]
    rooms = [file for room in ROOMS for file in sorted((firmware / room).glob("*.c"))]
    ports = [firmware / "boards" / board / f"{name}.c" for name in (transport, *own)]
    return [*rooms, firmware / "boards" / f"main_{transport}.c", *ports]


def includes(firmware: Path, policy: Path) -> list[str]:
    return [f"-I{folder}" for folder in (policy, *(firmware / room for room in (*ROOMS, "boards")))]


def silent(commands: list[list[str]]) -> None:
    """Runs them side by side; asserts that none has anything to say."""
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda c: subprocess.run(c, capture_output=True, text=True, check=False), commands))
    assert "".join(d.stderr + d.stdout for d in done) == ""
    assert not any(d.returncode for d in done)


@pytest.mark.parametrize(
    ("compiler", "options", "not_for_it"),
    [
        ("gcc", ("-O2", "-fPIC"), "boards/netduinoplus2/"),
        ("arm-none-eabi-gcc", ("-O3", *CORE), "boards/host/"),
    ],
)
def test_the_analyser_of_gcc_finds_nothing(compiler, options, not_for_it, source, policy, need_tool, tmp_path):
    """Every path through every function: no use of what was not set, no end of an array passed, no NULL followed."""
    flags = [need_tool(compiler), *WARNINGS, *options, "-ffp-contract=off", "-fanalyzer", *includes(source, policy)]
    files = [f for f in sorted(source.rglob("*.c")) if not_for_it not in str(f) or f.name == NOT_FIRMWARE]
    if compiler != "gcc":
        files = [f for f in files if f.name != NOT_FIRMWARE]
    assert len(files) > 8
    silent(
        [[*flags, "-c", str(f), "-o", str(tmp_path / f"{i}.o")] for i, f in enumerate([*files, policy / "policy.c"])]
    )


def settings(source: Path, policy: Path, cppcheck: str) -> list[str]:
    return [
        cppcheck, "--std=c99", "--quiet", "--addon=misra", "--template={file}:{line}: {id}: {message}",
        "--enable=warning,style,performance,portability,information",
        "--suppress=missingInclude", "--suppress=missingIncludeSystem",
        f"--suppressions-list={source / 'misra-deviations.txt'}", *includes(source, policy),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def misra(source, policy, need_tool, tmp_path_factory) -> dict[str, list[str]]:
    """What cppcheck with its MISRA addon finds in each image, one line a finding, the list of deviations applied."""
    common = settings(source, policy, need_tool("cppcheck"))

    def check(image: str) -> list[str]:
        board, transport = image.split()
        files = sources(source, board, transport) + ([policy] if image == EVERY_IMAGE[-1] else [])
        notes = f"--cppcheck-build-dir={tmp_path_factory.mktemp('cppcheck')}"  # else they lie beside the sources
        command = [*common, notes, f"-I{source / 'boards' / board}", *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr.splitlines()

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(EVERY_IMAGE, pool.map(check, EVERY_IMAGE), strict=True))


@pytest.mark.parametrize("image", EVERY_IMAGE)
def test_cppcheck_with_its_misra_rules_finds_nothing_beyond_the_listed_deviations(misra, image):
    assert [line for line in misra[image] if "unmatchedSuppression" not in line] == []


def test_every_listed_deviation_is_needed(misra):
    unneeded = [{line for line in lines if "unmatchedSuppression" in line and "nofile" not in line}
                for lines in misra.values()]  # fmt: skip
    assert set.intersection(*unneeded) == set()


def test_the_checker_would_find_a_fault(source, policy, need_tool, tmp_path):
    """The list suppresses rules, not files: the same command finds what was put in."""
    bad = tmp_path / "bad.c"
    bad.write_text(
        "int first(const int *x);\nint first(const int *x) { int y[2] = {0, 1}; if (*x > 0) return y[2]; return 0; }\n"
    )
    command = [need_tool("cppcheck"), "--quiet", "--addon=misra", "--template={id}",
               f"--suppressions-list={source / 'misra-deviations.txt'}", str(bad)]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, check=False).stderr.split()
    assert {"arrayIndexOutOfBounds", "misra-c2012-15.6"} <= set(found)


def test_the_manual_tells_of_every_deviation(source):
    listed = set(
        re.findall(r"^(?:misra-c2012-)?([\w.]+)(?::|$)", (source / "misra-deviations.txt").read_text(), re.MULTILINE)
    )
    manual = (source.parent / "docs" / "firmware.md").read_text()
    assert listed
    assert [rule for rule in sorted(listed) if not re.search(rf"(?<![\d.]){re.escape(rule)}(?![\d.])", manual)] == []


def test_what_a_hot_swap_adds_is_as_clean(source, swappable, need_tool, tmp_path):
    flags = [*WARNINGS, "-O2", "-ffp-contract=off", "-fanalyzer", *includes(source, swappable)]
    files = [swappable / "policy.c", *(source / f"{name}.c" for name in ("link/swap", "link/server"))]
    silent([[need_tool("gcc"), *flags, "-c", str(f), "-o", str(tmp_path / f"{f.stem}.o")] for f in files])
    files = [*(source / "link").glob("*.c"), *(source / "envelope").glob("*.c"), source / "boards" / "main_lockstep.c"]
    command = [*settings(source, swappable, need_tool("cppcheck")), *map(str, files), str(swappable / "policy.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in done.stderr.splitlines() if "unmatchedSuppression" not in line]
    assert [
        line for line in found if not re.search(r": misra-c2012-(2\.5|8\.[67]): ", line)
    ] == []  # of the whole image
