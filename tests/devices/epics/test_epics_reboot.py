"""Claims: an IOC that dies in the middle and comes back finds its setpoints held, and is looked at before anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robostack_real.devices.epics.command import HELD, HELD_BLIND
from robostack_real.twins.beam_machine import VirtualBeamMachine

H1 = "HCM1_PS:DCH_01:ISet"


@pytest.fixture(scope="module")
def twin(other_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualBeamMachine]:
    """One that this process never talks to: libca may take its time to find one again that it has lost."""
    folder = tmp_path_factory.mktemp("ioc")
    with VirtualBeamMachine(folder, seed=4, port=other_port, rate_hz=30.0, lag_s=0.03) as machine:
        yield machine


@pytest.fixture
def run(config: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """`robostack run --live` in a process and a libca of its own -> exit status, what it said."""

    def steer(*options: str) -> tuple[int, str]:
        line = [sys.executable, "-m", "robostack", "run", "--config", str(config), "--live", *options]
        line += ["--root", str(tmp_path / "logs"), "--controller", "gain_filter"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=90.0, check=False)
        return done.returncode, done.stdout + done.stderr

    return steer


def snapshot(tmp_path: Path) -> str:
    return str(next((tmp_path / "logs" / "epics").glob("*/snapshot.json")))


def test_setpoints_are_verified_after_a_reboot_and_restore_works_then(
    twin: Any, room: Any, run: Any, policy: Path, tmp_path: Path
) -> None:
    def die_and_return() -> None:
        twin.kill()
        away.append(run("--restore", snapshot(tmp_path)))
        twin.start()

    away: list[tuple[int, str]] = []
    reboot = room.during(die_and_return)
    status, said = run("--steps", "60", str(policy))
    reboot.join()
    assert status == HELD, said
    assert "waiting up to 60 s for" in said and "verified: every setpoint stands" in said
    assert any(room.setpoints().values())
    assert away[0][0] == 1 and f"no answer from {H1}" in away[0][1], "it says what it could not reach"
    status, said = run("--restore", snapshot(tmp_path))
    assert status == 0, said
    assert set(room.setpoints().values()) == {0.0}


def test_what_is_not_as_before_after_a_reboot_is_told(
    twin: Any, room: Any, run: Any, policy: Path, tmp_path: Path
) -> None:
    def die_and_return() -> None:
        twin.kill()
        twin.start("--setpoint-limit-a", "9.5", "--read-only", H1)

    reboot = room.during(die_and_return)
    status, said = run("--steps", "60", str(policy))
    reboot.join()
    assert status == HELD_BLIND, said
    assert f"{H1}: DRVL..DRVH are -9.5..9.5 A now, and were -10..10 A" in said
    status, said = run("--restore", snapshot(tmp_path))
    assert status == 1 and f"{H1}: is read-only" in said
