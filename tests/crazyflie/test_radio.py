"""Another policy by radio, call by call: the app's very C behind the Python session, packets between them."""

from __future__ import annotations

import dataclasses
import functools
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pilot import Pilot, make_pilot

sys.path.insert(0, str(Path(__file__).parents[1] / "twins"))

from hovering import hovering

from robostack.export.blob import blob
from robostack.export.firmware import export_firmware
from robostack.export.onnx import LoadedPolicy
from robostack_real.devices.crazyflie_radio import PACKET_BYTES, PolicyRadio
from robostack_real.link.errors import NoAnswer, Refused
from robostack_real.link.frame import Decoder, encode
from robostack_real.link.protocol import Actuation, Message, SwapPhase, Type, Verdict, parse_ack
from robostack_real.link.session import BoardSession
from robostack_real.twins.crazyflie_app import build_app


class Radio(BoardSession):
    """Packets straight into the app's queue, and out of it, as the calls go by."""

    where = "app"
    swap_piece = PolicyRadio.swap_piece

    def __init__(self, pilot: Pilot) -> None:
        self.pilot, self.decoder = pilot, Decoder()
        self.packets: list[int] = []
        """how many the app sent in each call"""

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), PACKET_BYTES):
            assert self.pilot.app.send(data[start : start + PACKET_BYTES])

    def call(self) -> list[Message]:
        self.pilot.step()
        packets = list(self.pilot.app.received())
        self.packets.append(len(packets))
        assert all(0 < len(p) <= PACKET_BYTES for p in packets)
        return [Message.parse(m) for p in packets for m in self.decoder.feed(p)]

    def ask(self, request: Message) -> Message:
        self.send(encode(bytes(request)))
        for _ in range(40):
            for message in self.call():
                return message
        raise NoAnswer(f"nothing on {request.type.name}")

    def _ask(self, request: Message, answer: Type) -> Message:
        return self._expect(self.ask(request), request, answer)

    def _exchange(self, observe: Message) -> Actuation:
        raise NotImplementedError

    def _pass_time(self) -> None:
        self.call()

    def close(self) -> None:
        pass

    @property
    def hash(self) -> str:
        """As the log shows it."""
        return f"{int(self.pilot.log('hash')):08x}"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadedPolicy]:
    folder = tmp_path_factory.mktemp("policies")
    return functools.cache(lambda position=0.15, **how: hovering(folder / "policy.onnx", position, 0.2, **how))


