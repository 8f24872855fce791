"""Claims: a board that is a plain device passes on what it is told, within its envelope, and falls back by itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from robostack import devices
from robostack.export.onnx import load_policy
from robostack.spec import ContractError
from robostack_real.twins.behind_board import BehindBoard

HOVER = np.full(4, 1450.0, np.float32)


@pytest.fixture
def machine(quadrotor_run: Path, need_tool: Callable[..., str]) -> Iterator[BehindBoard]:
    """Armed, on the firmware's C as a process."""
    need_tool("cc")
    policy = load_policy(quadrotor_run / "exported/policy.onnx")
    with devices.connect("board://host/hover", policy) as found:
        assert isinstance(found, BehindBoard)
        low = np.array(policy.spec.action_limit("neutral"), np.float32)
        assert found.write(HOVER).tolist() == low.tolist()  # not armed
        found.arm()
        yield found


def told(machine: BehindBoard, action: np.ndarray) -> list[float]:
    """What the actuators get of it; armed anew where this process was held up for longer than the board bears."""
    for _ in range(50):
        got: list[float] = machine.write(action).tolist()
        if not machine.tripped:
            return got
        machine.stop()
        machine.write(action)
        machine.arm()
    raise AssertionError(machine.tripped)


def test_what_is_told_is_what_the_actuators_get_within_their_limits(machine: BehindBoard) -> None:
    high = machine._policy.spec.action_limit("high")
    assert told(machine, HOVER) == HOVER.tolist()
    assert told(machine, np.float32(1.3) * np.array(high, np.float32)) == np.float32(high).tolist()


def test_no_number_is_its_own_ladder_until_it_is_stopped(machine: BehindBoard) -> None:
    told(machine, HOVER)
    first = machine.write(HOVER * np.nan)
    assert machine.tripped == "the board fell back: invalid commanded_action"
    assert np.isfinite(first).all() and first.min() > 1000  # level and descend
    assert machine.write(HOVER).tolist() != HOVER.tolist()  # latched
    machine.stop()
    assert machine.tripped == "" and machine.write(HOVER).max() == 0.0
    machine.arm()
    assert told(machine, HOVER) == HOVER.tolist()


def test_a_silent_host_is_a_stale_command_or_sensor(machine: BehindBoard) -> None:
    time.sleep(0.2)
    for _ in range(15):  # reports of the twenty periods wait in the line, and are read two at a time
        machine.write(HOVER)
    assert machine.tripped.startswith("the board fell back: stale")


def test_a_killed_board_leaves_the_rotors_to_their_controllers_time_out(machine: BehindBoard) -> None:
    told(machine, HOVER)
    (pid,) = subprocess.run(["pgrep", "-n", "-f", "build-host-usart"], capture_output=True, text=True,
                            check=True).stdout.split()  # fmt: skip
    subprocess.run(["kill", "-9", pid], check=True)
    assert machine.write(HOVER).tolist() == HOVER.tolist()  # held at first
    assert machine.tripped.startswith("the board is lost")
    time.sleep(0.1)
    assert machine.write(HOVER).max() == 0.0
    machine.stop()
    assert machine.tripped.startswith("the board is lost")


@pytest.mark.parametrize(
    ("uri", "says"), [("board://auto", "give a board and a scenario"), ("board://host/roll", "no scenario 'roll'")]
)
def test_a_wrong_uri_is_named(quadrotor_run: Path, uri: str, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        devices.connect(uri, load_policy(quadrotor_run / "exported/policy.onnx"))
