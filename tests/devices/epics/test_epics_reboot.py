"""Claims: an IOC that dies in the middle and comes back finds its setpoints held, and is looked at before anything."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robostack.spec import ContractError
from robostack_real.devices.epics.command import HELD, HELD_BLIND, Command

H1 = "HCM1_PS:DCH_01:ISet"


@pytest.fixture
def running(command: Command) -> Command:
    return replace(command, steps=60)


def die_and_return(twin: Any, *options: str) -> None:
    twin.kill()
    time.sleep(1.0)
    twin.start(*options)


def test_setpoints_are_verified_after_a_reboot_and_restore_works_then(
    twin: Any, room: Any, running: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    reboot = room.during(lambda: die_and_return(twin))
    assert running.run() == HELD
    reboot.join()
    out = capsys.readouterr().out
    assert "waiting up to 20 s for HCM1_PS:DCH_01:ISet" in out and "verified: every setpoint stands" in out
    assert any(room.setpoints().values())
    kept = next((running.root / "epics").glob("*/snapshot.json"))
    assert replace(running, policy=None, restore=kept).run() == 0
    assert set(room.setpoints().values()) == {0.0}


def test_a_reboot_with_other_limits_is_told(
    twin: Any, room: Any, running: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    reboot = room.during(lambda: die_and_return(twin, "--setpoint-limit-a", "9.5"))
    assert running.run() == HELD_BLIND
    reboot.join()
    assert f"{H1}: DRVL..DRVH are -9.5..9.5 A now, and were -10..10 A" in capsys.readouterr().out


def test_while_the_ioc_is_away_restore_says_what_it_cannot_reach(
    twin: Any, room: Any, command: Command, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replace(command, steps=1).run() == 0
    kept = next((command.root / "epics").glob("*/snapshot.json"))
    twin.kill()
    time.sleep(0.5)
    text = config.read_text()
    config.write_text(text.replace("[timing]", "[timing]\nconnect_timeout_s = 0.5"))
    with pytest.raises(ContractError, match="no answer from HCM1_PS:"):
        replace(command, policy=None, restore=kept).run()
    twin.start("--read-only", H1)
    config.write_text(text)
    with pytest.raises(ContractError, match=f"{H1}: is read-only"):
        replace(command, policy=None, restore=kept).run()
