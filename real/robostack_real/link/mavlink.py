"""A MAVLink 2 connection: the one module that imports pymavlink (LGPL-3; the `mavlink` extra).

    udpin://0.0.0.0:14540                 listens, and answers whoever speaks first
    udpout://192.168.1.20:14540           speaks first
    mavlink:///dev/ttyACM0:921600         a serial line

Bytes that are no frame are dropped. What arrives is kept by message name with the monotonic time of its arrival.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol, Self

import serial

from robostack.spec import ContractError
from robostack_real.link.errors import LinkError, LinkLost, NoAnswer, PortAbsent, PortBusy

os.environ.setdefault("MAVLINK20", "1")

from pymavlink.dialects.v20 import common

dialect: Any = common
Message = Any
"""What pymavlink makes of a frame: its fields are attributes."""
AUTOPILOT, COMPANION = 1, 191
"""component ids: MAV_COMP_ID_AUTOPILOT1, MAV_COMP_ID_ONBOARD_COMPUTER"""
WAIT_S = 0.02
"""that a read waits for bytes"""
KEPT = 256
"""arrivals of each message whose times are kept"""


class Port(Protocol):
    """Bytes to and from the other side. Raises LinkError."""

    def read(self) -> bytes:
        """What came within WAIT_S, maybe nothing."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class UdpPort:
    """`listen`: the peer is whoever speaks first, and nobody else after that."""

    def __init__(self, host: str, port: int, *, listen: bool) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._peer = None if listen else (socket.gethostbyname(host), port)
        try:
            self._socket.bind((host, port) if listen else ("", 0))
        except OSError as error:
            self._socket.close()
            raise PortBusy(
                f"{host}:{port}: {error.strerror}; another program (QGroundControl, MAVSDK, MAVROS) listens there, or "
                "the address is not this machine's"
            ) from error

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def read(self) -> bytes:
        if not select.select([self._socket], [], [], WAIT_S)[0]:
            return b""
        try:
            data, peer = self._socket.recvfrom(65535)
        except ConnectionError:  # nobody listens there yet
            return b""
        self._peer = self._peer or peer
        return data if peer == self._peer else b""

    def write(self, data: bytes) -> None:
        if self._peer:
            try:
                self._socket.sendto(data, self._peer)
            except ConnectionError:
                pass
            except OSError as error:
                raise LinkLost(f"{self._peer[0]}:{self._peer[1]}: {error.strerror}") from error

    def close(self) -> None:
        self._socket.close()


class SerialPort:
    def __init__(self, device: str, baud: int) -> None:
        self._device = device
        try:
            self._serial = serial.Serial(device, baud, timeout=WAIT_S, write_timeout=0.2, exclusive=True)
        except serial.SerialException as error:
            absent = getattr(error, "errno", None) == 2
            kind, remedy = (
                (PortAbsent, "plug it in") if absent else (PortBusy, "close what else has it; join `dialout`")
            )
            raise kind(f"{device}: {error.strerror or error}; {remedy}") from error

    def read(self) -> bytes:
        try:
            data: bytes = self._serial.read(max(1, self._serial.in_waiting))
        except (OSError, serial.SerialException, TypeError) as error:  # TypeError: closed meanwhile
            raise LinkLost(f"{self._device}: {error}") from error
        return data

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except (OSError, serial.SerialException) as error:
            raise LinkLost(f"{self._device}: {error}") from error

    def close(self) -> None:
        self._serial.close()


def is_loopback(uri: str) -> bool:
    """Only this machine is at the other end."""
    return uri.partition("://")[2].startswith("127.")


