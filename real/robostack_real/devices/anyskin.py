"""AnySkin or ReSkin on a serial port: magnetometers under a magnetised skin (Bhirangi et al. 2024, 2021).

A thread reads the port, so that an age is that since the bytes came. Unplugged, it looks for the port until it is back;
the baseline stays, since what is in the grip then must not become the new zero.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from robostack_real.devices.tactile import Touch
from robostack_real.link.errors import LinkLost, NoAnswer
from robostack_real.link.port import open_port, waiting
from robostack_real.link.skin_frames import MAGNETOMETERS, SkinDecoder

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]

BAUD = 115_200
"""nominal: USB does not go by it, and a true UART carries 140 frames a second"""
READ_S = 0.02
AGAIN_S = 0.2
"""between two looks for a port that is gone"""
SILENT_S = 0.25
"""without a frame while the port is there"""
TARE_FRAMES, TARE_S = 100, 2.0
STILL_FRAMES = 50
"""exactly alike from one magnetometer, whose noise is several steps: it is dead, and the board repeats itself"""
STEP_UT = np.array([0.150, 0.150, 0.242], np.float32)
"""uT a count, of an MLX90393 as AnySkin's firmware sets it (data sheet: gain 7, resolution 0)"""
LIMIT_UT = 32767.0 * STEP_UT
KEPT = 4096
"""readings for `read_all`, ten seconds of them"""


@dataclass(frozen=True)
class Board:
    """How a board's magnetometers lie under the pad, so that x and y of all are the pad's and their order is the
    middle, +x, +y, -x, -y: `order` are their places in a frame, `turn_deg` how far each one's x and y are turned.

    The default is the AnySkin board as its own visualiser draws it, seen through the gel; it was checked on none: press
    the skin at its edges and look.
    """

    order: tuple[int, ...] = (0, 2, 4, 1, 3)
    turn_deg: tuple[float, ...] = (-90.0, 180.0, 0.0, -90.0, 90.0)

    def from_wire(self, field_ut: Array) -> Array:
        """(5, 3) as in a frame -> along the pad's axes, in the contract's order."""
        return np.einsum("iab,ib->ia", self._turns, field_ut[list(self.order)]).astype(np.float32)

    def to_wire(self, field_ut: Array) -> Array:
        """The way back."""
        out = np.empty_like(field_ut)
        out[list(self.order)] = np.einsum("iba,ib->ia", self._turns, field_ut)
        return out

    @cached_property
    def _turns(self) -> npt.NDArray[np.float64]:
        c, s = (f(np.radians(self.turn_deg)) for f in (np.cos, np.sin))
        zero, one = np.zeros_like(c), np.ones_like(c)
        return np.stack([c, -s, zero, s, c, zero, zero, zero, one], -1).reshape(-1, 3, 3).round(12)


