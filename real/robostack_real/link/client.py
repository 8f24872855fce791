"""The host's end of a serial line to a board."""

from __future__ import annotations

import errno
from typing import Any

import serial
from serial.tools import list_ports

from robostack_real.link.errors import LinkError, LinkLost, PortAbsent, PortBusy
from robostack_real.link.framed import READ_S, FramedSession

BAUD = 921_600


class BoardLink(FramedSession):
    """A board on a serial device, a pseudo-terminal, or anything `serial.serial_for_url` opens.

    The port is taken for this process alone. Raises PortAbsent, PortBusy, or LinkError for another reason.
    """

    advice = f"check its power, the baud rate ({BAUD}), and that it runs robostack firmware"

    def __init__(self, port: str, *, answer_s: float = 0.25, attempts: int = 12) -> None:
        super().__init__(port, answer_s, attempts)
        self._port = _open(port)

    def close(self) -> None:
        self._port.close()

    def send_raw(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error

    def _receive(self) -> bytes:
        try:
            data: bytes = self._port.read(1)
            return data + self._port.read(self._port.in_waiting) if data else b""
        except (serial.SerialException, OSError, TypeError) as error:  # TypeError: closed meanwhile
            raise self._lost(error) from error

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
