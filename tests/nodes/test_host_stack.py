"""Claims: a Crazyflie that carries its policy takes off, flies and lands by the same supervisor as any other machine.

The Crazyflie is the virtual one, the app's very C by the real cflib; its policy is tests/crazyflie/policy/infer.c.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import Ear, Running

from robostack.export.onnx import load_policy
from robostack_real.stacks.quadrotor import quadrotor
from robostack_real.stacks.stack import Request
from robostack_real.twins.crazyflie import VirtualCrazyflie


@pytest.fixture(scope="module")
def machine(
    policy: Path, tmp_path_factory: pytest.TempPathFactory, need_tool: Callable[..., str]
) -> Iterator[VirtualCrazyflie]:
    from robostack.export.firmware import export_firmware

    need_tool("cc")
    folder = tmp_path_factory.mktemp("crazyflie") / "crazyflie"
    export_firmware(policy, folder, target="crazyflie")
    with VirtualCrazyflie(folder / "generated") as found:
        yield found


@pytest.fixture
def stack(policy: Path, domain: int, ear: Ear, machine: VirtualCrazyflie) -> Iterator[Running]:
    ear.reports.clear()
    with Running(policy, domain, target="crazyflie", uri=machine.uri) as running:
        running.await_ready(ear)
        yield running


def fly(ear: Ear) -> None:
    ear.start()
    ear.until(lambda: ear.state("device") == "taking_off", "taking off")
    ear.until(lambda: ear.state("device") == "armed", "the policy flies")


def test_it_takes_off_flies_lands_and_does_not_take_off_again(stack: Running, ear: Ear, policy: Path) -> None:
    assert ear.report("policy").values["policy_hash"] == load_policy(policy).policy_hash
    fly(ear)
    ear.for_s(1.0)
    height = ear.newest["odom"].pose.pose.position.z
    assert 0.3 < height < 0.7 and ear.state("device") == "armed", stack.lines
    assert min(ear.newest["applied_action"].velocity) > 100
    stack.running["setpoint"].send_signal(signal.SIGKILL)
    ear.until(lambda: ear.state("device") == "fallback", "its own controller", 2.0)
    assert "no setpoint" in ear.report("device").values["why"]
    ear.until(lambda: ear.state("device") == "disarmed", "landed", 8.0)
    ear.for_s(1.0)
    assert ear.state("device") == "disarmed" and ear.newest["odom"].pose.pose.position.z < 0.1


def test_a_killed_supervisor_lands_it(stack: Running, ear: Ear) -> None:
    fly(ear)
    stack.running["supervisor"].send_signal(signal.SIGKILL)
    ear.until(lambda: ear.state("device") == "fallback", "its own controller", 2.0)
    assert "supervisor has been silent" in ear.report("device").values["why"]
    ear.until(lambda: ear.state("device") == "disarmed", "landed", 8.0)


def test_a_machine_that_can_hurt_somebody_wants_a_hand_on_a_switch(policy: Path) -> None:
    request = Request(policy, "crazyflie", uri="udp://192.0.2.1:19850", view_port=0)
    (node,) = (n for n in quadrotor.describe(request) if n.role == "host")
    command = [sys.executable, "-m", "robostack_real.nodes.main", "host", *node.arguments()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "give parameter dead_man" in done.stderr
