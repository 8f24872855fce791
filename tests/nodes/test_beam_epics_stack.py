"""Claims: through ROS 2 a machine over EPICS is corrected, looked at, held and given back as `robostack run` does it,
and the node tells its state all the while."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, chdir
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Ear, Running
from steering import Beam, export

pytest.importorskip("epics.ca")
pytest.importorskip("softioc.softioc")

from robostack.export.onnx import load_policy
from robostack_real.nodes import wire
from robostack_real.stacks.beam import beam as beam_stack
from robostack_real.twins.beam_machine import VirtualBeamMachine, client_environment
from robostack_sim.beam.config import BeamOrbitConfig

SEED = 14
"""of a machine without wrong polarities or dead BPMs, which this policy knows nothing of"""
DT_S = 0.2
GOLDEN_M = {"bpm_2_x": 0.4e-3}
CHANGES = {
    "shots = 3": "shots = 2",
    "slew_a_per_s = 10.0": "slew_a_per_s = 2.5",
    "max_age_s = 2.0": "max_age_s = 1.0",
    "settle_timeout_s = 10.0": "settle_timeout_s = 2.0",
    "[target_m]": "[target_m]\n" + "\n".join(f"{k} = {v}" for k, v in GOLDEN_M.items()),
}
ROOM = Path(__file__).resolve().parents[1] / "devices/epics/control_room.py"


def two_free_ports() -> int:
    """The first of two in a row, for TCP and UDP."""
    for port in range(38000 + 2 * (os.getpid() % 4000), 60000, 2):
        try:
            with ExitStack() as held:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    for offset in (0, 1):
                        held.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise RuntimeError("no two free ports")


class Twin:
    """The IOC, a control room that is not ours, and what stands in its file of setpoints."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.environment = folder, client_environment(port)
        self._room = subprocess.Popen([sys.executable, str(ROOM)], env={**os.environ, **self.environment}, text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def ask(self, name: str, *value: Any) -> Any:
        """Gets, or puts."""
        assert self._room.stdin and self._room.stdout
        self._room.stdin.write(json.dumps({name: value[0]} if value else [name]) + "\n")
        self._room.stdin.flush()
        return json.loads(self._room.stdout.readline())

    def setpoints_a(self) -> dict[str, float]:
        file = self.folder / "setpoints.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def close(self) -> None:
        self._room.kill()
        self._room.wait()


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    folder, port = tmp_path_factory.mktemp("ioc"), two_free_ports()
    with VirtualBeamMachine(folder, seed=SEED, port=port, rate_hz=20.0):
        found = Twin(folder, port)
        yield found
        found.close()


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = BeamOrbitConfig(num_envs=1, step_dt=DT_S)
    return Path(export(tmp_path_factory.mktemp("policy") / "policy.onnx", config, gain=0.5).origin)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = files("robostack_real.devices.epics").joinpath("cafe2_cm1.toml").read_text(encoding="utf-8")
    for before, after in CHANGES.items():
        assert before in text
        text = text.replace(before, after)
    path = tmp_path_factory.mktemp("machine") / "machine.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def stack(
    policy: Path, domain: int, ear: Ear, seen: Beam, twin: Twin, config: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:  # fmt: skip
    """Live, not started."""
    asked = {"target": "epics", "config": str(config), "live": True}
    with (
        chdir(tmp_path_factory.mktemp("run")),
        Running(policy, domain, beam_stack, environment=twin.environment, **asked) as running,
    ):
        running.await_ready(ear)
        yield running


@pytest.fixture(scope="module")
def seen(ear: Ear, policy: Path) -> Beam:
    return Beam(ear, load_policy(policy), GOLDEN_M)


@pytest.fixture
def beam(stack: Running, seen: Beam) -> Beam:
    seen.on_the_ground(stack)
    return seen


def test_what_speaks_against_a_start_is_said_and_nothing_is_put(beam: Beam, twin: Twin) -> None:
    ear = beam.ear
    ear.until(lambda: np.abs(beam.action_a).max() > 1.0, "it acts in the dark")
    twin.ask("HCM1:ORBIT:Abort", 1)
    ear.start()
    ear.until(lambda: "ORBIT:Abort is set" in ear.report("device").values["refused"], "refused")
    twin.ask("HCM1:ORBIT:Abort", 0)
    assert ear.ask("stop").success
    assert not twin.setpoints_a() and twin.ask("HCM1:ORBIT:Owner") == ""


def test_an_estop_cuts_a_move_short_and_what_stands_is_verified(beam: Beam, twin: Twin, stack: Running) -> None:
    ear = beam.ear
    ear.start()
    ear.until(twin.setpoints_a, "a move has begun")
    ear.for_s(0.2)
    asked_a = np.abs(beam.action_a).max()
    ear.ask("estop")
    ear.until(lambda: ear.state("device") == "stopped", "stopped", 0.5)
    ear.until(lambda: any("every setpoint stands where we left it" in line for line in stack.lines), "verified")
    held = twin.setpoints_a()
    ear.for_s(1.0)
    assert twin.setpoints_a() == held
    assert 0.0 < max(map(abs, held.values())) < 0.8 * asked_a
    assert twin.ask("HCM1:ORBIT:Owner") == ""


def test_a_supervisor_killed_in_a_move_is_a_fallback_before_the_move_is_over(
    beam: Beam, twin: Twin, stack: Running
) -> None:
    ear, before = beam.ear, twin.setpoints_a()
    ear.start()
    ear.until(lambda: twin.setpoints_a() != before, "a move has begun")
    stack.running["supervisor"].kill()
    stack.running["supervisor"].wait()
    made = beam.moves()
    ear.until(lambda: ear.state("device") == "fallback", "fallback", 0.25 + 0.35)
    assert "has been silent" in ear.report("device").values["why"] and beam.moves() == made
    ear.until(lambda: beam.moves() > made, "its move is over")
    held = twin.setpoints_a()
    ear.for_s(1.0)
    assert twin.setpoints_a() == held


def test_it_corrects_the_machine_and_tells_its_state_during_moves_that_last(beam: Beam, twin: Twin) -> None:
    ear = beam.ear
    told = {role: ear.keep(f"{role}_status", wire.STATUS_TYPE) for role in ("device", "supervisor")}
    before = beam.rms_mm
    ear.start()
    ear.until(lambda: beam.rms_mm < 1.0 and ear.state("device") == "armed", "corrected")
    assert before > 1.5 and twin.ask("HCM1:ORBIT:Rms") < 1.0
    assert twin.ask("HCM1:ORBIT:Status") == "correcting"
    move_s, device_s, other_s = (
        max(np.diff([sent for sent, _ in heard])) for heard in (beam._applied, told["device"], told["supervisor"])
    )
    assert move_s > 1.0 and device_s < other_s + 0.2  # a busy machine of ours delays both


def test_a_bpm_that_is_no_number_holds_until_somebody_starts_again(beam: Beam, twin: Twin, stack: Running) -> None:
    ear = beam.ear
    beam.move(1)
    stack.lines.clear()
    twin.ask("TWIN:BpmNan", 3)
    ear.until(lambda: ear.state("device") == "fallback", "fallback")
    assert "Bpm:2-X11 = nan: no number" in ear.report("device").values["why"]
    held = twin.setpoints_a()
    ear.until(lambda: any("every setpoint stands where we left it" in line for line in stack.lines), "verified")
    twin.ask("TWIN:BpmNan", 0)
    ear.for_s(1.0)
    assert twin.setpoints_a() == held and ear.state("device") == "fallback"
    beam.on_the_ground(stack)
    beam.move(1)
    assert ear.state("device") == "armed" and twin.setpoints_a() != held


def test_it_ends_with_the_machine_given_back(seen: Beam, twin: Twin, stack: Running) -> None:
    if seen.ear.state("device") != "armed":
        seen.move(1)
    assert twin.ask("HCM1:ORBIT:Owner") != ""
    stack.end()
    assert twin.ask("HCM1:ORBIT:Owner") == "" and [p.returncode for p in stack.running.values()] == [0] * 4
