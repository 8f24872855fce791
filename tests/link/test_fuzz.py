"""A million bad frames against the board's parser, under the sanitisers where the compiler has them."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import tiny
from bench import FLAGS, sources

FRAMES = 1_000_000
IN_CI = os.environ.get("CI") == "true"


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory, generated):
    tiny.need(tiny.missing_tools("host"), "C compiler")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz_frames"
    command = ["cc", *FLAGS, "-g", "-O2", str(Path(__file__).parent / "fuzz_frames.c"), *sources(generated)]
    sanitised = [*command, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", str(program)]
    made = subprocess.run(sanitised, capture_output=True, text=True, check=False)
    if made.returncode:
        assert not IN_CI, f"no sanitisers: {made.stderr}"
        subprocess.run([*command, "-o", str(program)], check=True)
    return program


def test_a_million_bad_frames_cause_no_crash_no_hang_and_no_accepted_lie(fuzzer):
    result = subprocess.run([fuzzer, str(FRAMES), "1"], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    seen = json.loads(result.stdout)
    assert seen["frames"] == FRAMES
    for kind in ("intact", "damaged", "cut", "repeated", "reordered", "made_up"):
        assert seen[kind] > FRAMES / 10
    assert seen["long"] > FRAMES / 50  # messages with COBS blocks of 254 bytes
    assert seen["accepted"] > FRAMES / 8
