"""The host's end of a serial line to a board."""

from __future__ import annotations

from robostack_real.link.errors import LinkLost
from robostack_real.link.framed import READ_S, FramedSession
from robostack_real.link.port import open_port, waiting

BAUD = 921_600


class BoardLink(FramedSession):
    """A board on a serial device, a pseudo-terminal, or anything `serial.serial_for_url` opens.

    The port is taken for this process alone. Raises PortAbsent, PortBusy, or LinkError for another reason.
    """

    advice = f"check its power, the baud rate ({BAUD}), and that it runs robostack firmware"

    def __init__(self, port: str, *, answer_s: float = 0.25, attempts: int = 12) -> None:
        super().__init__(port, answer_s, attempts)
        self._port = open_port(port, BAUD, READ_S)

    def close(self) -> None:
        self._port.close()

    def send_raw(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except OSError as error:
            raise self._lost(error) from error

    def _receive(self) -> bytes:
        try:
            return waiting(self._port)
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> LinkLost:
        return LinkLost(f"{self._name()} is gone ({error}): check the cable and open the link again")
