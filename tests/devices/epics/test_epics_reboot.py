"""Claims: an IOC that dies in the middle and comes back finds its setpoints held, and is looked at before anything."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from robostack.spec import ContractError
from robostack_real.devices.epics.channel_access import Pv, wait
from robostack_real.devices.epics.command import HELD, HELD_BLIND, Command

H1 = "HCM1_PS:DCH_01:ISet"


def die_and_return(twin: Any, *options: str) -> None:
    twin.kill()
    twin.start(*options)


def test_setpoints_are_verified_after_a_reboot(
    twin: Any, room: Any, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    reboot = room.during(lambda: die_and_return(twin))
    assert replace(command, steps=60).run() == HELD
    reboot.join()
    out = capsys.readouterr().out
    assert "waiting up to 60 s" in out and "verified: every setpoint stands" in out
    assert any(room.setpoints().values())


def test_what_is_not_as_before_is_told_and_restore_works_only_when_all_is_sound(
    twin: Any, room: Any, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    reboot = room.during(lambda: die_and_return(twin, "--setpoint-limit-a", "9.5", "--read-only", H1))
    assert replace(command, steps=60).run() == HELD_BLIND
    reboot.join()
    assert f"{H1}: DRVL..DRVH are -9.5..9.5 A now, and were -10..10 A" in capsys.readouterr().out
    kept = next((command.root / "epics").glob("*/snapshot.json"))
    restore = replace(command, policy=None, restore=kept)
    with pytest.raises(ContractError, match=f"{H1}: is read-only"):
        restore.run()
    stands = room.setpoints()
    assert any(stands.values())
    h1 = Pv(H1, 1.0)
    twin.kill()
    time.sleep(0.2)  # until all of its PVs know
    with pytest.raises(ContractError, match=f"no answer from {H1}"):  # it says what it could not reach
        restore.run()
    twin.start()
    assert not wait([h1], 60.0)
    assert room.setpoints() == stands
    assert restore.run() == 0
    assert set(room.setpoints().values()) == {0.0}
