"""A dead man's switch: any key or button of an input device that a hand holds down.

Reads Linux's input events themselves (struct input_event of linux/input.h) from /dev/input/event*: a terminal sends no
key-up, a gamepad or keyboard does. When the device goes away the switch counts as let go.
"""

from __future__ import annotations

import os
import select
import struct
import threading
from pathlib import Path
from typing import Self

from robostack_real.link.errors import LinkError

_EVENT = struct.Struct("llHHi")
"""seconds, microseconds, type, code, value"""
EV_KEY = 1


class DeadMan:
    """`held()` while the context is entered. Raises LinkError when the device cannot be read."""

    def __init__(self, device: Path) -> None:
        self._device = device
        self._down: set[int] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dead man's switch", daemon=True)

    def held(self) -> bool:
        return bool(self._down)

    def __enter__(self) -> Self:
        try:
            self._file = os.open(self._device, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise LinkError(
                f"{self._device}: {error.strerror}; a dead man's switch is a gamepad or keyboard, /dev/input/event... "
                "(`ls -l /dev/input/by-id` names them; reading takes the group `input`)"
            ) from error
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
        os.close(self._file)

    def _watch(self) -> None:
        kept = b""
        while not self._done.is_set():
            if not select.select([self._file], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(self._file, 64 * _EVENT.size)
            except OSError:
                data = b""
            if not data:  # unplugged
                self._down.clear()
                return
            kept += data
            whole = len(kept) - len(kept) % _EVENT.size
            for _, _, kind, code, value in _EVENT.iter_unpack(kept[:whole]):
                if kind == EV_KEY:  # 1 pressed, 2 repeated, 0 let go
                    (self._down.add if value else self._down.discard)(code)
            kept = kept[whole:]
