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
    """One that this process never talks to."""
    with VirtualBeamMachine(tmp_path_factory.mktemp("ioc"), seed=4, port=other_port, rate_hz=30.0, lag_s=0.03) as machine:
        yield machine


@pytest.fixture
def run(config: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """`robostack run --live` in a process and a libca of its own -> exit status, what it said."""

    def steer(*options: str) -> tuple[int, str]:
        line = [sys.executable, "-m", "robostack", "run", "--config", str(config), "--live", *options]
        line += ["--root", str(tmp_path / "logs"), "--controller", "gain_filter"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60.0, check=False)
        return done.returncode, done.stdout + done.stderr

    return steer


def die_and_return(twin: Any, *options: str) -> None:
    twin.kill()
    twin.start(*options)


def test_setpoints_are_verified_after_a_reboot_and_restore_works_then(
    twin: Any, room: Any, run: Any, policy: Path, config: Path, tmp_path: Path
) -> None:
    reboot = room.during(lambda: die_and_return(twin))
    status, said = run("--steps", "60", str(policy))
    reboot.join()
    assert status == HELD, said
    assert "verified: every setpoint stands" in said
    assert any(room.setpoints().values())
    kept = next((tmp_path / "logs" / "epics").glob("*/snapshot.json"))
    twin.kill()
    text = config.read_text()
    config.write_text(text.replace("connect_timeout_s = 2.0", "connect_timeout_s = 0.5"))
    status, said = run("--restore", str(kept))
    assert status == 1 and f"no answer from {H1}" in said, "it says what it could not reach"
    config.write_text(text)
    twin.start()
    status, said = run("--restore", str(kept))
    assert status == 0, said
    assert set(room.setpoints().values()) == {0.0}


def test_a_reboot_with_other_limits_and_a_setpoint_that_takes_no_put_any_more_is_told(
    twin: Any, room: Any, run: Any, policy: Path, tmp_path: Path
) -> None:
    reboot = room.during(lambda: die_and_return(twin, "--setpoint-limit-a", "9.5", "--read-only", H1))
    status, said = run("--steps", "60", str(policy))
    reboot.join()
    assert status == HELD_BLIND, said
    assert f"{H1}: DRVL..DRVH are -9.5..9.5 A now, and were -10..10 A" in said
    status, said = run("--restore", str(next((tmp_path / "logs" / "epics").glob("*/snapshot.json"))))
    assert status == 1 and f"{H1}: is read-only" in said
