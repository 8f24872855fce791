"""Claims: the real cflib brings the app another policy, which then flies; and what goes wrong on the way changes
nothing."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robostack import cli
from robostack.evaluate import guarded
from robostack.evaluate.guarded import GuardedFlight
from robostack.evaluate.trajectory import Hover
from robostack.export.blob import blob
from robostack.export.firmware import export_firmware
from robostack.export.onnx import LoadedPolicy
from robostack.spec import ContractError
from robostack_real.devices.crazyflie import Crazyflie
from robostack_real.devices.crazyflie_radio import PolicyRadio
from robostack_real.link.errors import LinkLost, NoAnswer, Refused
from robostack_real.link.protocol import SwapPhase, Verdict
from robostack_real.twins.crazyflie import VirtualCrazyflie
from robostack_real.twins.crazyflie_app import build_app

sys.path.insert(0, str(Path(__file__).parents[1] / "twins"))

from hovering import hovering


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("radio")


@pytest.fixture(scope="module")
def old(folder: Path) -> LoadedPolicy:
    return hovering(folder / "old.onnx", 0.15, 0.2, self_test_rows=24)


@pytest.fixture(scope="module")
def new(folder: Path) -> LoadedPolicy:
    return hovering(folder / "new.onnx", 0.25, 0.25, self_test_rows=24)


@pytest.fixture(scope="module")
def swappable(old: LoadedPolicy, folder: Path, need_tool: Callable[..., str]) -> Path:
    """The app with the old policy, made for hot swap."""
    need_tool("cc")
    export_firmware(old, folder / "exported", target="crazyflie", hot_swap=True)
    return build_app(folder / "exported" / "generated", folder)


@pytest.fixture
def machine(swappable: Path) -> Iterator[VirtualCrazyflie]:
    with VirtualCrazyflie(swappable) as machine:
        yield machine
        assert machine.failure is None


@pytest.fixture
def radio(crazyflie: Crazyflie) -> PolicyRadio:
    return PolicyRadio(crazyflie)


def send(radio: PolicyRadio, loaded: Any) -> None:
    for _ in radio.upload(loaded):
        pass


def on_board(machine: VirtualCrazyflie, wanted: LoadedPolicy) -> bool:
    return f"{int(machine.logs['rsp.hash'].value):08x}" == wanted.policy_hash[:8]


def test_another_policy_comes_by_radio_and_flies(
    crazyflie: Crazyflie, radio: PolicyRadio, machine: VirtualCrazyflie, old: LoadedPolicy, new: LoadedPolicy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(guarded, "TAKE_OFF_S", 1.0)
    monkeypatch.setattr(guarded, "SETTLE_S", 0.5)
    monkeypatch.setattr(guarded, "LAND_S", 1.0)
    assert on_board(machine, old)
    told: list[tuple[str, float]] = []
    assert radio.load(new, progress=lambda *what: told.append(what)).policy_hash == new.policy_hash
    assert on_board(machine, new) and ("receiving", 1.0) in told
    time.sleep(0.3)  # the log of the hash comes every 100 ms
    outcome = GuardedFlight(crazyflie, new, Hover(), seconds=1.0).fly()
    assert outcome.doubt == "" and outcome.flight is not None
    flown = outcome.flight.under_policy()
    assert len(flown) > 50 and np.abs(flown["position"] - flown["reference"]).max() < 0.1


def test_armed_it_takes_nothing_and_arming_ends_what_is_under_way(
    radio: PolicyRadio, machine: VirtualCrazyflie, old: LoadedPolicy, new: LoadedPolicy
) -> None:
    steps = radio.upload(blob(new))
    next(steps), next(steps)
    machine.supervisor.arm(True)
    with pytest.raises(Refused, match="refuses SWAP_DATA: not while it is armed"):
        next(steps)
    assert radio.swap_state().phase == SwapPhase.IDLE
    with pytest.raises(Refused, match="refuses SWAP_BEGIN: not while it is armed"):
        radio.load(new)
    assert on_board(machine, old)
    machine.supervisor.arm(False)
    radio.load(new)
    assert on_board(machine, new)


def test_a_tenth_of_all_packets_lost_each_way_costs_time_alone(
    radio: PolicyRadio, machine: VirtualCrazyflie, new: LoadedPolicy
) -> None:
    machine.loss = 0.1
    try:
        radio.load(new)
    finally:
        machine.loss = 0.0
    assert on_board(machine, new)


def test_what_is_corrupt_or_does_not_fit_is_refused_by_name_and_the_old_policy_stays(
    radio: PolicyRadio, machine: VirtualCrazyflie, folder: Path, old: LoadedPolicy, new: LoadedPolicy
) -> None:
    good = blob(new)
    image = good.image[:40] + bytes(4) + good.image[44:]
    with pytest.raises(Refused, match=r"SWAP_COMMIT: .*\(CRC\)"):
        send(radio, SimpleNamespace(header=good.header, image=image, crc=good.crc))
    send(radio, dataclasses.replace(good, image=image))  # under its own CRC: the self-test has to tell
    while radio.swap_state().phase != SwapPhase.IDLE:
        time.sleep(0.01)
    assert radio.swap_state().verdict == Verdict.SELF_TEST_FAILED
    with pytest.raises(ContractError, match=r"^interface_hash: "):
        radio.load(hovering(folder / "other.onnx", 0.15, 0.2, self_test_rows=24, control_dt_s=0.02))
    with pytest.raises(ContractError, match=r"^topology: .*export firmware of this policy"):
        radio.load(hovering(folder / "other.onnx", 0.15, 0.2, self_test_rows=23))
    assert on_board(machine, old)


def test_a_machine_that_goes_away_half_way_is_told_of(
    machine: VirtualCrazyflie, radio: PolicyRadio, new: LoadedPolicy
) -> None:
    steps = radio.upload(blob(new))
    next(steps), next(steps)
    machine.close()
    with pytest.raises(LinkLost, match=f"{radio.where} is gone"):
        for _ in steps:
            pass


def test_an_app_without_hot_swap_gives_no_answer_and_the_reason_is_guessed(
    library: Path,
) -> None:
    with (
        VirtualCrazyflie(library) as machine,
        Crazyflie(machine.uri) as crazyflie,
        pytest.raises(NoAnswer, match="exported with --hot-swap"),
    ):
        PolicyRadio(crazyflie, attempts=3).identify()


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.usefixtures("here")
def test_the_command_swaps_by_radio_what_another_client_left_half_way(
    machine: VirtualCrazyflie, old: LoadedPolicy, new: LoadedPolicy, capsys: pytest.CaptureFixture[str]
) -> None:
    with Crazyflie(machine.uri) as crazyflie:
        steps = PolicyRadio(crazyflie).upload(blob(new))
        next(steps), next(steps)
    assert on_board(machine, old)
    assert cli.main(["swap", "new.onnx", "--uri", machine.uri]) == 0
    assert f"policy {new.policy_hash[:16]} in the place of {old.policy_hash[:16]}" in capsys.readouterr().out
    assert on_board(machine, new)
    assert cli.main(["swap", "new.onnx", "--uri", machine.uri]) == 0
    assert "already" in capsys.readouterr().out


@pytest.mark.usefixtures("here", "new")
@pytest.mark.parametrize("where", [[], ["--port", "/dev/ttyACM0", "--uri", "udp://127.0.0.1:19850"]])
def test_the_command_asks_for_one_board(where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["swap", "new.onnx", *where]) == 1
    assert "--uri radio://0/80/2M" in capsys.readouterr().err
