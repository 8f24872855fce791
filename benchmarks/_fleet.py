"""Boards side by side, fed with bytes period by period: as C in this process, or emulated in lockstep."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from robostack.export.host import WARNINGS, compile_c
from robostack.spec import PolicySpec
from robostack_real.link.frame import encode
from robostack_real.link.protocol import Actuation, Message, Type, parse_ack
from robostack_real.twins.board import LockstepBoard
from robostack_real.twins.kinds import EmulatedBoard

Ints = npt.NDArray[np.int32]
SEEN = ("armed", "tripped", "reason", "channel", "rung", "deadline_misses", "tick", "verdict")


@dataclass(frozen=True)
class Seen:
    """Of every board after a period, (n,) each: see `seen_t` in fleet.c."""

    action: npt.NDArray[np.float32]
    """(n, action_size)"""
    armed: Ints
    tripped: Ints
    reason: Ints
    channel: Ints
    rung: Ints
    deadline_misses: Ints
    tick: Ints
    verdict: Ints


class Fleet(Protocol):
    size: int
    sequence: int
    """the number that the next frame to all boards carries"""

    def start(self) -> None:
        """Every board disarmed, with nothing seen and nothing counted."""

    def period(self, wires: Sequence[bytes], overrun: npt.NDArray[np.uint32]) -> Seen:
        """One control period in which board i is given wires[i], after an overrun of so many units (see the fleet)."""

    def close(self) -> None:
        """Ends the boards."""


class HostFleet:
    """The firmware's C in this process; a unit of overrun is one control period without a tick."""

    def __init__(self, spec: PolicySpec, firmware: Path, size: int) -> None:
        self.size, self.sequence = size, 1
        self._actions = spec.action_size
        rooms = [firmware / "generated", *(firmware / room for room in ("policy", "envelope", "link"))]
        files = [Path(__file__).with_name("fleet.c"), *(c for room in rooms for c in sorted(room.glob("*.c")))]
        library = firmware / "fleet.so"
        command = ["cc", *WARNINGS, "-O2", "-ffp-contract=off", "-shared", "-fPIC", *(f"-I{room}" for room in rooms)]
        compile_c([*command, *files, "-o", library], "a fleet of boards")
        self._library = ctypes.CDLL(str(library))
        self._library.fleet_start.restype = ctypes.c_bool

    def start(self) -> None:
        self.sequence = 1
        if not self._library.fleet_start(ctypes.c_uint32(self.size)):
            raise ValueError(f"a fleet of {self.size} boards: fleet.c has room for fewer")

    def period(self, wires: Sequence[bytes], overrun: npt.NDArray[np.uint32]) -> Seen:
        sizes = np.array([len(w) for w in wires], np.uint32)
        missed = np.ascontiguousarray(overrun, np.uint32)
        action = np.empty((self.size, self._actions), np.float32)
        seen = np.empty((self.size, len(SEEN)), np.int32)
        self._library.fleet_period(
            ctypes.c_uint32(self.size), b"".join(wires), *(a.ctypes.data_as(ctypes.c_void_p) for a in (sizes, missed)),
            *(a.ctypes.data_as(ctypes.c_void_p) for a in (action, seen)),
        )  # fmt: skip
        return Seen(action, *(seen[:, k] for k in range(len(SEEN))))

    def close(self) -> None:
        pass


class BoardFleet:
    """Emulated boards in lockstep. A unit of overrun is a delivery of questions that take the board about a tenth of a
    control period to answer; nothing that is delivered ends a period meanwhile."""

    QUESTIONS = 150
    """whose answers fit a FIFO"""

    def __init__(self, kind: EmulatedBoard, firmware: Path, size: int) -> None:
        self.size, self.sequence = size, 1
        self._boards: list[LockstepBoard] = []
        try:
            for _ in range(size):
                self._boards.append(kind.lockstep(firmware).__enter__())
        except BaseException:
            self.close()
            raise
        self._actions = self._boards[0].identify().action_size

    def start(self) -> None:
        for board in self._boards:
            board._sequence = self.sequence
            board.disarm()
            board.reset()
        self.sequence += 3  # two taken

    def period(self, wires: Sequence[bytes], overrun: npt.NDArray[np.uint32]) -> Seen:
        rows = [self._one(*each) for each in zip(self._boards, wires, overrun, strict=True)]
        seen = np.array([row for _, row in rows], np.int32)
        return Seen(np.stack([action for action, _ in rows]), *(seen[:, k] for k in range(len(SEEN))))

    def _one(self, board: LockstepBoard, wire: bytes, overrun: int) -> tuple[np.ndarray, tuple[int, ...]]:
        questions = encode(bytes(Message(Type.HELLO, 0))) * self.QUESTIONS
        for _ in range(overrun):
            board._send_bytes(questions)
            answers: list[Message] = []
            while len(answers) < self.QUESTIONS:
                answers += board._arrived()
        silence = Message(Type.WAIT, self.sequence - 0x4000)  # in lockstep it takes a word; a stale one changes nothing
        board._send_bytes(wire + encode(bytes(silence)))
        verdict = -1
        while True:
            for message in board._arrived():
                if message.type == Type.ACK:
                    verdict = int(parse_ack(message.payload, Type(message.payload[0])))
                if message.type == Type.ACTUATE:
                    a = Actuation.parse(message, self._actions, 0)
                    rung, channel = (-1 if x is None else x for x in (a.rung, a.channel))
                    flags = (a.armed, a.tripped, a.reason, channel, rung, a.deadline_misses, a.tick, verdict)
                    return a.action, tuple(map(int, flags))

    def close(self) -> None:
        for board in self._boards:
            board.close()
