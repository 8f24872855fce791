"""The Crazyflie app, compiled for this machine: the very C that flies, a millisecond at a time.

`firmware/crazyflie/host/` stands where the rest of the Crazyflie's firmware is: it hands the app an estimate, a
supervisor's answers and a battery, and takes its answer through the firmware's battery compensation and cap to PWM
ratios. Its stock controller is a cascade of our own, not the firmware's PID.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from robostack.export.firmware import firmware_source
from robostack.export.host import compile_c

FLAGS = ("-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Werror", "-ffp-contract=off")
APP = ("app.c", "border.c", "motor_command.c", "output_bits.c", "radio.c")
APP_LINK = ("frame.c", "protocol.c", "swap.c")
CHANNEL_BYTES = 30
"""of a packet of the app channel"""
_GROUP = 0x80
_PARAM_TYPES: Mapping[int, type[ctypes._SimpleCData]] = {0x08: ctypes.c_uint8, 0x06: ctypes.c_float}
_LOG_TYPES: Mapping[int, type[ctypes._SimpleCData]] = {
    1: ctypes.c_uint8, 2: ctypes.c_uint16, 3: ctypes.c_uint32, 4: ctypes.c_int8, 7: ctypes.c_float,
}  # fmt: skip
"""By the firmware's own type numbers, which are those of its radio protocol too."""


class Mode(IntEnum):
    """What an axis of a setpoint asks for."""

    DISABLE = 0
    ABS = 1
    VELOCITY = 2


class _Stamped(ctypes.Structure):
    _fields_ = [("timestamp", ctypes.c_uint32), ("x", ctypes.c_float), ("y", ctypes.c_float), ("z", ctypes.c_float)]


class _Attitude(ctypes.Structure):
    _fields_ = [
        ("timestamp", ctypes.c_uint32), ("roll", ctypes.c_float), ("pitch", ctypes.c_float), ("yaw", ctypes.c_float),
    ]  # fmt: skip


class _Quaternion(ctypes.Structure):
    _fields_ = [(name, ctypes.c_float) for name in ("x", "y", "z", "w")]


class _Modes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("x", "y", "z", "roll", "pitch", "yaw", "quat")]


class Setpoint(ctypes.Structure):
    """setpoint_t of the firmware, in its units: deg, deg/s, m, m/s, m/s2, thrust 0 to 65535, milliseconds. A fresh
    one stops the motors."""

    _fields_ = [
        ("timestamp", ctypes.c_uint32),
        ("attitude", _Attitude),
        ("attitude_rate", _Attitude),
        ("attitude_quaternion", _Quaternion),
        ("thrust", ctypes.c_float),
        ("position", _Stamped),
        ("velocity", _Stamped),
        ("acceleration", _Stamped),
        ("jerk", _Stamped),
        ("velocity_body", ctypes.c_bool),
        ("mode", _Modes),
    ]


def position_setpoint(x: float, y: float, z: float, yaw_deg: float = 0.0, timestamp_ms: int = 0) -> Setpoint:
    """As the firmware's commander makes it from a position command."""
    setpoint = Setpoint(timestamp=timestamp_ms, position=_Stamped(0, x, y, z))
    setpoint.attitude.yaw = yaw_deg
    setpoint.mode = _Modes(x=Mode.ABS, y=Mode.ABS, z=Mode.ABS, yaw=Mode.ABS)
    return setpoint


class World(ctypes.Structure):
    """rs_cf_world_t of host.h: what is true in this millisecond, in SI, world ENU, body FLU. Fields may be assigned
    tuples. As made it is a healthy Crazyflie that stands, armed, not flying yet."""

    _fields_ = [
        ("position_m", ctypes.c_float * 3),
        ("velocity_m_s", ctypes.c_float * 3),
        ("quat_wxyz", ctypes.c_float * 4),
        ("rate_rad_s", ctypes.c_float * 3),
        ("specific_force_m_s2", ctypes.c_float * 3),
        ("position_std_m", ctypes.c_float * 3),
        ("supply_v", ctypes.c_float),
        ("armed", ctypes.c_uint8),
        ("can_fly", ctypes.c_uint8),
        ("flying", ctypes.c_uint8),
        ("motors_allowed", ctypes.c_uint8),
        ("new_estimate", ctypes.c_uint8),
        ("estimator", ctypes.c_uint8),
        ("gyro_age_us", ctypes.c_uint32),
        ("elapsed_us", ctypes.c_uint32),
    ]

    def __init__(self) -> None:
        super().__init__(
            quat_wxyz=(1.0, 0.0, 0.0, 0.0), specific_force_m_s2=(0.0, 0.0, 9.81), position_std_m=(0.01, 0.01, 0.01),
            supply_v=4.0, armed=1, can_fly=1, motors_allowed=1, new_estimate=1, estimator=2, gyro_age_us=500,
        )  # fmt: skip


class Motion(ctypes.Structure):
    """rs_cf_motion_t of host.h: what came of it, rotors in the order front right, back right, back left, front left."""

    _fields_ = [
        ("rotor_speed_rad_s", ctypes.c_float * 4),
        ("ratio", ctypes.c_uint16 * 4),
        ("capped", ctypes.c_uint8),
        ("control_mode", ctypes.c_uint8),
        ("forces", ctypes.c_float * 4),
        ("stock_forces", ctypes.c_float * 4),
        ("stock_calls", ctypes.c_uint32),
        ("time_ms", ctypes.c_uint32),
    ]


