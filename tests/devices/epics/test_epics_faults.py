"""Claims: whatever goes wrong, a run holds every setpoint where it is, says why, gives the machine back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robostack_real.devices.epics.command import HELD, HELD_BLIND, Command

OWNER = "HCM1:ORBIT:Owner"
V2 = "HCM1_PS:DCV_02:ISet"


def last_put(lines: list[dict[str, Any]]) -> dict[str, float]:
    return {e["put"]: e["value"] for e in lines if e.get("put", "").endswith("ISet")}


@pytest.mark.parametrize(
    ("switch", "value", "said"),
    [
        ("BpmInvalid", 3, "Bpm:2-X11: alarm INVALID"),
        ("BpmNan", 4, "Bpm:2-Y11 = nan: no number"),
        ("BpmFrozen", 1, "Bpm:1-X11: stale"),
        ("BeamTrip", 1, "HCM1_ACCT:Current = 0: below 1, the beam is gone"),
        ("NoPermit", 1, "HCM1_MPS:Permit: the machine may not be moved"),
        ("NoHeartbeat", 1, "HCM1_IOC:Heartbeat: stale"),
        ("Stuck", 3, "the corrector is stuck"),
    ],
)
def test_a_fault_holds_every_setpoint_where_it_is(
    room: Any, command: Command, capsys: pytest.CaptureFixture[str], log: Any, switch: str, value: int, said: str
) -> None:
    acting = room.during(lambda: room.put(f"TWIN:{switch}", value))
    status = replace(command, steps=60).run()
    acting.join()
    out = capsys.readouterr().out
    assert said in out and "setpoints are held" in out
    assert status == (HELD_BLIND if switch == "Stuck" else HELD)
    stands = room.setpoints()
    assert stands == pytest.approx({**dict.fromkeys(stands, 0.0), **last_put(log())})
    assert any(stands.values()), "held where it is, not moved back"
    time.sleep(0.2)
    assert room.setpoints() == stands and room.get(OWNER) == ""


def test_a_setpoint_that_someone_else_changed_is_theirs(
    room: Any, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    acting = room.during(lambda: room.put(V2, 1.234))
    assert replace(command, steps=60).run() == HELD_BLIND
    acting.join()
    assert "someone else changed it" in (out := capsys.readouterr().out) and V2 in out
    assert room.get(V2) == pytest.approx(1.234)


def test_a_signal_holds(room: Any, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        room.put("HCM1:ORBIT:Step", 0)
        acting = room.during(lambda number=number: os.kill(os.getpid(), number))
        assert replace(command, steps=60).run() == HELD
        acting.join()
        assert f"{number.name} was sent" in capsys.readouterr().out
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_terminal_that_is_closed_in_the_middle_holds_and_what_stands_is_verified(
    room: Any, need_tool: Any, config: Path, policy: Path, tmp_path: Path, log: Any
) -> None:
    ours, theirs = os.openpty()
    line = [need_tool("setsid"), "--ctty", sys.executable, "-m", "robostack", "run", str(policy), "--live",
            "--config", str(config), "--steps", "200", "--controller", "gain_filter",
            "--root", str(tmp_path / "logs")]  # fmt: skip
    with subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs) as run:
        os.close(theirs)
        closing = room.during(lambda: os.close(ours))
        assert run.wait(60.0) == HELD  # it begins late where others want the processors
        closing.join()
    lines = {e["event"]: e for e in log() if "event" in e}
    assert lines["hold"]["why"] == "SIGHUP was sent" and lines["held"]["verified"]
    assert room.get(OWNER) == ""


@pytest.mark.filterwarnings("ignore:ca.get")
def test_an_ioc_that_hangs_is_noticed_and_what_stands_is_verified_when_it_goes_on(
    twin: Any, room: Any, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    def hang() -> None:
        twin.freeze()
        time.sleep(4.4)
        twin.thaw()

    hanging = room.during(hang)
    assert replace(command, steps=60).run() == HELD
    hanging.join()
    out = capsys.readouterr().out
    assert "connected, and has not answered" in out and "for 2 s; its IOC may hang" in out
    assert "waiting up to 60 s for HCM1_PS:DCH_01:ISet" in out and "verified: every setpoint stands" in out
    assert room.get(OWNER) == ""
