"""A policy takes over from another in mid-hover, on the emulated board and on the same firmware as a process."""

import functools

import numpy as np
import pytest
import tiny
import torch
from hovering import hovering

from robostack import cli
from robostack.export.blob import Blob, blob
from robostack.export.firmware import export_firmware
from robostack.task import Layout
from robostack_real.link.errors import Refused
from robostack_real.link.protocol import SwapPhase
from robostack_real.twins.board import LockstepBoard, SerialBoard
from robostack_real.twins.build import build_firmware
from robostack_sim.quadrotor.task import Quadrotor

SETTLED_S, AFTER_S = 3.0, 3.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("swap")


@pytest.fixture(scope="module")
def old(folder):
    return hovering(folder / "old.onnx", 0.15, 0.2)


@pytest.fixture(scope="module")
def new(folder):
    return hovering(folder / "new.onnx", 0.25, 0.25)


@pytest.fixture(scope="module")
def image(old, folder):
    """Firmware of the old policy for a board and a transport."""
    export_firmware(old, folder / "firmware", hot_swap=True)
    source = folder / "firmware"

    def build(board, transport):
        tiny.need(tiny.missing_tools(board), f"for {board}, tools")
        build = folder / f"{board}-{transport}"
        return build_firmware(source, source / "generated", build, board=board, transport=transport)

    return functools.cache(build)


class Damaged(Blob):
    """Under the CRC of what it was."""

    crc = 0


class Hover:
    """The task's hover flight with a board in the loop: what it answered, and how far off the machine was."""

    def __init__(self, session, policy):
        scenario = next(s for s in Quadrotor(Quadrotor.Config()).scenarios() if s.kind == "hover")
        self.session, self.task = session, scenario.make()
        self.task.reset(scenario.seed)
        scenario.prepare(self.task)
        self.columns = Layout(self.task.channels).indices(tuple(c.name for c in policy.spec.observations))
        self.answers, self.errors_m = [], []
        self.observation = self.task.observe()
        session.check(policy.spec, policy.policy_hash)
        session.observe(self.measured())
        session.arm()

    def measured(self):
        return self.observation.flat[0, self.columns].numpy()

    def step(self):
        answer = self.session.observe(self.measured())
        self.observation, *_ = self.task.step(torch.from_numpy(np.array(answer.action))[None])
        seen = self.task.snapshot()
        self.answers.append(answer)
        self.errors_m.append(float((seen["position"] - seen["reference"])[0].norm()))

    def fly(self, seconds):
        for _ in range(round(seconds / self.task.step_dt)):
            self.step()


@pytest.fixture(params=["netduinoplus2", "host"])
def hover(request, image, old):
    with LockstepBoard(image(request.param, "lockstep"), request.param) as board:
        flight = Hover(board, old)
        flight.fly(SETTLED_S)
        yield flight


def flown(flight, steps):
    """A step of the upload, a control period, and so on."""
    for _ in steps:
        flight.step()


def flew_well(flight):
    """Every period has its tick and its action in time, and the machine stayed where it was to be."""
    ticks = [a.tick for a in flight.answers]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    assert not any(a.tripped for a in flight.answers)
    assert flight.answers[-1].deadline_misses == 0
    settled = round(SETTLED_S / flight.task.step_dt) - 100
    before, after = max(flight.errors_m[settled : settled + 100]), max(flight.errors_m[settled + 100 :])
    assert after < before + 0.01 < 0.05


def test_another_policy_takes_over_in_mid_hover_and_no_period_is_missed(hover, old, new):
    hover.session.load(new, meanwhile=hover.step)
    assert hover.session.identify().policy_hash == new.policy_hash != old.policy_hash
    hover.fly(AFTER_S)
    flew_well(hover)


def test_a_corrupt_blob_and_one_cut_short_leave_the_old_policy_flying(hover, old, new):
    good = blob(new)
    middle = len(good.image) // 2
    changed = bytes([good.image[middle] ^ 4])
    image = good.image[:middle] + changed + good.image[middle + 1 :]
    steps = hover.session.upload(good)
    next(steps), next(steps)
    hover.fly(1.0)
    sent = Damaged(**{**vars(good), "image": image})
    with pytest.raises(Refused, match=r"SWAP_COMMIT: .*\(CRC\)"):
        flown(hover, hover.session.upload(sent))
    hover.fly(1.0)
    assert hover.session.swap_state().phase == SwapPhase.IDLE
    assert hover.session.identify().policy_hash == old.policy_hash
    flew_well(hover)


def test_the_command_swaps_over_a_serial_line(image, folder, old, new, capsys):
    with SerialBoard(image("host", "usart"), "host") as board:
        assert cli.main(["swap", str(folder / "new.onnx"), "--port", board.port]) == 0
        assert f"policy {new.policy_hash[:16]} in the place of {old.policy_hash[:16]}" in capsys.readouterr().out
        assert cli.main(["swap", str(folder / "new.onnx"), "--port", board.port]) == 0
        assert "already" in capsys.readouterr().out
        with board.connect() as link:
            assert link.check(new.spec, new.policy_hash).policy_hash == new.policy_hash
            assert link.self_test(3).failures == 0


def test_the_command_asks_for_a_port(folder, new, capsys):
    assert cli.main(["swap", str(folder / "new.onnx")]) == 1
    assert "--port /dev/ttyACM0" in capsys.readouterr().err