class AnySkin:
    """See robostack_real.devices.tactile.TactileSensor: `values` are (5, 3) uT along the pad's axes of the magnetometer
    in the middle and those at +x, +y, -x, -y, less the baseline; `valid` (5, 1), false for one that is dead or at its
    limit. Entering it opens the port and tares.

    `frames`, `dropped` and `reconnects` count since then; `state` is live, silent or unplugged. Raises LinkError and
    its kinds: PortAbsent, PortBusy, NoAnswer for a port that does not speak as such a board does.
    """

    def __init__(self, port: str, board: Board | None = None) -> None:
        self.where, self.board = port, board or Board()
        self.baseline_ut: Array = np.zeros((MAGNETOMETERS, 3), np.float32)
        self.frames = self.reconnects = 0
        self._dropped, self._bytes = 0, 0
        self._decoder = SkinDecoder()
        self._kept: deque[tuple[float, Array, npt.NDArray[np.bool_]]] = deque(maxlen=KEPT)
        self._last: Array | None = None
        self._still = np.zeros(MAGNETOMETERS, int)
        self._last_s, self._why = time.monotonic(), ""
        self._done, self._came = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._listen, name=f"skin at {port}", daemon=True)

    @property
    def state(self) -> str:
        if self._why:
            return "unplugged"
        return "silent" if time.monotonic() - self._last_s > SILENT_S else "live"

    @property
    def dropped(self) -> int:
        return self._dropped + self._decoder.dropped

    @property
    def dead(self) -> npt.NDArray[np.bool_]:
        """(5,)"""
        return self._in_order(self._still >= STILL_FRAMES)

    def read(self) -> Touch | None:
        found = self.read_all()
        return found[-1] if found else None

    def read_all(self) -> list[Touch]:
        """Every reading since the last call, the newest last, as far back as KEPT. Raises LinkLost."""
        if self._why:
            self._kept.clear()
            raise LinkLost(self._why)
        now, found = time.monotonic(), []
        while self._kept:
            came_s, field_ut, valid = self._kept.popleft()
            found.append(Touch(field_ut - self.baseline_ut, max(0.0, now - came_s), valid))
        return found

    def tare(self) -> None:
        """By the mean of the next TARE_FRAMES; a dead one reads 0 from then on."""
        self._kept.clear()
        total, count, end = np.zeros((MAGNETOMETERS, 3)), 0, time.monotonic() + TARE_S
        while count < TARE_FRAMES:
            with self._came:
                self._came.wait_for(lambda: bool(self._kept), READ_S)
            for touch in self.read_all():
                total += touch.values + self.baseline_ut
                count += 1
            if time.monotonic() > end:
                raise NoAnswer(f"{self.where}: {self._advice(count)}")
        self.baseline_ut = (total / count).astype(np.float32)

    def _advice(self, count: int) -> str:
        if count:
            return f"only {count} frames in {TARE_S:g} s, of which a tare takes {TARE_FRAMES}"
        if self._bytes:
            return (
                f"{self._bytes} bytes came and no frame of {self._decoder.size}: it has another number of magnetometers"
                " than 5, or firmware that prints text; flash AnySkin's 5X_binary_burst_stream"
            )
        return f"nothing came in {TARE_S:g} s: check its power and that the port is the skin's"

    def __enter__(self) -> Self:
        self._open()
        self._thread.start()
        try:
            self.tare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
        self._port.close()

    def _open(self) -> None:
        self._port = open_port(self.where, BAUD, READ_S)
        self._port.read(self._port.in_waiting)  # of nobody knows when

    def _listen(self) -> None:
        while not self._done.is_set():
            try:
                data = waiting(self._port)
            except OSError as error:
                self._lose(error)
                continue
            self._bytes += len(data)
            came_s = time.monotonic()
            for frame in self._decoder.feed(data):
                self._take(frame, came_s)

    def _lose(self, error: Exception) -> None:
        """Until it is back, or nobody waits for it any more."""
        self._port.close()
        self._why = f"{self.where}: unplugged ({error}); it is read again as soon as it is back"
        log.warning(self._why)
        while not self._done.wait(AGAIN_S):
            try:
                self._open()
            except OSError:
                continue
            self._dropped += self._decoder.dropped
            self._decoder = SkinDecoder()
            self._still[:], self._last = 0, None
            self._kept.clear()
            self.reconnects += 1
            self._last_s, self._why = time.monotonic(), ""
            log.warning("%s: back, with the baseline from before", self.where)
            return

    def _take(self, frame: Array, came_s: float) -> None:
        field_ut = frame[:, 1:]
        within = (np.abs(field_ut) < LIMIT_UT - STEP_UT / 2).all(1)
        if self._last is not None:
            self._still = np.where(within & (field_ut == self._last).all(1), self._still + 1, 0)
        self._last, self._last_s = field_ut, came_s
        self.frames += 1
        sound = within & (self._still < STILL_FRAMES)
        with self._came:
            self._kept.append((came_s, self.board.from_wire(field_ut), self._in_order(sound)[:, None]))
            self._came.notify()

    def _in_order(self, of_each: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return of_each[list(self.board.order)]
