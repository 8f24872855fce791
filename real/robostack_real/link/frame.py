"""Frames on a byte stream: 0x00, COBS(message + CRC-32, little-endian), 0x00.

COBS (Cheshire & Baker 1999) leaves 0x00 for the delimiter alone, so a receiver that lost its place finds it
again at the next one. The same bytes as firmware/link/frame.c.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

CRC_SIZE = 4
BLOCK = 254
"""Data bytes of the longest COBS block; its code, 0xff, stands for no zero after it."""
MAX_MESSAGE = 8192


def frame_size(message_size: int) -> int:
    """Most bytes on the wire: two delimiters, and one code byte for each 254 data bytes begun."""
    return message_size + CRC_SIZE + (message_size + CRC_SIZE) // BLOCK + 3


def encode(message: bytes) -> bytes:
    """The frame of a message."""
    data = message + zlib.crc32(message).to_bytes(CRC_SIZE, "little")
    out = bytearray(b"\0")
    *followed, last = data.split(b"\0")
    for run, fits in (*((run, BLOCK - 1) for run in followed), (last, BLOCK)):  # a full block would swallow the zero
        start = 0
        while len(run) - start > fits:
            out.append(BLOCK + 1)
            out += run[start : start + BLOCK]
            start += BLOCK
        out.append(len(run) - start + 1)
        out += run[start:]
    out.append(0)
    return bytes(out)


@dataclass
class Decoder:
    """Takes the stream in pieces of any size; damaged frames are dropped and counted."""

    max_message: int = MAX_MESSAGE
    crc_errors: int = 0
    length_errors: int = 0
    """Frames cut short, too short for a CRC, or longer than `max_message`."""
    _open: bytes = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Messages of all frames that end in `data`."""
        *ended, last = (self._open + data).split(b"\0")
        self._open = last[: frame_size(self.max_message)]  # one byte too many is enough to know
        return [m for stuffed in ended if stuffed and (m := self._message(stuffed)) is not None]

    def _message(self, stuffed: bytes) -> bytes | None:
        data = _unstuff(stuffed)
        if data is None or not CRC_SIZE <= len(data) <= self.max_message + CRC_SIZE:
            self.length_errors += 1
            return None
        message, crc = data[:-CRC_SIZE], int.from_bytes(data[-CRC_SIZE:], "little")
        if zlib.crc32(message) != crc:
            self.crc_errors += 1
            return None
        return message


def _unstuff(stuffed: bytes) -> bytes | None:
    """Undoes COBS; None when the last block is cut short."""
    out = bytearray()
    i = 0
    while True:
        code = stuffed[i]
        block = stuffed[i + 1 : i + code]
        if len(block) != code - 1:
            return None
        out += block
        i += code
        if i == len(stuffed):
            return bytes(out)
        if code <= BLOCK:
            out.append(0)