@pytest.fixture(scope="module")
def swappable(
    policy: Callable[..., LoadedPolicy], tmp_path_factory: pytest.TempPathFactory, need_tool: Callable[..., str]
) -> Path:
    need_tool("cc")
    folder = tmp_path_factory.mktemp("swappable")
    export_firmware(policy(), folder / "firmware", target="crazyflie", hot_swap=True)
    generated = folder / "firmware" / "generated"
    build_app(generated, folder, ("-O2", "-fanalyzer"))  # finds nothing
    return build_app(generated, folder, ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover"))


def disarm(pilot: Pilot, armed: int = 0) -> None:
    pilot.app.world.armed = pilot.app.world.can_fly = pilot.app.world.flying = armed
    pilot.app.world.motors_allowed = armed


@pytest.fixture
def radio(swappable: Path) -> Radio:
    """Of an app that stands, disarmed."""
    pilot = make_pilot(swappable)
    disarm(pilot)
    pilot.step(25)
    return Radio(pilot)


@pytest.fixture(scope="module")
def old(policy: Callable[..., LoadedPolicy]) -> LoadedPolicy:
    return policy()


@pytest.fixture(scope="module")
def new(policy: Callable[..., LoadedPolicy]) -> LoadedPolicy:
    return policy(0.25)


def begin(radio: Radio, loaded: Any) -> None:
    for _ in radio.upload(loaded):
        pass


def settle(radio: Radio, calls: int = 100) -> None:
    for _ in range(calls):
        radio.call()


def test_another_policy_runs_and_is_named_and_flies_by_its_own_numbers(
    radio: Radio, old: LoadedPolicy, new: LoadedPolicy
) -> None:
    """A hovering machine off its place tells the two policies apart by what the rotors get."""

    def flown() -> bytes:
        disarm(radio.pilot, 1)
        radio.pilot.step(25)
        radio.pilot.hand_over()
        forces = bytes(radio.pilot.motion.forces)
        radio.pilot.ask(0)
        disarm(radio.pilot)
        radio.pilot.step(25)
        return forces

    by_old = flown()
    assert radio.hash == old.policy_hash[:8]
    who = radio.load(new)
    assert radio.hash == new.policy_hash[:8] and who.board == "crazyflie"
    by_new = flown()
    assert by_new != by_old
    radio.load(old)
    assert (radio.hash, flown()) == (old.policy_hash[:8], by_old)


def test_a_call_moves_one_packet_and_none_of_them_is_a_control_periods(radio: Radio, new: LoadedPolicy) -> None:
    periods = radio.pilot.log("tick")
    calls = len(radio.packets)
    radio.load(new)
    due = [n for i, n in enumerate(radio.packets) if (radio.pilot.calls - len(radio.packets) + i + 1) % 10 == 1]
    assert max(radio.packets) == 1 and sum(due) == 0
    assert radio.pilot.log("tick") - periods == pytest.approx((len(radio.packets) - calls) / 10, abs=1)
    assert radio.pilot.log("late") == 0


def test_it_says_who_it_is_in_flight_and_takes_nothing(radio: Radio, old: LoadedPolicy, new: LoadedPolicy) -> None:
    disarm(radio.pilot, 1)
    radio.pilot.step(25)
    radio.pilot.hand_over()
    who = radio.identify()
    assert who.armed and who.policy_hash == old.policy_hash
    with pytest.raises(Refused, match="refuses SWAP_BEGIN: not while it is armed"):
        begin(radio, blob(new))
    assert radio.pilot.policy_flies and radio.pilot.log("late") == 0


@pytest.mark.parametrize("sent", [0, 1, 3, 1000], ids=["begun", "a piece", "three pieces", "all, and it is tested"])
def test_arming_ends_a_swap_wherever_it_stands(radio: Radio, old: LoadedPolicy, new: LoadedPolicy, sent: int) -> None:
    steps = radio.upload(blob(new))
    for _ in zip(range(sent + 1), steps, strict=False):
        pass
    assert radio.swap_state().phase == (SwapPhase.TESTING if sent == 1000 else SwapPhase.RECEIVING)
    disarm(radio.pilot, 1)
    settle(radio)
    disarm(radio.pilot)
    settle(radio)
    state = radio.swap_state()
    assert (state.phase, state.verdict, radio.hash) == (SwapPhase.IDLE, Verdict.REFUSED_ARMED, old.policy_hash[:8])
    if sent < 1000:
        with pytest.raises(Refused, match="no swap is under way"):
            next(steps)
    radio.load(new)
    assert radio.hash == new.policy_hash[:8]


def test_an_upload_left_half_way_leaves_the_old_policy_to_fly_and_a_new_one_begins_anew(
    radio: Radio, old: LoadedPolicy, new: LoadedPolicy
) -> None:
    steps = radio.upload(blob(new))
    next(steps), next(steps)
    settle(radio)
    assert radio.hash == old.policy_hash[:8]
    radio.load(new)
    assert radio.hash == new.policy_hash[:8]
    steps = radio.upload(blob(old))
    next(steps), next(steps)
    disarm(radio.pilot, 1)
    radio.pilot.step(25)
    radio.pilot.hand_over()
    assert radio.hash == new.policy_hash[:8]


def test_a_corrupt_image_never_runs(radio: Radio, old: LoadedPolicy, new: LoadedPolicy) -> None:
    good = blob(new)
    for at in range(0, len(good.image), 97):
        image = bytearray(good.image)
        image[at] ^= 0x10
        with pytest.raises(Refused, match="CRC"):
            begin(radio, SimpleNamespace(header=good.header, image=bytes(image), crc=good.crc))
    for at in range(0, 40, 4):  # under a CRC that holds, the self-test tells
        image = bytearray(good.image)
        image[at : at + 4] = struct.pack("<f", np.nan)
        begin(radio, dataclasses.replace(good, image=bytes(image)))
        settle(radio, 20)
        assert radio.swap_state().verdict == Verdict.SELF_TEST_FAILED
    assert radio.hash == old.policy_hash[:8]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"version": 2}, Verdict.WRONG_BLOB),
        ({"interface_hash": "11" * 32}, Verdict.WRONG_INTERFACE),
        ({"topology": "11" * 32}, Verdict.WRONG_TOPOLOGY),
        ({"image": b"\0" * 4}, Verdict.WRONG_BLOB),
    ],
)
def test_a_header_that_does_not_fit_is_refused_by_its_name(
    radio: Radio, new: LoadedPolicy, changes: dict[str, object], verdict: Verdict
) -> None:
    radio.identify()
    answer = radio.ask(radio._next(Type.SWAP_BEGIN, dataclasses.replace(blob(new), **changes).header))
    assert parse_ack(answer.payload, Type.SWAP_BEGIN) == verdict


