"""Claims: with the policy in ROS 2 and the board a plain device, whichever process is killed, the ladder acts."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from running import Ear, Running, alive

MARGIN_S = 0.3
"""A test machine's own delays, with an emulator on it."""


@pytest.fixture(scope="module")
def stack(policy: Path, domain: int, ear: Ear, need_tool: Callable[..., str]) -> Iterator[Running]:
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_tool(tool)
    with Running(policy, domain, target="board", policy_on="host") as running:
        running.await_ready(ear)
        yield running


@pytest.fixture
def flying(stack: Running, ear: Ear) -> Running:
    """In the air for a second; whatever the test before ended or stopped is there again."""
    for role in stack.ended():
        stack.again(role)
    ear.until(lambda: all(r and r.age_s() < 0.2 for r in map(ear.report, ("policy", "device", "supervisor"))), "all up")

    def on_its_stand() -> None:
        if ear.state("supervisor") != "idle":
            ear.ask("estop")
            ear.until(lambda: ear.state("supervisor") == ear.state("device") == "stopped", "stopped")
            ear.reset()
            ear.until(lambda: ear.state("supervisor") == "idle" and ear.state("device") == "disarmed", "on its stand")

    def begun() -> bool:
        if ear.state("supervisor") == "idle":  # asked again: whom it has not heard of yet it does not wait for long
            ear.start()
        flies = ear.state("device") == "armed" and ear.state("policy") == "acting"
        return flies or ear.state("device") == "fallback"

    for _ in range(3):  # a computer that is kept from running for a moment, as CI's are, has a right to its fallback
        on_its_stand()
        ear.until(begun, "armed")
        ear.for_s(1.0)
        if ear.state("device") == "armed":
            return stack
    raise AssertionError(stack.lines)


def test_it_hovers(flying: Running, ear: Ear) -> None:
    p = ear.newest["truth"].pose.pose.position
    assert np.linalg.norm([p.x, p.y, p.z]) < 0.3
    assert ear.report("device").values["device"] == "board://auto/hover"


@pytest.mark.parametrize(
    ("role", "declared_s", "why"),
    [("policy", 0.05, "no action for"), ("setpoint", 0.5, "the policy asks"), ("supervisor", 0.25, "has been silent")],
)
def test_a_killed_process_is_the_first_rung(flying: Running, ear: Ear, role: str, declared_s: float, why: str) -> None:
    flying.running[role].send_signal(signal.SIGKILL)
    ear.until(lambda: ear.state("device") == "fallback", "fallback", declared_s + MARGIN_S)
    report = ear.report("device")
    assert why in report.values["why"] and report.values["rung"] == "0"
    ear.for_s(0.1)
    assert min(ear.newest["applied_action"].velocity) > 1000  # level and descend
    flying.running[role].wait()
    flying.again(role)
    ear.until(lambda: ear.report(role).age_s() < 0.1 and ear.state("supervisor") == "fallback", "back")
    assert ear.state("device") == "fallback"


def test_a_killed_board_leaves_the_rotors_to_their_controllers_time_out(flying: Running, ear: Ear) -> None:
    children = subprocess.run(["pgrep", "-P", str(flying.running["sim"].pid)], capture_output=True, text=True,
                              check=True).stdout.split()  # fmt: skip
    assert children
    for pid in children:
        os.kill(int(pid), signal.SIGKILL)
    ear.until(lambda: "the board is lost" in ear.report("device").values["why"], "noticed", 2.0)
    ear.for_s(0.3)
    assert ear.state("device") == "fallback" and max(ear.newest["applied_action"].velocity) == 0.0
    flying.running["sim"].send_signal(signal.SIGKILL)  # a board does not come back by itself
    flying.running["sim"].wait()


def test_a_killed_device_is_noticed_and_its_board_goes_with_it(flying: Running, ear: Ear) -> None:
    (board,) = subprocess.run(["pgrep", "-P", str(flying.running["sim"].pid)], capture_output=True, text=True,
                              check=True).stdout.split()  # fmt: skip
    flying.running["sim"].send_signal(signal.SIGKILL)
    flying.running["sim"].wait()
    ear.until(lambda: ear.state("supervisor") == "fallback", "noticed", 1.0)
    ear.until(lambda: not alive(int(board)), "its board is gone", 2.0)
