"""A beam machine of softioc in its own process, seen by the real libca, at a port that no other test process has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("epics.ca")
pytest.importorskip("softioc.softioc")

from robostack_real.devices.epics import operator
from robostack_real.devices.epics.command import Command
from robostack_real.twins.beam_machine import SWITCHES, VirtualBeamMachine, client_environment, free_ports

FAST = {
    "shots = 3": "shots = 2\nramp_period_s = 0.05\nreturn_timeout_s = 60.0\nconnect_timeout_s = 2.0",
    "max_age_s = 2.0": "max_age_s = 1.5",
    "settle_timeout_s = 10.0": "settle_timeout_s = 1.0",
    "slew_a_per_s = 10.0": "slew_a_per_s = 30.0",
}
SEED = 4


class Room:
    """The control room, a process of its own: sees and sets any PV. May be asked from any thread."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("control_room.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()

    def _ask(self, asked: Any) -> Any:
        with self._lock:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        assert answer is not None, f"no answer to {asked}"
        return answer

    def get(self, name: str) -> Any:
        return self._ask([name])

    def put(self, name: str, value: Any) -> None:
        self.put_all({name: value})

    def put_all(self, values: dict[str, Any]) -> None:
        self._ask(values)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def setpoints(self) -> dict[str, float]:
        return {pv: self.get(pv) for pv in CORRECTORS}

    def during(self, act: Callable[[], Any], moves: int = 1) -> threading.Thread:
        """Does it once a run has made so many moves."""

        def later() -> None:
            until = time.monotonic() + 20.0
            while self.get("HCM1:ORBIT:Step") < moves and time.monotonic() < until:
                time.sleep(0.01)
            act()

        thread = threading.Thread(target=later)
        thread.start()
        return thread


CORRECTORS = [f"HCM1_PS:DC{axis}_{i:02d}:ISet" for i in range(1, 6) for axis in "HV"]


@pytest.fixture(scope="session")
def spare_port() -> int:
    return free_ports(37000 + 2 * (os.getpid() % 4000))


@pytest.fixture(scope="session")
def port() -> int:
    """libca reads its environment once a process."""
    found = free_ports(21000 + 2 * (os.getpid() % 4000))  # so that workers do not meet
    os.environ.update(client_environment(found))
    return found


@pytest.fixture(scope="module")
def other_port(port: int) -> Iterator[int]:
    """For processes that are started meanwhile."""
    found = free_ports(port + 8000)
    os.environ.update(client_environment(found))
    yield found
    os.environ.update(client_environment(port))


@pytest.fixture(scope="session")
def twin(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualBeamMachine]:
    """One for all who ask it from this process: it takes seconds to start."""
    with VirtualBeamMachine(tmp_path_factory.mktemp("ioc"), seed=SEED, port=port, rate_hz=30.0, lag_s=0.03) as machine:
        yield machine


@pytest.fixture(scope="module")
def _room(twin: VirtualBeamMachine) -> Iterator[Room]:
    room = Room()
    yield room
    room.close()


@pytest.fixture
def room(_room: Room) -> Room:
    """With the machine as it was at first."""
    found = _room
    found.put_all(
        {
            **{f"TWIN:{name}": 0 for name in SWITCHES},
            **dict.fromkeys(CORRECTORS, 0.0),
            **{f"HCM1:ORBIT:{name}": 0 for name in ("Start", "Hold", "Abort", "Step")},
            "HCM1:ORBIT:Owner": "",
        }
    )
    time.sleep(0.2)  # six times the lag
    return found


@pytest.fixture(autouse=True)
def _no_long_arbitration(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process; of two that claim at once each has its own."""
    monkeypatch.setattr(operator, "ARBITRATION_S", 0.05)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The machine's file, with shorter times."""
    text = files("robostack_real.devices.epics").joinpath("cafe2_cm1.toml").read_text(encoding="utf-8")
    for before, after in FAST.items():
        assert before in text
        text = text.replace(before, after)
    path = tmp_path / "machine.toml"
    path.write_text(text)
    return path


@pytest.fixture
def command(config: Path, policy: Path, tmp_path: Path) -> Command:
    """Live, by the gain filter."""
    return Command(config, str(policy), live=True, controller="gain_filter", steps=6, root=tmp_path / "logs")


@pytest.fixture
def log(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    """Lines of the newest run's log."""

    def lines() -> list[dict[str, Any]]:
        newest = max((tmp_path / "logs" / "epics").iterdir())
        return [json.loads(line) for line in (newest / "puts.jsonl").read_text().splitlines()]

    return lines


def export(path: Path, **settings: Any) -> Path:
    """An untrained policy of the contract."""
    from robostack.learn.shac import SHAC
    from robostack.learn.trained import export_actor
    from robostack.nets.actor import ActorConfig
    from robostack_sim.beam.config import BeamOrbitConfig
    from robostack_sim.beam.orbit import BeamOrbit

    task = BeamOrbit(BeamOrbitConfig(num_envs=2, **settings))
    learner = SHAC(actor=ActorConfig(hidden=(8,))).learner(task)
    export_actor(task, learner.actor, path)
    return path


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("policy") / "policy.onnx")


@pytest.fixture(scope="session")
def policy_of_four_bpms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("policy") / "masked.onnx", masked=("bpm_2",))
