"""The host's end of a link that carries frames and may lose some: a question is asked until its answer comes."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator

from robostack_real.link.errors import NoAnswer
from robostack_real.link.frame import Decoder, encode
from robostack_real.link.protocol import Actuation, Message, Type, Verdict, parse_ack
from robostack_real.link.round_trips import RoundTrips
from robostack_real.link.session import BoardSession

READ_S = 0.02
"""One wait for bytes; changing it while open costs a reconfiguration of a serial port."""


class FramedSession(BoardSession):
    """Each of `attempts` waits `answer_s` for an answer. `advice` is for a board that gives none."""

    advice: str

    def __init__(self, where: str, answer_s: float, attempts: int) -> None:
        self.where = where
        self.round_trips = RoundTrips()
        self._answer_s = answer_s
        self._attempts = attempts
        self._actuate_s = answer_s * attempts
        self._decoder = Decoder()

    @abstractmethod
    def send_raw(self, data: bytes) -> None:
        """Puts bytes on the line as they are. Raises LinkLost."""

    @abstractmethod
    def _receive(self) -> bytes:
        """Bytes as they come, none after READ_S. Raises LinkLost."""

    @property
    def damaged(self) -> int:
        """Frames from the board that were dropped."""
        return self._decoder.crc_errors + self._decoder.length_errors

    def _ask(self, request: Message, answer: Type) -> Message:
        for attempt in range(self._attempts):
            if attempt and request.type != Type.HELLO:  # the board may have had the first: be newer
                request = self._next(request.type, request.payload)
            self._write(request)
            for message in self._messages(self._answer_s):
                if message.sequence != request.sequence:
                    continue
                if message.type != Type.ACTUATE:
                    return self._first_arm(self._expect(message, request, answer), request, attempt)
        raise NoAnswer(
            f"{self._name()} did not answer {request.type.name} in {self._attempts} attempts of "
            f"{self._answer_s:g} s ({self.damaged} damaged frames): {self.advice}"
        )

    @staticmethod
    def _first_arm(message: Message, request: Message, attempt: int) -> Message:
        """An earlier attempt's lost answer may have been yes: then `already armed` says that it was."""
        if attempt and request.type == Type.ARM:
            verdict = parse_ack(message.payload, Type.ARM)
            if verdict == Verdict.ALREADY_ARMED:
                return Message(Type.ACK, message.sequence, bytes((Type.ARM, Verdict.ACCEPTED)))
        return message

    def _exchange(self, observe: Message) -> Actuation:
        """An armed board reports every period: two reports that do not know of this observation mean that it
        was lost, and still say what the actuators got."""
        start = time.monotonic()
        self._write(observe)
        unaware = 0
        for message in self._messages(self._actuate_s):
            if message.type != Type.ACTUATE:
                continue
            actuation = Actuation.parse(message, self._known().action_size, observe.sequence)
            if actuation.answered:
                self.round_trips.add(time.monotonic() - start)
                return actuation
            unaware += 1
            if unaware == 2:
                self.round_trips.lost += 1
                return actuation
        self.round_trips.lost += 1
        raise NoAnswer(
            f"{self._name()} did not actuate on observation {observe.sequence} within {self._actuate_s:g} s "
            f"({self.damaged} damaged frames): it may have restarted; identify() it again"
        )

    def _write(self, message: Message) -> None:
        self.send_raw(encode(bytes(message)))

    def _messages(self, within_s: float) -> Iterator[Message]:
        """Messages as they come, until `within_s` have passed."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for frame in self._decoder.feed(self._receive()):
                yield Message.parse(frame)
