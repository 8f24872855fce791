"""firmware/link/*.c in this process: the codec by itself, and the server as a board that answers at once."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from robostack.export.firmware import firmware_source
from robostack_real.link.frame import Decoder, encode, frame_size
from robostack_real.link.protocol import Actuation, Message, Type
from robostack_real.link.session import BoardSession

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Werror", "-ffp-contract=off")


def sources(generated: Path) -> list[str]:
    """Compiler arguments for the link, the envelope, the kernels and the policy in `generated`."""
    firmware = firmware_source()
    folders = [generated, *(firmware / room for room in ("link", "envelope", "policy"))]
    return [*(f"-I{d}" for d in folders), *(str(f) for d in folders for f in sorted(d.glob("*.c")))]


def compile_library(folder: Path, generated: Path) -> ctypes.CDLL:
    library, harness = folder / "link.so", Path(__file__).parent / "harness.c"
    command = ["cc", *FLAGS, "-O2", "-shared", "-fPIC", str(harness), *sources(generated), "-o", str(library)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


class _CDecoder(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("capacity", ctypes.c_uint16), ("size", ctypes.c_uint16),
        ("left", ctypes.c_uint8), ("full", ctypes.c_uint8), ("started", ctypes.c_uint8),
        ("too_long", ctypes.c_uint8), ("crc_errors", ctypes.c_uint32), ("length_errors", ctypes.c_uint32),
    )  # fmt: skip


class CFrames:
    """firmware/link/frame.c with the face of robostack_real.link.frame."""

    READY = 1

    def __init__(self, library: ctypes.CDLL, max_message: int) -> None:
        self._library = library
        self._buffer = ctypes.create_string_buffer(max_message + 4)
        self._decoder = _CDecoder()
        library.rs_decoder_init(ctypes.byref(self._decoder), self._buffer, ctypes.c_uint16(max_message + 4))

    def encode(self, message: bytes) -> bytes:
        room = frame_size(len(message))
        out = ctypes.create_string_buffer(room + 1)
        out[room] = b"\xa5"
        self._library.rs_frame_encode.restype = ctypes.c_uint16
        size = self._library.rs_frame_encode(message, ctypes.c_uint16(len(message)), out)
        assert size <= room
        assert out[room] == b"\xa5", "written past RS_FRAME_SIZE"
        return out.raw[:size]

    def encode_in_place(self, message: bytes) -> bytes:
        """As the server does: the message lies in its own frame, as near the front as it may."""
        out = ctypes.create_string_buffer(frame_size(len(message)))
        lead = 2 + (len(message) + 4) // 254  # RS_FRAME_LEAD
        ctypes.memmove(ctypes.byref(out, lead), message, len(message))
        self._library.rs_frame_encode.restype = ctypes.c_uint16
        size = self._library.rs_frame_encode(ctypes.byref(out, lead), ctypes.c_uint16(len(message)), out)
        return out.raw[:size]

    def feed(self, data: bytes) -> list[bytes]:
        found = []
        for byte in data:
            if self._library.rs_decoder_feed(ctypes.byref(self._decoder), ctypes.c_uint8(byte)) == self.READY:
                found.append(self._buffer.raw[: self._decoder.size])
        return found

    @property
    def errors(self) -> tuple[int, int]:
        return self._decoder.crc_errors, self._decoder.length_errors


class Bench(BoardSession):
    """The C server behind the Python client's own session: what one writes the other reads."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.where = "bench"
        self._library = library
        self._decoder = Decoder()
        self._out = ctypes.create_string_buffer(4096)
        library.bench_start.restype = ctypes.c_bool
        assert library.bench_start()

    def feed(self, data: bytes) -> list[Message]:
        """Bytes as they come over the line; the board's answers."""
        size = self._library.bench_feed(data, ctypes.c_uint32(len(data)), self._out)
        return [Message.parse(m) for m in self._decoder.feed(self._out.raw[:size])]

    def send(self, message: Message) -> list[Message]:
        return self.feed(encode(bytes(message)))

    def tick(self, sent: int = -1) -> Actuation | None:
        """One control period; None when the board says nothing."""
        size = self._library.bench_tick(self._out)
        messages = [Message.parse(m) for m in self._decoder.feed(self._out.raw[:size])]
        return Actuation.parse(messages[0], 2, sent) if messages else None

    def set_clock(self, name: str, value: int) -> None:
        ctypes.c_uint32.in_dll(self._library, f"clock_{name}").value = value

    def clock(self, name: str) -> int:
        return ctypes.c_uint32.in_dll(self._library, f"clock_{name}").value

    def close(self) -> None:
        pass

    def _pass_time(self) -> None:
        self.tick()

    def _ask(self, request: Message, answer: Type) -> Message:
        (message,) = self.send(request)
        return self._expect(message, request, answer)

    def _exchange(self, observe: Message) -> Actuation:
        assert self.send(observe) == []
        actuation = self.tick(observe.sequence)
        assert actuation is not None
        return actuation
