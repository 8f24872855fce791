"""Claims: on a machine without a GPU Warp starts in silence, and whatever else it says is still heard."""

import subprocess
import sys

import pytest


def said_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return done.stdout + done.stderr


def test_starting_warp_says_nothing():
    assert said_by("from robostack import warp_start; warp_start.start()") == b""


def test_importing_the_quadrotor_says_nothing():
    assert said_by("import robostack_sim.quadrotor.task") == b""


def test_what_else_native_code_says_is_passed_on():
    code = (
        "import os, warp as wp; from robostack import warp_start\n"
        "init = wp.init\n"
        "wp.init = lambda: (os.write(2, b'out of memory\\n'), init())\n"
        "warp_start.start()"
    )
    assert said_by(code) == b"out of memory\n"


@pytest.mark.parametrize("after", ["print('still here', file=sys.stderr)", "os.write(2, b'still here\\n')"])
def test_standard_error_works_afterwards(after):
    assert said_by(f"import os, sys; from robostack import warp_start; warp_start.start(); {after}") == b"still here\n"


def test_a_daemon_without_standard_error_starts_too():
    code = "import os; os.close(2); from robostack import warp_start; warp_start.start(); print('started')"
    assert said_by(code) == b"started\n"