def open_port(uri: str) -> Port:
    """Raises ContractError for a URI that does not say enough, LinkError when it cannot be opened."""
    scheme, _, rest = uri.partition("://")
    where, _, number = rest.rpartition(":")
    form = "mavlink:///dev/ttyACM0:921600" if scheme == "mavlink" else f"{scheme}://127.0.0.1:14540"
    if not where or not number.isdecimal() or not 0 < int(number) < (2**31 if scheme == "mavlink" else 2**16):
        raise ContractError(f"{uri!r}: needs {'device and baud' if scheme == 'mavlink' else 'host and port'}: {form}")
    if scheme == "mavlink":
        return SerialPort(where, int(number))
    try:
        return UdpPort(where, int(number), listen=scheme == "udpin")
    except socket.gaierror as error:
        raise LinkError(f"{uri}: no host is called {where!r}") from error


@dataclass
class Clock:
    """The autopilot's clock against ours, by TIMESYNC: of the last exchanges the quickest knows best."""

    exchanges: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=20))
    """round trip (s), and autopilot's time since boot minus our monotonic time (s)"""

    def add(self, sent_s: float, boot_s: float, now_s: float) -> None:
        self.exchanges.append((now_s - sent_s, boot_s - 0.5 * (sent_s + now_s)))

    @property
    def round_trip_s(self) -> float:
        """Median; infinite before the first."""
        trips = sorted(trip for trip, _ in self.exchanges)
        return trips[len(trips) // 2] if trips else float("inf")

    def age_s(self, boot_s: float, at_s: float) -> float:
        """How old a sample of `boot_s` was when it arrived at `at_s`; 0 while nobody knows."""
        if not self.exchanges:
            return 0.0
        return max(0.0, at_s - (boot_s - min(self.exchanges)[1]))


class Connection:
    """Enter it to read in a thread of its own. `hear` gets each message of the autopilot, in that thread."""

    def __init__(self, uri: str, hear: Callable[[Message], None] = lambda message: None) -> None:
        self.where, self._hear = uri, hear
        self.newest: dict[str, tuple[Message, float]] = {}
        self.arrivals: dict[str, deque[float]] = {}
        self.parameters: dict[str, float] = {}
        self.said: deque[str] = deque(maxlen=20)
        """STATUSTEXTs of warnings and worse"""
        self.acks: dict[int, tuple[int, float]] = {}
        """result and arrival of the last COMMAND_ACK of each command"""
        self.clock = Clock()
        self._synchronised: deque[int] = deque(maxlen=50)
        """times that were asked with"""
        self.system = 0
        """of the autopilot, once one was heard"""
        self.others: set[int] = set()
        """systems of other autopilots on this line"""
        self.lost: str | None = None
        self._mav = dialect.MAVLink(None, srcSystem=1, srcComponent=COMPANION)
        self._mav.robust_parsing = True
        self._sending = threading.Lock()
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="MAVLink", daemon=True)

    def __enter__(self) -> Self:
        self._port = open_port(self.where)
        self._running.set()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._running.clear()
        self._thread.join()
        self.lost = self.lost or "closed"
        self._port.close()

    def send(self, message: Message) -> None:
        """Raises LinkLost."""
        if self.lost is not None:
            raise LinkLost(f"{self.where} is gone ({self.lost})")
        with self._sending:
            try:
                self._port.write(message.pack(self._mav))
            except LinkLost as error:
                self.lost = str(error)
                raise
            self._mav.seq = (self._mav.seq + 1) % 256

    def heard(self, name: str) -> Message | None:
        return self.newest[name][0] if name in self.newest else None

    def age_s(self, name: str) -> float:
        """Since the newest of that name arrived."""
        return time.monotonic() - self.newest[name][1] if name in self.newest else float("inf")

    def rate(self, name: str, over_s: float) -> tuple[float, float]:
        """Messages a second and the longest gap (s) in the last `over_s`."""
        now = time.monotonic()
        times = [t for t in list(self.arrivals.get(name, ())) if t > now - over_s]
        edges = [now - over_s, *times, now]
        return len(times) / over_s, max(b - a for a, b in pairwise(edges))

    def ask(self, command: int, *params: float) -> float:
        """Sends a command without waiting for its answer, and returns when (monotonic, s)."""
        given = [*params, *[0.0] * (7 - len(params))]
        at = time.monotonic()
        self.send(dialect.MAVLink_command_long_message(self.system, AUTOPILOT, command, 0, *given))
        return at

    def answer(self, command: int, since: float) -> int | None:
        """The MAV_RESULT that came after `since`."""
        result, at = self.acks.get(command, (0, -1.0))
        return result if at >= since else None

    def command(self, command: int, *params: float, wait_s: float = 0.5, tries: int = 4) -> int:
        """Its MAV_RESULT; asked again while no answer comes. Raises NoAnswer, LinkLost."""
        begun = time.monotonic()
        for _ in range(tries):
            self.ask(command, *params)
            if self.until(lambda: self.answer(command, begun) is not None, wait_s):
                result = self.answer(command, begun)
                assert result is not None
                return result
        raise NoAnswer(f"{self.where} does not answer command {command} in {tries * wait_s:g} s")

    def read_parameters(self, names: list[str], wait_s: float = 0.3, tries: int = 5) -> dict[str, float]:
        """Those that it has. A name that no try gets is missing from the result."""
        for name in names:
            self.parameters.pop(name, None)
        for _ in range(tries):
            missing = [n for n in names if n not in self.parameters]
            for name in missing:
                self.send(dialect.MAVLink_param_request_read_message(self.system, AUTOPILOT, name.encode(), -1))
            if self.until(lambda: all(n in self.parameters for n in names), wait_s):
                break
        return {n: self.parameters[n] for n in names if n in self.parameters}

    def set_parameter(self, name: str, value: float) -> bool:
        """A float parameter; whether it now has that value."""
        real32 = dialect.MAV_PARAM_TYPE_REAL32
        for _ in range(4):
            self.parameters.pop(name, None)
            self.send(dialect.MAVLink_param_set_message(self.system, AUTOPILOT, name.encode(), value, real32))
            if self.until(lambda: name in self.parameters, 0.3):
                return abs(self.parameters[name] - value) < 1e-4
        return False

    def until(self, true: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline or self.lost is not None:
                return False
            time.sleep(0.002)
        return True

    def synchronise(self) -> None:
        """Asks for the autopilot's clock."""
        now_ns = time.monotonic_ns()
        self._synchronised.append(now_ns)
        self.send(dialect.MAVLink_timesync_message(0, now_ns))

    def _serve(self) -> None:
        while self._running.is_set():
            try:
                data = self._port.read()
            except LinkLost as error:
                self.lost = str(error)
                return
            for message in (self._mav.parse_buffer(data) or ()) if data else ():
                if message.get_type() != "BAD_DATA":
                    self._take(message)

    def _take(self, message: Message) -> None:
        name, system, now = message.get_type(), message.get_srcSystem(), time.monotonic()
        if message.get_srcComponent() != AUTOPILOT:
            return  # a camera, a gimbal, another companion
        if name == "HEARTBEAT" and system != self.system:
            if self.system:
                self.others.add(system)
            self.system = self._mav.srcSystem = self.system or system
        if system != self.system:
            return
        if name == "TIMESYNC":
            if message.tc1 > 0 and message.ts1 in self._synchronised:  # not an answer to somebody else
                self.clock.add(1e-9 * message.ts1, 1e-9 * message.tc1, now)
            return
        if name == "COMMAND_ACK" and message.result != dialect.MAV_RESULT_IN_PROGRESS:
            self.acks[message.command] = (message.result, now)
        elif name == "PARAM_VALUE":
            self.parameters[message.param_id] = parameter_value(message)
        elif name == "STATUSTEXT" and message.severity <= dialect.MAV_SEVERITY_WARNING:
            self.said.append(message.text)
        self._hear(message)  # before anybody can act on it
        self.newest[name] = (message, now)
        self.arrivals.setdefault(name, deque(maxlen=KEPT)).append(now)


def parameter_value(message: Message) -> float:
    """PX4 sends an integer's four bytes in the place of the float."""
    if message.param_type == dialect.MAV_PARAM_TYPE_REAL32:
        return float(message.param_value)
    return float(struct.unpack("<i", struct.pack("<f", message.param_value))[0])
