"""Completes an MCAP file that was cut anywhere: by a full disk, a killed process, a power cut.

What is whole of it stays as it is, and the summary that readers want is made from that (https://mcap.dev/spec):
schemas, channels, an index of chunks, statistics. Files as rosbags writes them: records in chunks, not compressed.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from robostack.run_folder import RunFolderError

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX, STATISTICS, DATA_END = (
    0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0B, 0x0F,
)  # fmt: skip
CHUNK_HEAD = 32
"""bytes of an uncompressed chunk before its length: two times, size, CRC, an empty string"""


@dataclass
class _Chunk:
    """A whole one; `end` is that of its message indexes."""

    start: int
    length: int
    first_ns: int
    last_ns: int
    size: int
    end: int
    indexes: dict[int, int]
    """by channel, where its message index lies"""
    counts: Counter[int]
    """messages by channel"""
    declares: dict[tuple[int, int], bytes]
    """its schemas and channels as records, by kind and number"""


def mend(path: Path, *, may_grow: bool = True) -> int:
    """Returns how many bytes at the end of the file were lost. With `may_grow` false, for a full disk, as many whole
    chunks go with them as the summary needs.

    Raises RunFolderError for what is no such file, or cannot be written.
    """
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            chunks, end = _chunks(file, path)
            tail = _tail(chunks, end)
            while not may_grow and chunks and end + len(tail) > size:
                end = chunks.pop().start
                tail = _tail(chunks, end)
            file.truncate(end)
            file.seek(end)
            file.write(tail)
    except OSError as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(error.errno, f"{path} cannot be mended: {error.strerror or error}") from error
    return size - end


def _chunks(file: BinaryIO, path: Path) -> tuple[list[_Chunk], int]:
    """All whole chunks, and where the last one or the header ends."""
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise RunFolderError(f"{path}: not an MCAP file")
    found: list[_Chunk] = []
    end = len(MAGIC)
    for kind, start, content in _records(file, end):
        after = start + 9 + len(content)
        if kind == CHUNK:
            if content[28:32] != bytes(4):
                raise RunFolderError(f"{path}: its chunks are compressed, as ours are not; `mcap recover` mends it")
            found.append(_chunk(start, after, content))
        elif kind == MESSAGE_INDEX and found:
            found[-1].indexes[struct.unpack("<H", content[:2])[0]] = start
            found[-1].end = after
        elif found or kind == DATA_END:
            break  # what follows the data
        end = after
    if end == len(MAGIC):
        raise RunFolderError(f"{path}: cut within its first bytes: there is nothing to mend")
    return found, end


def _records(file: BinaryIO, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Kind, place and content of each whole record from `at` on."""
    file.seek(at)
    while len(head := file.read(9)) == 9:
        kind, length = struct.unpack("<BQ", head)
        content = file.read(min(length, 2**40))
        if len(content) < length:
            return
        yield kind, at, content
        at += 9 + length


def _chunk(start: int, end: int, content: bytes) -> _Chunk:
    first_ns, last_ns, size = struct.unpack("<QQQ", content[:24])
    chunk = _Chunk(start, end - start, first_ns, last_ns, size, end, {}, Counter(), {})
    at = CHUNK_HEAD + 8
    while at + 11 <= len(content):
        kind, length, number = struct.unpack("<BQH", content[at : at + 11])
        if kind == MESSAGE:
            chunk.counts[number] += 1
        elif kind in (SCHEMA, CHANNEL):
            chunk.declares[kind, number] = content[at : at + 9 + length]
        at += 9 + length
    return chunk


def _tail(chunks: list[_Chunk], start: int) -> bytes:
    """From the end of the data at `start` to the end of the file."""
    data_end = _record(DATA_END, bytes(4))
    declared = {key: record for chunk in chunks for key, record in chunk.declares.items()}
    indexes = []
    for c in chunks:
        places = b"".join(struct.pack("<HQ", number, place) for number, place in c.indexes.items())
        length = c.end - c.start - c.length
        head = struct.pack("<QQQQI", c.first_ns, c.last_ns, c.start, c.length, len(places))
        sizes = struct.pack("<QIQQ", length, 0, c.size, c.size)
        indexes.append(_record(CHUNK_INDEX, head + places + sizes))
    counts: Counter[int] = sum((c.counts for c in chunks), Counter())
    by_channel = b"".join(struct.pack("<HQ", number, count) for number, count in sorted(counts.items()))
    kinds = Counter(kind for kind, _ in declared)
    full = [c for c in chunks if c.counts]
    span = min((c.first_ns for c in full), default=0), max((c.last_ns for c in full), default=0)
    statistics = struct.pack(
        "<QHIIIIQQI", counts.total(), kinds[SCHEMA], kinds[CHANNEL], 0, 0, len(chunks), *span, len(by_channel)
    )
    summary = b"".join([*(declared[key] for key in sorted(declared)), *indexes])
    summary += _record(STATISTICS, statistics + by_channel)
    footer = _record(FOOTER, struct.pack("<QQI", start + len(data_end), 0, 0))
    return data_end + summary + footer + MAGIC


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content
