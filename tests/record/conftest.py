"""A DDS domain of its own for each test, and the recorder as a user starts it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def domain() -> Iterator[dict[str, str]]:
    """Environment of processes that hear each other and nobody else: a free domain of 1 to 100, held by a lock."""
    folder = Path(tempfile.gettempdir()) / "robostack-domains"
    folder.mkdir(exist_ok=True)
    for number in range(1, 101):
        with (folder / str(number)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield {
                **os.environ,
                "ROS_DOMAIN_ID": str(number),
                "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
                "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",
            }
            return
    pytest.fail("all domains are taken")


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(domain: dict[str, str]) -> Iterator[Start]:
    """Starts a Python process in the domain; what is left of it at the end of the test is killed."""
    pytest.importorskip("rclpy")
    running: list[subprocess.Popen[str]] = []

    def start(*words: object, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process: subprocess.Popen[str] = subprocess.Popen(command, env=domain, **{**pipes, **options})  # type: ignore[call-overload]
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()
