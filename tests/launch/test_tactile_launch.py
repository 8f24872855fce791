"""Claims: the tactile launch file starts the nodes that `robostack up tactile` starts, for a simulated arm, its twin on
ROS 2, or one by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from robostack.spec import ContractError
from robostack_real.stacks.stack import Request
from robostack_real.stacks.tactile import tactile


@pytest.mark.parametrize(
    ("asked", "role", "device"),
    [
        ({}, "sim", "sim://grip_00"),
        ({"target": "arm"}, "device", "arm://arm_twin"),
        ({"target": "arm", "uri": "anyskin:///dev/ttyACM0?on=arm://left"}, "device",
         "anyskin:///dev/ttyACM0?on=arm://left"),
    ],
)  # fmt: skip
def test_it_starts_the_nodes_that_up_starts(describe, quadrotor_run: Path, asked, role, device):
    policy = quadrotor_run / "exported/policy.onnx"  # what is in it the nodes say
    described = tactile.describe(Request(policy, **asked))
    started = describe("tactile").execute(policy=str(policy), **asked)
    assert [n.parameters for n in started] == [[dict(d.parameters)] for d in described]
    machine = next(d for d in described if d.told_as == "device")
    assert (machine.role, machine.parameters["device"]) == (role, device)


def test_an_arm_keeps_its_own_time():
    with pytest.raises(ContractError, match="lockstep: an arm keeps its own time"):
        tactile.describe(Request(Path("policy.onnx"), target="arm", lockstep=True))