class _Entry(ctypes.Structure):
    """log_s; param_s is the same but for one byte in log_s' padding."""

    _fields_ = [("type", ctypes.c_uint8), ("name", ctypes.c_char_p), ("address", ctypes.c_void_p)]


@dataclass
class Variable:
    """A parameter or log variable where it lives in the library; `type` is the firmware's number for its C type."""

    name: str
    type: int
    cell: ctypes._SimpleCData

    @property
    def value(self) -> float:
        return float(self.cell.value)

    @value.setter
    def value(self, value: float) -> None:
        self.cell.value = value if isinstance(self.cell, ctypes.c_float) else int(value)


class CrazyflieApp:
    """An app of its own, booted: with the policy in the folder `generated` (`exported/firmware/generated` of a run),
    or from a library that `build_app` made.

    `params` and `logs` are by full name, "rsp.enable"; `world` is what the next step finds, edited in place. Raises as
    `build_app`.
    """

    def __init__(self, generated: Path, *, supply_v: float = 4.0) -> None:
        with tempfile.TemporaryDirectory(prefix="robostack-") as name:
            folder = Path(name)
            built = generated if generated.is_file() else build_app(generated, folder)
            # a path of its own: one that is loaded already would share its static memory
            self._lib = ctypes.CDLL(str(shutil.copy(built, folder / "own.so")))
        self._lib.rs_cf_host_boot.argtypes = [ctypes.c_float]
        for function in (self._lib.rs_cf_host_boot, self._lib.rs_cf_host_send, self._lib.rs_cf_host_receive):
            function.restype = ctypes.c_uint8
        self.world = World()
        self.params = dict(self._table("rs_cf_host_params", _PARAM_TYPES))
        self.logs = dict(self._table("rs_cf_host_logs", _LOG_TYPES))
        self.test_passed = self.boot(supply_v)
        """controllerOutOfTreeTest of the boot"""

    def boot(self, supply_v: float) -> bool:
        """What the firmware does once at boot, and again whenever this controller is chosen."""
        return bool(self._lib.rs_cf_host_boot(supply_v))

    @property
    def time_ms(self) -> int:
        """Milliseconds since boot: what a new setpoint is stamped with."""
        return int(self._lib.rs_cf_host_time_ms())

    def step(self, setpoint: Setpoint) -> Motion:
        """One call of the stabilizer loop, a millisecond."""
        motion = Motion()
        self._lib.rs_cf_host_step(ctypes.byref(self.world), ctypes.byref(setpoint), ctypes.byref(motion))
        return motion

    def send(self, packet: bytes) -> bool:
        """A packet of the app channel, CHANNEL_BYTES at most. False: the app's queue is full, and it is lost."""
        return bool(self._lib.rs_cf_host_send(packet, ctypes.c_uint8(len(packet))))

    def received(self) -> Iterator[bytes]:
        """The app's own packets, oldest first."""
        data = ctypes.create_string_buffer(CHANNEL_BYTES)
        while size := self._lib.rs_cf_host_receive(data):
            yield data.raw[:size]

    def _table(self, function: str, types: Mapping[int, type[ctypes._SimpleCData]]) -> Iterator[tuple[str, Variable]]:
        count = ctypes.c_uint32()
        get = getattr(self._lib, function)
        get.restype = ctypes.POINTER(_Entry)
        entries, group = get(ctypes.byref(count)), ""
        for entry in (entries[i] for i in range(count.value)):
            if entry.name is None:
                continue
            if entry.type & _GROUP:
                group = entry.name.decode()
            else:
                name = f"{group}.{entry.name.decode()}"
                yield name, Variable(name, entry.type, types[entry.type].from_address(entry.address))


def build_app(generated: Path, folder: Path, flags: tuple[str, ...] = ("-O2",)) -> Path:
    """Compiles app, policy and host into `folder`/libcrazyflie_app.so.

    `flags` are for the library alone; the bits that its self-test must give are computed without. Raises ContractError
    when the policy tells no thrust curve of its machine or does not compile, ToolMissingError without a compiler.
    """
    expect_bits(generated, folder)
    app, library = firmware_source() / "crazyflie", folder / "libcrazyflie_app.so"
    sources = [*(app / name for name in APP), *sorted((app / "host").glob("*.c"))]
    sources += [app.parent / "link" / name for name in APP_LINK]
    sources += [*sorted((app.parent / "envelope").glob("*.c")), *_policy(generated)]
    command = ["cc", *FLAGS, *flags, f"-I{folder}", *_include(generated), "-DRS_CF_INTERFACE", "-shared", "-fPIC"]
    compile_c([*command, *sources, "-o", library, "-lm"], "the Crazyflie app")
    return library


def expect_bits(generated: Path, folder: Path) -> None:
    """Writes `folder`/expected_bits.h, as the app's Makefile does: what this machine makes of the self-test."""
    app, program = firmware_source() / "crazyflie", folder / "print_output_bits"
    sources = [app / "print_output_bits.c", app / "output_bits.c", *_policy(generated)]
    compile_c(["cc", *FLAGS, "-O1", *_include(generated), *sources, "-o", program], "the policy's self-test")
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    (folder / "expected_bits.h").write_text(printed)


def _policy(generated: Path) -> list[Path]:
    return [*sorted((firmware_source() / "policy").glob("*.c")), *sorted(generated.glob("*.c"))]


def _include(generated: Path) -> list[str]:
    firmware = firmware_source()
    rooms = (firmware / "crazyflie", generated, *(firmware / room for room in ("envelope", "link", "policy")))
    return [f"-I{room}" for room in rooms]