@pytest.mark.parametrize("kind", [Type.ARM, Type.DISARM, Type.OBSERVE, Type.RESET, Type.SELF_TEST, Type.PING])
def test_nobody_flies_it_over_this_link(radio: Radio, old: LoadedPolicy, kind: Type) -> None:
    radio.identify()
    with pytest.raises(Refused, match="brings other policies and nothing else"):
        radio._command(kind, bytes.fromhex(old.policy_hash))
    settle(radio)
    assert not radio.pilot.policy_flies


def test_a_request_longer_than_it_takes_has_no_answer_and_the_next_one_has(radio: Radio) -> None:
    radio.identify()
    with pytest.raises(NoAnswer):
        radio._command(Type.SWAP_DATA, bytes(4 + PolicyRadio.swap_piece + 1))
    assert radio.swap_state().phase == SwapPhase.IDLE


def test_a_full_queue_on_the_way_out_loses_nothing(radio: Radio) -> None:
    """Nobody takes the packets for a while: identity is longer than the queue."""
    radio.send(encode(bytes(Message(Type.HELLO, 0))))
    radio.pilot.step(100)
    waiting = list(radio.pilot.app.received())
    assert len(waiting) == 10
    messages = [Message.parse(m) for p in waiting for m in radio.decoder.feed(p)]
    for _ in range(20):
        messages += radio.call()
    assert [m.type for m in messages] == [Type.IDENT]


PACKETS = st.one_of(
    st.binary(max_size=PACKET_BYTES),
    st.builds(
        lambda kind, payload: encode(bytes(Message(kind, 0, payload)))[:PACKET_BYTES],
        st.sampled_from([Type.HELLO, Type.SWAP_STATUS, Type.SWAP_DATA, Type.SWAP_COMMIT, Type.ARM]),
        st.binary(max_size=20),
    ),
)


@settings(max_examples=50, deadline=None)
@given(packets=st.lists(PACKETS, max_size=30))
def test_any_packets_leave_the_policy_and_the_link_as_they_are(
    swappable: Path, old: LoadedPolicy, packets: list[bytes]
) -> None:
    pilot = make_pilot(swappable)
    disarm(pilot)
    radio = Radio(pilot)
    for packet in packets:
        pilot.app.send(packet)
        radio.call()
    settle(radio, 300)
    radio.send(b"\0")
    assert radio.identify().policy_hash == old.policy_hash


def test_a_build_without_hot_swap_hears_nothing(pilot: Pilot) -> None:
    disarm(pilot)
    with pytest.raises(NoAnswer):
        Radio(pilot).identify()
