"""Another policy for a Crazyflie by radio: the link's frames on the firmware's app channel."""

from __future__ import annotations

import queue

from robostack_real.devices.crazyflie import Crazyflie
from robostack_real.link.framed import READ_S, FramedSession

PACKET_BYTES = 30


class PolicyRadio(FramedSession):
    """What firmware/crazyflie/radio.h answers, over a connected Crazyflie: who it is, and `load`, while disarmed.

    A message goes out in packets of which each may get lost, so it is short, and asked again soon.
    """

    advice = (
        "its app takes no policy by radio unless it was exported with --hot-swap, is the controller "
        "(stabilizer.controller 6), and passes its own self-test (rsp.obstacle is neither 1 nor 2)"
    )
    swap_piece = 104
    """with its offset as long as a blob's header: RS_CF_MAX_REQUEST of radio.h"""

    def __init__(self, crazyflie: Crazyflie, *, answer_s: float = 0.1, attempts: int = 50) -> None:
        super().__init__(crazyflie.where, answer_s, attempts)
        self._crazyflie = crazyflie
        self._packets: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        crazyflie.hear_app(self._packets.put)

    def send_raw(self, data: bytes) -> None:
        self._crazyflie.check_link()
        for start in range(0, len(data), PACKET_BYTES):
            self._crazyflie.tell_app(data[start : start + PACKET_BYTES])

    def _receive(self) -> bytes:
        self._crazyflie.check_link()
        try:
            return self._packets.get(timeout=READ_S)
        except queue.Empty:
            return b""

    def close(self) -> None:
        """The Crazyflie's connection is its owner's."""
