"""Claims: with the policy on a board, ROS 2 asks and watches, and whatever dies, the board's own envelope acts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from running import Ear, Running


@pytest.fixture
def flying(policy: Path, domain: int, ear: Ear, need_tool: Callable[..., str]) -> Iterator[Running]:
    """In the air for two seconds, a stack of its own for each test: a board does not come back by itself."""
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_tool(tool)
    ear.reports.clear()
    with Running(policy, domain, target="board") as running:
        running.await_ready(ear)
        ear.start()
        ear.until(lambda: ear.state("device") == "armed", "armed")
        ear.for_s(2.0)
        assert ear.state("device") == "armed", running.lines
        yield running


def test_it_hovers_and_a_lost_setpoint_is_the_boards_own_fallback(flying: Running, ear: Ear) -> None:
    p = ear.newest["truth"].pose.pose.position
    assert np.linalg.norm([p.x, p.y, p.z]) < 0.3
    assert any("netduinoplus2: runs policy" in line for line in flying.lines)
    flying.running["setpoint"].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    ear.until(lambda: ear.state("device") == "fallback", "fallback", 1.5)
    assert ear.report("device").values["why"] == "stale setpoint" and time.monotonic() - killed > 0.4
    assert ear.ask("stop").success
    ear.until(lambda: ear.state("device") == "disarmed", "down and disarmed", 8.0)


def test_a_killed_supervisor_is_the_boards_own_fallback(flying: Running, ear: Ear) -> None:
    flying.running["supervisor"].send_signal(signal.SIGKILL)
    ear.until(lambda: ear.state("device") == "fallback", "fallback", 1.75)
    assert "supervisor has been silent" in ear.report("device").values["why"]


def test_a_killed_board_leaves_the_rotors_to_their_controllers_time_out(flying: Running, ear: Ear) -> None:
    children = subprocess.run(["pgrep", "-P", str(flying.running["board"].pid)], capture_output=True, text=True,
                              check=True).stdout.split()  # fmt: skip
    assert children
    for pid in children:
        os.kill(int(pid), signal.SIGKILL)
    ear.until(lambda: "the board is lost" in (ear.report("device").values["why"]), "noticed", 10.0)
    ear.for_s(0.5)
    assert ear.state("device") == "fallback"
    low = min(ear.newest["applied_action"].velocity)
    assert max(ear.newest["applied_action"].velocity) == pytest.approx(low)  # neutral
