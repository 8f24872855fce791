"""Claims: `robostack run` corrects a live machine that nobody described, alone, and as its operators say."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robostack.cli import main
from robostack.devices import connect
from robostack.export.onnx import load_policy
from robostack.spec import ContractError
from robostack_real.devices.epics import operator
from robostack_real.devices.epics.command import HELD, Command

OWNER = "HCM1:ORBIT:Owner"
H1, V2 = "HCM1_PS:DCH_01:ISet", "HCM1_PS:DCV_02:ISet"


def snapshot(command: Command) -> Path:
    return max((command.root / "epics").glob("*/snapshot.json"))


def test_it_corrects_an_unknown_machine(room: Any, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    before = room.get("TWIN:TrueRms")
    assert replace(command, steps=9).run() == 0
    time.sleep(0.3)
    assert before > 3.0 and room.get("TWIN:TrueRms") < 1.0
    assert "RMS to target" in capsys.readouterr().out
    assert room.get(OWNER) == ""


def test_every_put_is_in_the_log_in_its_order(room: Any, command: Command, log: Any) -> None:
    seen: dict[str, list[float]] = {}

    def changed(pvname: str = "", value: float = 0.0, **_: Any) -> None:
        seen.setdefault(pvname, []).append(value)

    import epics

    watched = [epics.PV(pv, callback=changed, auto_monitor=True) for pv in room.setpoints()]
    time.sleep(0.3)
    assert replace(command, steps=3).run() == 0
    time.sleep(0.3)
    for pv in watched:
        logged = [e["value"] for e in log() if e.get("put") == pv.pvname]
        assert len(logged) > 1
        assert seen[pv.pvname][1:] == pytest.approx(logged)
        pv.clear_callbacks()
        pv.disconnect()


def test_without_live_nothing_is_put(
    room: Any,
    policy: Path,
    config: Path,
    log: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(policy), "--device", "epics", "--config", str(config)]) == 0
    assert "nothing was put" in capsys.readouterr().out
    assert set(room.setpoints().values()) == {0.0} and room.get(OWNER) == ""
    assert not [e for e in log() if "put" in e]


def test_the_policy_itself_acts_through_its_envelope(room: Any, command: Command, log: Any) -> None:
    assert replace(command, controller="policy", steps=1).run() == 0
    moved = [abs(e["value"] - e["before"]) for e in log() if e.get("why") == "move 1"]
    assert moved and max(moved) <= 3.0


def test_a_second_controller_is_refused_and_a_dead_one_is_replaced(
    room: Any, command: Command, config: Path, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [sys.executable, "-m", "robostack", "run", str(policy), "--config", str(config), "--live", "--steps", "200",
            "--controller", "gain_filter", "--root", str(tmp_path / "first")]  # fmt: skip
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as first:
        until = time.monotonic() + 20.0
        while not room.get("HCM1:ORBIT:Step") and time.monotonic() < until:
            time.sleep(0.1)
        room.put("HCM1:ORBIT:Hold", 1)
        with pytest.raises(ContractError, match="another controller steers this machine"):
            command.run()
        first.terminate()
        out = first.communicate(timeout=20)[0]
    assert first.returncode == HELD and "SIGTERM was sent" in out
    room.put("HCM1:ORBIT:Hold", 0)
    room.put(OWNER, "host:1:died")
    monkeypatch.setattr(operator, "WATCHED_S", 1.0)
    assert replace(command, steps=1).run() == 0


def test_of_two_that_claim_at_the_same_instant_exactly_one_steers(room: Any, config: Path, tmp_path: Path) -> None:
    def claimant(name: str) -> subprocess.Popen[str]:
        line = [sys.executable, str(Path(__file__).with_name("claimant.py")), str(config), str(tmp_path / name)]
        return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(process: Any) -> None:
        process.stdin.write("\n")
        process.stdin.flush()

    with claimant("first") as first, claimant("second") as second:
        both = (first, second)
        assert [p.stdout.readline() for p in both] == ["ready\n"] * 2  # type: ignore[union-attr]
        for apart_s in (0.0, 0.001, 0.003):
            tell(first)
            time.sleep(apart_s)
            tell(second)
            said = [p.stdout.readline().strip() for p in both]  # type: ignore[union-attr]
            assert sorted("another controller" in s for s in said) == [False, True], said
            assert room.get(OWNER) in said
            for p in both:
                tell(p)
        for p in both:
            p.stdin.close()  # type: ignore[union-attr]


def test_the_operator_starts_holds_and_aborts_it(
    room: Any, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    def operate() -> None:
        while room.get("HCM1:ORBIT:Status") != "waiting for Start":
            time.sleep(0.02)
        time.sleep(0.4)
        assert set(room.setpoints().values()) == {0.0}, "it waits for Start"
        room.put("HCM1:ORBIT:Start", 1)
        while not room.get("HCM1:ORBIT:Step"):
            time.sleep(0.02)
        room.put("HCM1:ORBIT:Hold", 1)
        time.sleep(0.3)
        held = room.setpoints()
        time.sleep(0.4)
        assert room.setpoints() == held
        room.put("HCM1:ORBIT:Hold", 0)
        room.put("HCM1:ORBIT:Abort", 1)
        done.append(True)

    done: list[bool] = []
    acting = room.during(operate, moves=0)
    assert replace(command, steps=60, panel=True).run() == HELD
    acting.join()
    assert done and "the operator says abort" in capsys.readouterr().out
    with pytest.raises(ContractError, match="HCM1:ORBIT:Abort is set"):
        command.run()


def test_restore_ramps_back_and_leaves_alone_what_someone_else_changed(
    room: Any, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    room.put(H1, 0.5)
    time.sleep(0.5)
    assert replace(command, steps=2).run() == 0
    kept = snapshot(command)
    room.put(V2, 1.0)
    back = replace(command, policy=None, restore=kept)
    room.put("TWIN:NoPermit", 1)
    time.sleep(0.2)
    with pytest.raises(ContractError, match=r"there is beam .* and no permit"):
        back.run()
    room.put("TWIN:BeamTrip", 1)  # the beam is off, which is as good
    time.sleep(0.2)
    assert replace(back, live=False).run() == 0
    assert room.get(H1) != pytest.approx(0.5)
    assert back.run() == 0
    assert f"{V2:<28}    1.0000 A: someone else changed it" in capsys.readouterr().out
    stands = room.setpoints()
    assert stands.pop(V2) == pytest.approx(1.0)
    assert stands.pop(H1) == pytest.approx(0.5) and set(stands.values()) == {0.0}
    assert replace(back, restore_changed=True).run() == 0
    assert room.get(V2) == 0.0


def test_what_does_not_fit_is_refused_before_anything_is_put(
    room: Any, command: Command, config: Path, policy_of_four_bpms: Path
) -> None:
    with pytest.raises(ContractError, match=r"made for 8 BPM readings, machine 'cafe2_cm1' has 10.*bpm_2_x"):
        replace(command, policy=str(policy_of_four_bpms)).run()
    text = config.read_text()
    for before, after, said in (
        ("Bpm:3-X11", "Bpm:33-X11", "no answer from Bpm:33-X11"),
        ('unit = "mm"', 'unit = "um"', "EGU is 'mm', and the machine's file says unit = 'um'"),
        ("low_a = -9.0", "low_a = 1.0", "= 0 A is outside 1..9 A"),
        ("low_a = -9.0\nhigh_a = 9.0", "low_a = 20.0\nhigh_a = 30.0", "leaves nothing of low_a..high_a"),
        ("beam_current_min = 1.0", "beam_current_min = 30.0", "the beam is gone; nothing was put"),
    ):
        assert before in text
        config.write_text(text.replace(before, after))
        with pytest.raises(ContractError, match=said.replace(".", r"\.")):
            command.run()
    assert set(room.setpoints().values()) == {0.0}


def test_by_its_uri_it_is_a_device_that_acts_only_when_told_and_not_after_a_stop(
    room: Any, config: Path, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with connect(f"epics://{config}", load_policy(policy)) as device:
        assert set(device.read()) == set(device.channels)
        with pytest.raises(ContractError, match="looks on only"):
            device.arm()
        with pytest.raises(ContractError, match="nothing is put before begin"):
            device.write(np.ones(10, np.float32))
    with connect(f"epics://{config}?live", load_policy(policy)) as device:
        device.arm()
        applied = device.write(np.array([0.5, *[9.0] * 9], np.float32))
        assert applied.tolist() == pytest.approx([0.5, *[3.0] * 9]), "step_max_a"
        device.stop()
        with pytest.raises(ConnectionError, match="asked to stop"):
            device.write(np.ones(10, np.float32))
    assert room.get(H1) == pytest.approx(0.5) and room.get(OWNER) == ""


def test_after_a_stop_it_looks_on_and_may_be_armed_again_with_a_snapshot_of_its_own(
    room: Any, config: Path, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    half = np.full(10, 0.5, np.float32)
    with connect(f"epics://{config}?live", load_policy(policy)) as device:
        device.arm()
        device.write(half)
        device.stop()
        assert set(device.read()) == set(device.channels) and room.get(OWNER) == ""
        assert not device.write(0.0 * half).any()
        device.arm()
        device.write(half)
        assert room.get(H1) == pytest.approx(1.0) and device.tripped == ""
    kept = [json.loads(p.read_text())["setpoint_a"][H1] for p in sorted(Path("logs").rglob("snapshot.json"))]
    assert kept == [0.0, 0.5]


def test_whoever_only_looks_on_bears_that_others_move_correctors(
    room: Any, config: Path, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with connect(f"epics://{config}?live", load_policy(policy)) as device:
        device.read()
        room.put(H1, 1.0)
        with pytest.raises(ConnectionError, match="someone else changed it"):
            device.read()
        time.sleep(0.5)
        assert device.read()["corrector_current"][0][0] == pytest.approx(1.0, abs=0.1) and device.tripped == ""
