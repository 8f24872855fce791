"""Claims about my_device, against a machine that pretends; change them with it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from my_device.device import SILENT_S, MyDevice
from my_device.pretend import serve

from robostack import devices
from robostack.export.onnx import LoadedPolicy, export_onnx
from robostack.spec import ActionChannel, Channel, ContractError, Cut, Envelope, PolicySpec

SPEC = PolicySpec(
    task="hold",
    control_dt_s=0.02,
    observations=(
        Channel(
            name="angle", shape=(2,), elements=("left", "right"), unit="rad", low=(-3.2,), high=(3.2,), max_age_s=0.5
        ),
        Channel(name="setpoint", shape=(2,), unit="rad", low=(-3.2,), high=(3.2,), source="command"),
    ),
    actions=(
        ActionChannel(
            name="torque", elements=("left", "right"), unit="N m", low=(-1.0, -1.0), high=(1.0, 1.0), neutral=(0.0, 0.0)
        ),
    ),
    envelope=Envelope(fallback=(Cut(value=(0.0, 0.0)),)),
)


class Spring:
    """torque = setpoint - angle"""

    def onnx(self, graph: Any, inputs: dict[str, str], applied_action: str, state: str | None) -> Any:
        return graph.op("Sub", inputs["setpoint"], inputs["angle"]), None

    def __call__(self, observation: Any, applied_action: Any, state: Any, /) -> Any:
        return observation["setpoint"] - observation["angle"], None


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> LoadedPolicy:
    spring = Spring()
    return export_onnx(spring, SPEC, tmp_path_factory.mktemp("policy") / "policy.onnx", reference=spring)


@pytest.fixture
def machine() -> Iterator[tuple[str, list[np.ndarray]]]:
    """Its URI, and the actions that it hears."""
    heard: list[np.ndarray] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        line.settimeout(2.0)
        threading.Thread(target=serve, args=(SPEC, line, heard.append), daemon=True).start()
        yield f"my_device://127.0.0.1:{line.getsockname()[1]}", heard


def until(look: Callable[[], Any], seconds: float = 2.0) -> Any:
    """What `look` gives, once it is something."""
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.005)
    return found


def test_its_uri_is_known_to_robostack(policy: LoadedPolicy) -> None:
    assert isinstance(devices.connect("my_device://127.0.0.1:9000", policy), MyDevice)
    with pytest.raises(ContractError, match="say my_device://HOST:PORT"):
        devices.connect("my_device://here", policy)


def test_what_is_measured_comes_by_name_and_what_is_written_arrives(
    policy: LoadedPolicy, machine: tuple[str, list[np.ndarray]]
) -> None:
    uri, heard = machine
    with MyDevice(uri, policy) as device:
        device.arm()
        device.write(np.array([0.5, -0.5], np.float32))
        values, _ = until(device.read)["angle"]
        assert not values.any()
        assert until(lambda: any(np.allclose(action, [0.5, -0.5]) for action in heard))
    assert until(lambda: not heard[-1].any())  # stopped


def test_nobody_at_the_address_is_said_and_silence_is_a_lost_machine(policy: LoadedPolicy) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        with MyDevice(f"my_device://127.0.0.1:{mute.getsockname()[1]}", policy) as device:
            began = time.monotonic()
            with pytest.raises(ContractError, match="nobody answers"):
                device.arm()
            assert time.monotonic() - began < SILENT_S + 0.2
            with pytest.raises(ConnectionError, match="silent"):
                device.read()


def test_a_policy_runs_on_it(policy: LoadedPolicy, machine: tuple[str, list[np.ndarray]]) -> None:
    command = [sys.executable, "-m", "my_device", str(Path(policy.origin)), machine[0], "--seconds", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    ticks, late = map(int, re.findall(r"\d+", done.stdout))
    assert ticks + late == 25 and ticks > 0
    assert "fell back" not in done.stdout
