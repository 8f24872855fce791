"""The host's end of a serial line to a board."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from typing import Any

import serial
from serial.tools import list_ports

from robostack_real.link.errors import LinkError, LinkLost, NoAnswer, PortAbsent, PortBusy
from robostack_real.link.frame import Decoder, encode
from robostack_real.link.protocol import Actuation, Message, Type, Verdict, parse_ack
from robostack_real.link.round_trips import RoundTrips
from robostack_real.link.session import BoardSession

BAUD = 921_600
READ_S = 0.02
"""One wait for bytes; changing it while open costs a reconfiguration of the port."""


class BoardLink(BoardSession):
    """A board on a serial device, a pseudo-terminal, or anything `serial.serial_for_url` opens.

    The port is taken for this process alone. Raises PortAbsent, PortBusy, or LinkError for another reason.
    """

    def __init__(self, port: str, *, answer_s: float = 0.25, attempts: int = 12) -> None:
        self.where = port
        self.round_trips = RoundTrips()
        self._answer_s = answer_s
        self._attempts = attempts
        self._actuate_s = answer_s * attempts
        self._decoder = Decoder()
        self._port = _open(port)

    @property
    def damaged(self) -> int:
        """Frames from the board that were dropped."""
        return self._decoder.crc_errors + self._decoder.length_errors

    def close(self) -> None:
        self._port.close()

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
            f"{self._answer_s:g} s ({self.damaged} damaged frames): check its power, the baud rate ({BAUD}), "
            "and that it runs robostack firmware"
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

    def send_raw(self, data: bytes) -> None:
        """Puts bytes on the line as they are, for tests of a line that damages them."""
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error

    def _write(self, message: Message) -> None:
        self.send_raw(encode(bytes(message)))

    def _messages(self, within_s: float) -> Iterator[Message]:
        """Messages as they come, until `within_s` have passed."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                data = self._port.read(1)
                data += self._port.read(self._port.in_waiting) if data else b""
            except (serial.SerialException, OSError, TypeError) as error:  # TypeError: closed meanwhile
                raise self._lost(error) from error
            for frame in self._decoder.feed(data):
                yield Message.parse(frame)

    def _lost(self, error: Exception) -> LinkLost:
        return LinkLost(f"{self._name()} is gone ({error}): check the cable and open the link again")


def _open(port: str) -> Any:
    try:
        return serial.serial_for_url(port, baudrate=BAUD, timeout=READ_S, write_timeout=2.0, exclusive=True)
    except ValueError as error:
        raise LinkError(f"{port}: {error}; give a device (/dev/ttyACM0) or a URL of pyserial's") from error
    except OSError as error:  # SerialException is one; errno is the system's where it has one
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ECONNREFUSED):
            found = ", ".join(p.device for p in list_ports.comports()) or "none"
            raise PortAbsent(f"{port}: there is no such port (found: {found}); plug the board in") from error
        if error.errno in (errno.EBUSY, errno.EAGAIN):
            raise PortBusy(f"{port}: another process has it; close that one first") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise LinkError(f"{port}: not permitted; join its group (dialout) and log in again") from error
        raise LinkError(f"{port}: {error}; give a serial device such as /dev/ttyACM0") from error
