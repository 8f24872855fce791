"""The recorder as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(fresh_domain: dict[str, str]) -> Iterator[Start]:
    """Starts a Python process in the domain; what is left of it at the end of the test is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*words: object, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process: subprocess.Popen[str] = subprocess.Popen(command, env=fresh_domain, **{**pipes, **options})  # type: ignore[call-overload]
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()
