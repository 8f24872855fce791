"""Messages between a host and a board that runs one policy: type u8, sequence u16, payload; little-endian.

The layouts are those of firmware/link/protocol.h. Everything here checks lengths and ranges and raises
ProtocolError; whether a number is finite is the envelope's business.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from robostack.runtime.envelope import Reason
from robostack.spec import SECTIONS
from robostack_real.link.errors import ProtocolError

VERSION = 3
NO_VECTOR = 0xFFFF
NO_CHANNEL = 0xFF
MAX_CHANNELS = 32
MAX_PING = 128
MAX_SWAP_DATA = 508
AGE_UNIT_S = 1e-4
AGE_MAX = 0xFFFF
"""In units of AGE_UNIT_S: that old or older."""
DIGEST_SIZE = 32

_HEADER = struct.Struct("<BH")
_IDENT = struct.Struct("<BHB")
_SIZES = struct.Struct("<fHHHHB")
_ACTUATE = struct.Struct("<IIHHHBBB")
_RESULT = struct.Struct("<HHfH")
_SWAP_STATE = struct.Struct("<BBI")

E = TypeVar("E", bound=IntEnum)
Float32s = npt.NDArray[np.float32]


class Type(IntEnum):
    HELLO = 0x01
    ARM = 0x02
    DISARM = 0x03
    OBSERVE = 0x04
    SELF_TEST = 0x05
    RESET = 0x06
    PING = 0x07
    WAIT = 0x08
    SWAP_BEGIN = 0x09
    SWAP_DATA = 0x0A
    SWAP_COMMIT = 0x0B
    SWAP_STATUS = 0x0C
    IDENT = 0x81
    ACK = 0x82
    ACTUATE = 0x84
    RESULT = 0x85
    PONG = 0x87
    SWAP_STATE = 0x8C


class Verdict(IntEnum):
    ACCEPTED = 0
    WRONG_POLICY = 1
    ALREADY_ARMED = 2
    SELF_TEST_FAILED = 3
    REFUSED_ARMED = 4
    NOT_SWAPPABLE = 5
    WRONG_BLOB = 6
    WRONG_INTERFACE = 7
    WRONG_TOPOLOGY = 8
    SWAP_NOT_BEGUN = 9
    SWAP_OUT_OF_PLACE = 10
    SWAP_INCOMPLETE = 11
    SWAP_DAMAGED = 12
    SWAP_NOT_FINITE = 13
    NOT_HERE = 14


class SwapPhase(IntEnum):
    IDLE = 0
    RECEIVING = 1
    TESTING = 2
    SHADOWING = 3


@dataclass(frozen=True)
class Message:
    type: Type
    sequence: int
    payload: bytes = b""

    def __bytes__(self) -> bytes:
        return _HEADER.pack(self.type, self.sequence & 0xFFFF) + self.payload

    @classmethod
    def parse(cls, data: bytes) -> Message:
        if len(data) < _HEADER.size:
            raise ProtocolError(f"a message of {len(data)} bytes: its header alone takes {_HEADER.size}")
        number, sequence = _HEADER.unpack_from(data)
        return cls(_member(Type, number, "message type"), sequence, data[_HEADER.size :])


@dataclass(frozen=True)
class Identity:
    """Who answers: the board, and the policy that it runs."""

    board: str
    task: str
    control_dt_s: float
    observation_size: int
    action_size: int
    state_size: int
    num_channels: int
    weight_bits: int
    """Of its network: 32, float; 16, integers."""
    section_digests: dict[str, str]
    interface_hash: str
    policy_hash: str
    topology: str | None
    """Of the blobs that fit (robostack.export.blob); None: firmware without hot swap."""
    armed: bool
    tripped: bool
    last_sequence: int
    """Sequence number the board accepted last: a client goes on from there."""

    @classmethod
    def parse(cls, payload: bytes) -> Identity:
        version = payload[0] if payload else None
        if version != VERSION:
            raise ProtocolError(
                f"the board speaks protocol {version}, this robostack {VERSION}: "
                "flash firmware that this robostack generated, or install the version that generated it"
            )
        try:
            _, last, status = _IDENT.unpack_from(payload)
            board, at = _text(payload, _IDENT.size)
            task, at = _text(payload, at)
            dt_s, observation_size, action_size, state_size, num_channels, weight_bits = _SIZES.unpack_from(payload, at)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise ProtocolError(f"IDENT of {len(payload)} bytes: {error}") from error
        digests = payload[at + _SIZES.size :]
        if len(digests) != (len(SECTIONS) + 3) * DIGEST_SIZE:
            raise ProtocolError(f"IDENT: {len(digests)} bytes of digests, not {len(SECTIONS) + 3} x 32")
        each = [digests[i : i + DIGEST_SIZE].hex() for i in range(0, len(digests), DIGEST_SIZE)]
        return cls(
            board=board, task=task, control_dt_s=dt_s, observation_size=observation_size,
            action_size=action_size, state_size=state_size, num_channels=num_channels, weight_bits=weight_bits,
            section_digests=dict(zip(SECTIONS, each[:-3], strict=True)), interface_hash=each[-3],
            policy_hash=each[-2], topology=each[-1] if any(digests[-DIGEST_SIZE:]) else None,
            armed=bool(status & 1), tripped=bool(status & 2), last_sequence=last,
        )  # fmt: skip


@dataclass(frozen=True)
class Actuation:
    """What the actuators got in one control period, and how the board is."""

    action: Float32s
    """(action_size,) in the contract's units, after the envelope."""
    sequence: int
    """Of the newest observation the board had."""
    answered: bool
    """That observation is the one just sent: False when it was dropped, damaged or came late."""
    armed: bool
    tripped: bool
    rung: int | None
    """Index in the fallback ladder of the rung that acts, while tripped."""
    reason: Reason
    channel: int | None
    """Index of the channel that tripped the envelope."""
    tick: int
    """Control periods since the board started or was reset."""
    ticks_spent: int
    """Stopwatch counts in the controller: instructions on the emulated board in lockstep."""
    deadline_misses: int
    rejected: int
    """Damaged or malformed frames."""
    stale: int
    """Repeated, reordered or late frames."""

    @classmethod
    def parse(cls, message: Message, action_size: int, sent: int) -> Actuation:
        payload = message.payload
        if message.type != Type.ACTUATE or len(payload) != actuate_size(action_size):
            raise ProtocolError(f"{message.type.name} of {len(payload)} bytes is no ACTUATE with {action_size} actions")
        tick, spent, misses, rejected, stale, status, reason, channel = _ACTUATE.unpack_from(payload)
        tripped = bool(status & 2)
        return cls(
            action=np.frombuffer(payload, dtype="<f4", offset=_ACTUATE.size).astype(np.float32),
            sequence=message.sequence, answered=message.sequence == sent,
            armed=bool(status & 1), tripped=tripped, rung=status >> 4 if tripped else None,
            reason=_member(Reason, reason, "trip reason"), channel=None if channel == NO_CHANNEL else channel,
            tick=tick, ticks_spent=spent,
            deadline_misses=misses, rejected=rejected, stale=stale,
        )  # fmt: skip


