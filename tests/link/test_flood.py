"""A line that is never silent does not hold up the controller."""

import json
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tiny
from bench import FLAGS, sources

from robostack.export.firmware import firmware_source
from robostack_real.link.frame import encode
from robostack_real.link.protocol import MAX_PING, Message, Type

FLOODS = {
    "noise": np.random.default_rng(0).bytes(4096),
    "questions": encode(bytes(Message(Type.HELLO, 0))) * 100,
    "echoes": b"".join(encode(bytes(Message(Type.PING, k, struct.pack("<H", MAX_PING)))) for k in range(1, 300)),
    "half a frame": encode(bytes(Message(Type.ARM, 1, bytes(32))))[:20],
}


@pytest.fixture(scope="module")
def flooded_line(tmp_path_factory, generated):
    tiny.need(tiny.missing_tools("host"), "C compiler")
    program = tmp_path_factory.mktemp("flood") / "flooded_line"
    boards = f"-I{firmware_source() / 'boards'}"
    subprocess.run(
        ["cc", *FLAGS, "-O2", boards, Path(__file__).parent / "flooded_line.c", *sources(generated), "-o", program],
        check=True,
    )
    return program


@pytest.mark.parametrize("flood", FLOODS)
def test_no_control_period_is_missed_under_a_flood(flooded_line, flood, tmp_path):
    (tmp_path / "flood").write_bytes(FLOODS[flood])
    ran = subprocess.run([flooded_line, tmp_path / "flood"], capture_output=True, text=True, timeout=60, check=True)
    seen = json.loads(ran.stdout)
    assert seen["deadline_misses"] == 0
    assert seen["ticks"] >= 198  # two seconds of 10 ms
    assert seen["taken"] > 100_000  # all that the line carried, the lost ones counted
