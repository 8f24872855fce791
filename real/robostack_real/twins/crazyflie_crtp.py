"""The Crazyflie's radio protocol (CRTP, protocol version 12): a packet in, its answers out.

As much of it as the real cflib needs to connect, read and write parameters, log, arm, fly, and talk to the app. Written
from Bitcraze's protocol documentation and cflib 0.1.34; whatever a client asks beyond it stays without an answer, as on
a firmware that does not know it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from robostack_real.twins.crazyflie_app import Mode, Setpoint, Variable, position_setpoint
from robostack_real.twins.crazyflie_commander import Commander

PROTOCOL = 12
APP_CHANNEL = 2
PARAM, COMMANDER, MEMORY, LOG, GENERIC, HIGH_LEVEL, SUPERVISOR, PLATFORM, LINK = 2, 3, 4, 5, 7, 8, 9, 13, 15
LOG_FORMATS = {1: "<B", 2: "<H", 3: "<I", 4: "<b", 5: "<h", 6: "<i", 7: "<f", 8: "<e"}
PARAM_FORMATS = {0x08: "<B", 0x06: "<f"}
MAX_DATA = 30
NO_ENTRY, BUSY = 2, 16


@dataclass(frozen=True)
class Packet:
    """One CRTP packet; its header is port << 4 | channel."""

    port: int
    channel: int
    data: bytes = b""

    def __bytes__(self) -> bytes:
        return bytes([self.port << 4 | self.channel]) + self.data

    @classmethod
    def parse(cls, raw: bytes) -> Packet | None:
        """None for what is no packet: empty, or longer than the radio takes."""
        if not 1 <= len(raw) <= MAX_DATA + 1:
            return None
        return cls(raw[0] >> 4, raw[0] & 3, raw[1:])


class Machine(Protocol):
    """What the protocol speaks for: robostack_real.twins.crazyflie.VirtualCrazyflie."""

    commander: Commander

    @property
    def params(self) -> Mapping[str, Variable]: ...
    @property
    def logs(self) -> Mapping[str, Variable]: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def position_m(self) -> np.ndarray: ...
    @property
    def state_bits(self) -> int: ...
    def arm(self, wanted: bool) -> bool: ...
    def recover(self) -> bool: ...
    def emergency_stop(self) -> None: ...
    def to_app(self, packet: bytes) -> None: ...
    def from_app(self) -> Iterable[bytes]: ...


@dataclass
class _Block:
    """Log variables that are sent together, `period_ms` 0: not now."""

    variables: list[tuple[Variable, str]] = field(default_factory=list)
    period_ms: int = 0
    next_ms: int = 0


class Crtp:
    """`answer` each packet that comes; `due` once a millisecond for what comes unasked."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._params, self._logs = list(machine.params.values()), list(machine.logs.values())
        self._blocks: dict[int, _Block] = {}
        self._ports: dict[int, Callable[[Packet], Sequence[bytes]]] = {
            PARAM: self._param, COMMANDER: self._commander, MEMORY: self._memory, LOG: self._log,
            GENERIC: self._generic, HIGH_LEVEL: self._high_level, SUPERVISOR: self._supervisor,
            PLATFORM: self._platform, LINK: self._link,
        }  # fmt: skip

    def answer(self, packet: Packet) -> list[Packet]:
        """Packets in return, on the same port and channel. A packet too short for what it says is dropped."""
        if packet.port == LINK and packet.channel == 3:  # the null packet
            return [Packet(LINK, 3)]
        try:
            answers = self._ports.get(packet.port, lambda p: ())(packet)
        except (struct.error, IndexError, UnicodeDecodeError, OverflowError):
            return []
        return [Packet(packet.port, packet.channel, data) for data in answers]

    def due(self) -> list[Packet]:
        """Log packets whose time has come, and what the app says."""
        now = self._machine.time_ms
        found = [Packet(PLATFORM, APP_CHANNEL, data) for data in self._machine.from_app()]
        for number, block in self._blocks.items():
            if block.period_ms and now >= block.next_ms:
                block.next_ms = now + block.period_ms
                values = b"".join(_pack(f, v.value) for v, f in block.variables)
                found.append(Packet(LOG, 2, bytes([number]) + struct.pack("<I", now)[:3] + values))
        return found

    def _param(self, p: Packet) -> Sequence[bytes]:
        if p.channel == 0:
            return self._table(p, self._params, b"")
        if p.channel == 3:
            return [p.data[:3] + bytes([NO_ENTRY])]
        (index,) = struct.unpack_from("<H", p.data)
        if index >= len(self._params):
            return [p.data[:2] + bytes([NO_ENTRY])]
        variable = self._params[index]
        if p.channel == 1:
            return [p.data[:2] + b"\0" + struct.pack(PARAM_FORMATS[variable.type], _as(variable))]
        (variable.value,) = struct.unpack_from(PARAM_FORMATS[variable.type], p.data, 2)
        return [p.data[:2] + struct.pack(PARAM_FORMATS[variable.type], _as(variable))]

    def _log(self, p: Packet) -> Sequence[bytes]:
        if p.channel == 0:
            return self._table(p, self._logs, bytes([16, 128]))
        if p.channel != 1:
            return ()
        command, number = p.data[0], p.data[1] if len(p.data) > 1 else 0
        return [bytes([command, number, self._log_command(command, number, p.data[2:])])]

    def _log_command(self, command: int, number: int, rest: bytes) -> int:
        """Create and append (6, 7), start (3 in 10 ms, 8 in ms), stop (4), delete (2), reset (5): an error or 0."""
        if command == 5:
            self._blocks.clear()
            return 0
        if command == 6:
            if number in self._blocks:
                return 17  # EEXIST
            self._blocks[number] = _Block()
        block = self._blocks.get(number)
        if block is None:
            return NO_ENTRY
        if command in (6, 7):
            for kind, index in struct.iter_unpack("<BH", rest[: len(rest) // 3 * 3]):  # cflib leaves half an entry
                if index >= len(self._logs):
                    return NO_ENTRY
                block.variables.append((self._logs[index], LOG_FORMATS[kind & 0xF]))
        elif command in (3, 8):
            block.period_ms = max(1, 10 * rest[0] if command == 3 else int.from_bytes(rest[:2], "little"))
            block.next_ms = self._machine.time_ms
        elif command == 4:
            block.period_ms = 0
        elif command == 2:
            del self._blocks[number]
        return 0

    @staticmethod
    def _table(p: Packet, variables: Sequence[Variable], limits: bytes) -> Sequence[bytes]:
        """A table of contents (version 2): how much there is (3), or one entry (2)."""
        if p.data[0] == 3:
            digest = zlib.crc32("".join(f"{v.name}{v.type}" for v in variables).encode())
            return [struct.pack("<BHI", 3, len(variables), digest) + limits]
        if p.data[0] != 2:
            return ()
        (index,) = struct.unpack_from("<H", p.data, 1)
        if index >= len(variables):
            return [p.data[:1]]
        group, name = variables[index].name.split(".")
        return [p.data[:3] + bytes([variables[index].type]) + f"{group}\0{name}\0".encode()]

    def _memory(self, p: Packet) -> Sequence[bytes]:
        return [bytes([1, 0])] if p.channel == 0 and p.data[0] == 1 else ()

    def _commander(self, p: Packet) -> Sequence[bytes]:
        roll, pitch, yaw_rate, thrust = struct.unpack_from("<fffH", p.data)
        setpoint = Setpoint(thrust=float(thrust))
        setpoint.mode.roll = setpoint.mode.pitch = Mode.ABS
        setpoint.mode.yaw = Mode.VELOCITY
        setpoint.attitude.roll, setpoint.attitude.pitch = roll, pitch
        setpoint.attitude_rate.yaw = yaw_rate
        self._take(setpoint)
        return ()

    def _generic(self, p: Packet) -> Sequence[bytes]:
        if p.channel == 1 and p.data[0] == 0:
            self._machine.commander.low_level_stopped()
        elif p.data[0] == 0:
            self._machine.commander.stop()
        elif p.data[0] == 7:
            self._take(position_setpoint(*struct.unpack_from("<ffff", p.data, 1)))
        elif p.data[0] == 6:
            self._take(_full_state(p.data))
        return ()

    def _take(self, setpoint: Setpoint) -> None:
        self._machine.commander.take_low_level(setpoint, self._machine.time_ms)

    def _high_level(self, p: Packet) -> Sequence[bytes]:
        machine, command = self._machine, p.data[0]
        at, now = machine.position_m, machine.time_ms
        if command == 3:
            machine.commander.stop()
        elif command in (7, 8):
            height, yaw, _, seconds = struct.unpack_from("<ff?f", p.data, 2)
            machine.commander.go(np.array([at[0], at[1], height]), yaw, seconds, at, now, lands=command == 8)
        elif command == 12:
            relative, _, *goal, yaw, seconds = struct.unpack_from("<BB5f", p.data, 2)
            plan = machine.commander.plan
            base = (plan.goal_m if plan else at) if relative else np.zeros(3)
            machine.commander.go(base + np.array(goal), yaw, seconds, at, now)
        else:
            return [p.data[:3] + bytes([NO_ENTRY])]
        return [p.data[:3] + b"\0"]

    def _supervisor(self, p: Packet) -> Sequence[bytes]:
        machine, command = self._machine, p.data[0]
        if p.channel == 0:
            return [bytes([command | 0x80]) + struct.pack("<H", machine.state_bits)] if command == 0x0C else ()
        if command == 1:
            wanted = bool(p.data[1])
            return [bytes([0x81, machine.arm(wanted) == wanted, machine.state_bits >> 1 & 1])]
        if command == 2:
            recovered = machine.recover()
            return [bytes([0x82, recovered, recovered])]
        if command == 3:
            machine.emergency_stop()
        return ()

    def _platform(self, p: Packet) -> Sequence[bytes]:
        if p.channel == APP_CHANNEL:
            self._machine.to_app(p.data)
        if p.channel == 1 and p.data[0] in (0, 1):
            return [bytes([0, PROTOCOL]) if p.data[0] == 0 else b"\1virtual\0"]
        return [p.data] if p.channel == 0 else ()

    def _link(self, p: Packet) -> Sequence[bytes]:
        if p.channel == 0:
            return [p.data]
        return [b"Bitcraze Crazyflie".ljust(MAX_DATA, b"\0")] if p.channel == 1 else ()


def _full_state(data: bytes) -> Setpoint:
    """Position, velocity and acceleration in thousandths, a compressed quaternion, body rates in mrad/s."""
    values = struct.unpack_from("<9hI3h", data, 1)
    position, velocity, acceleration = (np.array(values[i : i + 3]) / 1000.0 for i in (0, 3, 6))
    setpoint = position_setpoint(*position.tolist())
    setpoint.mode.yaw, setpoint.mode.quat = Mode.DISABLE, Mode.ABS
    for to, value in ((setpoint.velocity, velocity), (setpoint.acceleration, acceleration)):
        to.x, to.y, to.z = map(float, value)
    q = setpoint.attitude_quaternion
    q.x, q.y, q.z, q.w = _quaternion(values[9])
    return setpoint


def _quaternion(packed: int) -> tuple[float, float, float, float]:
    """(x, y, z, w) from two bits that name the largest element and ten, sign and magnitude, for each other one."""
    largest, found, left = packed >> 30, [0.0] * 4, packed
    for i in (3, 2, 1, 0):
        if i != largest:
            size = (left & 0x1FF) / 0x1FF * 2**-0.5
            found[i] = -size if left >> 9 & 1 else size
            left >>= 10
    found[largest] = max(0.0, 1.0 - sum(v * v for v in found)) ** 0.5
    return found[0], found[1], found[2], found[3]


def _as(variable: Variable) -> float | int:
    return variable.value if variable.type == 0x06 else int(variable.value)


def _pack(form: str, value: float) -> bytes:
    if form in ("<f", "<e"):
        return struct.pack(form, value)
    size = struct.calcsize(form)
    return (int(value) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