@dataclass(frozen=True)
class SelfTestResult:
    """How the board's build fares on the vectors that came with the policy."""

    count: int
    failures: int
    worst: float
    """Largest error, as a share of the action's range."""
    outputs: Float32s | None
    """(action_size + state_size,) of the vector asked for: the host can compare the bytes."""

    @classmethod
    def parse(cls, payload: bytes, output_size: int) -> SelfTestResult:
        try:
            count, failures, worst, vector = _RESULT.unpack_from(payload)
        except struct.error as error:
            raise ProtocolError(f"RESULT of {len(payload)} bytes: {error}") from error
        outputs = np.frombuffer(payload[_RESULT.size :], dtype=np.uint8)
        if outputs.size != (0 if vector == NO_VECTOR else 4 * output_size) or failures > count:
            raise ProtocolError(
                f"RESULT: {outputs.size} bytes of outputs for vector {vector}, {failures} failures of {count}"
            )
        return cls(count, failures, worst, outputs.view("<f4").astype(np.float32) if outputs.size else None)


@dataclass(frozen=True)
class SwapState:
    """How far a hot swap has come."""

    phase: SwapPhase
    verdict: Verdict
    """How the last one ended, when idle."""
    received: int
    """Bytes of the image."""

    @classmethod
    def parse(cls, payload: bytes) -> SwapState:
        try:
            phase, verdict, received = _SWAP_STATE.unpack(payload)
        except struct.error as error:
            raise ProtocolError(f"SWAP_STATE of {len(payload)} bytes: {error}") from error
        return cls(_member(SwapPhase, phase, "phase of a swap"), _member(Verdict, verdict, "verdict"), received)


def observe_size(channels: int, values: int) -> int:
    """Bytes of an OBSERVE's payload."""
    return 4 + 2 * channels + 4 * values


def actuate_size(actions: int) -> int:
    """Bytes of an ACTUATE's payload."""
    return _ACTUATE.size + 4 * actions


def observe_payload(values: Float32s, fresh: Sequence[bool], age_s: Sequence[float]) -> bytes:
    """(observation_size,) values, and for each channel whether it is new and how old it already is.

    Ages are in 0.1 ms, rounded up, and saturate at 6.5535 s. Raises ValueError for a negative age or NaN.
    """
    if not 0 < len(fresh) == len(age_s) <= MAX_CHANNELS:
        raise ValueError(f"{len(fresh)} fresh marks and {len(age_s)} ages: one of each a channel, at most 32")
    mask = sum(1 << i for i, new in enumerate(fresh) if new)
    ages = [_age(a) for a in age_s]
    return struct.pack(f"<I{len(ages)}H", mask, *ages) + values.astype("<f4", copy=False).tobytes()


def _age(age_s: float) -> int:
    if not age_s >= 0:
        raise ValueError(f"age {age_s} s: an age is 0 or more")
    return AGE_MAX if age_s >= AGE_MAX * AGE_UNIT_S else math.ceil(age_s / AGE_UNIT_S - 1e-6)


def parse_ack(payload: bytes, request: Type) -> Verdict:
    if len(payload) != 2 or payload[0] != request:
        raise ProtocolError(f"ACK {payload.hex()} does not answer {request.name}")
    return _member(Verdict, payload[1], "verdict")


def _text(payload: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + payload[at]
    if end > len(payload):
        raise IndexError(f"a text ends at byte {end}")
    return payload[at + 1 : end].decode("ascii"), end


def _member(kind: type[E], number: int, what: str) -> E:
    try:
        return kind(number)
    except ValueError:
        raise ProtocolError(f"{what} {number} is not one of {[m.name for m in kind]}") from None
