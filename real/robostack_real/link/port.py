"""Opening a serial port, with an error that says what is wrong with it."""

from __future__ import annotations

import errno
from typing import Any

import serial
from serial.tools import list_ports

from robostack_real.link.errors import LinkError, PortAbsent, PortBusy


def open_port(port: str, baud: int, read_s: float) -> Any:
    """A serial device, a pseudo-terminal, or anything `serial.serial_for_url` opens, for this process alone; a read
    waits `read_s`.

    Raises PortAbsent, PortBusy, or LinkError for another reason.
    """
    try:
        return serial.serial_for_url(port, baudrate=baud, timeout=read_s, write_timeout=2.0, exclusive=True)
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


def waiting(port: Any) -> bytes:
    """What has come, at least a byte unless none comes in the port's `read_s`. Raises OSError when it is gone."""
    try:
        data: bytes = port.read(1)
        return data + port.read(port.in_waiting) if data else b""
    except TypeError as error:  # pyserial's, where it was closed meanwhile
        raise OSError("closed") from error
