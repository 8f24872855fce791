"""Frames of a ReSkin or AnySkin board on a byte stream. They have no header, no counter and no checksum:

    for each magnetometer a temperature (degC) and x, y, z (uT), float32, little-endian; then CR LF

CR LF may stand inside a number as well, in the same place for as long as the number stays. So a frame is what stands
between two ends, 82 bytes apart, and holds nothing but what a magnetometer can say: of twenty numbers that are read a
byte or two off some are tiny or huge. A bit that flips inside a number goes unseen: nothing in a frame would tell.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

END = b"\r\n"
MAGNETOMETERS = 5
COLDEST_C, HOTTEST_C = -50.0, 130.0
STRONGEST_UT = 5.0e4
"""of an MLX90393 at its least gain (its data sheet, table of sensitivities)"""
LEAST = 1.0e-3
"""Neither degC nor uT are resolved so finely: what is less and not zero is no reading."""


class SkinDecoder:
    """Takes the stream in pieces of any size; `dropped` counts frames that came cut or damaged after a first good one,
    a lower bound where a piece is missing."""

    def __init__(self, magnetometers: int = MAGNETOMETERS) -> None:
        self.size = 16 * magnetometers + len(END)
        self._shape = (magnetometers, 4)
        self._low = np.array([COLDEST_C, -STRONGEST_UT, -STRONGEST_UT, -STRONGEST_UT], np.float32)
        self._high = np.array([HOTTEST_C, STRONGEST_UT, STRONGEST_UT, STRONGEST_UT], np.float32)
        self._kept = bytearray()
        self._locked = self._ever = False
        self._dropped = self._skipped = 0

    @property
    def dropped(self) -> int:
        return self._dropped + (-(-self._skipped // self.size) if self._ever else 0)

    def feed(self, data: bytes) -> list[Array]:
        """(magnetometers, 4) degC, uT, uT, uT of each frame that is known now to be one."""
        self._kept += data
        found = []
        while len(self._kept) >= self.size and (self._locked or self._find()):
            frame = self._frame(0)
            self._locked = frame is not None
            if frame is not None:
                found.append(frame)
                del self._kept[: self.size]
        return found

    def _frame(self, start: int) -> Array | None:
        """What stands there if it is a frame."""
        end = start + self.size
        if self._kept[end - len(END) : end] != END:
            return None
        frame = np.frombuffer(bytes(self._kept[start : end - len(END)]), "<f4").reshape(self._shape)
        with np.errstate(invalid="ignore"):
            sound = (frame >= self._low) & (frame <= self._high) & ((np.abs(frame) >= LEAST) | (frame == 0.0))
        return frame if sound.all() else None

    def _find(self) -> bool:
        """Skips to the first frame behind an end, or to the first end behind which one may yet come. True when it is
        there."""
        end = self._kept.find(END)
        while end >= 0:
            start = end + len(END)
            if len(self._kept) < start + self.size:
                self._skip(end)
                return False
            if self._frame(start) is not None:
                self._skip(start)
                self._dropped, self._skipped = self.dropped, 0
                self._locked = self._ever = True
                return True
            end = self._kept.find(END, end + 1)
        self._skip(len(self._kept) - 1)  # which may be half an end
        return False

    def _skip(self, count: int) -> None:
        self._skipped += count
        del self._kept[:count]
