"""my_device://HOST:PORT: a machine at the other end of a UDP line.

It sends what it measures as packed little-endian float32, all sensor channels of the contract in their order, to
whoever sent it an action last; an action comes as float32, too. The protocol is where your bus goes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import numpy as np

from robostack.export.onnx import LoadedPolicy
from robostack.runtime.controller import Sample
from robostack.runtime.envelope import Array
from robostack.spec import ContractError

SILENT_S = 0.5
"""without a word, and the machine counts as lost"""


class MyDevice:
    """See robostack.devices.Device. Raises ContractError for a URI without host and port."""

    paces, changes, tripped = False, False, ""

    def __init__(self, uri: str, policy: LoadedPolicy) -> None:
        self.where = uri
        host, _, port = uri.partition("://")[2].rpartition(":")
        if not host or not port.isdigit():
            raise ContractError(f"{uri}: say my_device://HOST:PORT")
        self._address = (host, int(port))
        sensors = [c for c in policy.spec.observations if c.source == "sensor"]
        self.channels = tuple(c.name for c in sensors)
        self._splits = np.cumsum([c.size for c in sensors])
        self._neutral = np.array(policy.spec.action_limit("neutral"), np.float32)
        self._heard_s = -np.inf

    def read(self) -> Mapping[str, Sample]:
        """What has come since the last read; ConnectionError when the machine has been silent for too long."""
        packet = b""
        with suppress(BlockingIOError):  # raised once the newest is here
            while True:
                packet = self._socket.recv(65536)
        if packet:
            values = np.frombuffer(packet, "<f4")
            if len(values) != self._splits[-1]:
                raise ConnectionError(f"{self.where}: sent {len(values)} numbers, {self._splits[-1]} are measured")
            self._heard_s = time.monotonic()
            return {name: (v, 0.0) for name, v in zip(self.channels, np.split(values, self._splits[:-1]), strict=True)}
        if (silent_s := time.monotonic() - self._heard_s) > SILENT_S:
            raise ConnectionError(f"{self.where}: silent for {silent_s:.1f} s")
        return {}

    def arm(self) -> None:
        """Raises ContractError where nobody answers."""
        end = time.monotonic() + SILENT_S
        while time.monotonic() < end:
            with suppress(ConnectionError):
                self.write(self._neutral)
                time.sleep(0.01)
                if self.read():
                    return
        raise ContractError(f"{self.where}: nobody answers there; is the machine on, and is this its address?")

    def write(self, action: Array) -> Array:
        try:
            self._socket.send(np.asarray(action, "<f4").tobytes())
        except OSError as error:
            raise ConnectionError(f"{self.where}: {error.strerror}") from error
        return action

    def stop(self) -> None:
        """Neutral, which has to be safe for your machine; what else it takes goes here. Where the line is down the
        machine has to stop by itself: see to that in its firmware."""
        with suppress(ConnectionError):
            self.write(self._neutral)

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(self._address)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._socket.close()
