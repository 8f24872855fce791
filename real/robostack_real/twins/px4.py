"""A virtual PX4: MAVLink over UDP on this machine, modes and arming as PX4's, the task's own quadrotor under it.

    with VirtualPx4(config) as machine:
        ...  # udpin://127.0.0.1:<port> hears it

It stands for the protocol and the rules between an autopilot and its companion. It is not PX4: its position controller,
its estimator (truth with noise) and its checks are ours.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import numpy as np

from robostack_real.link.errors import LinkError
from robostack_real.link.mavlink import AUTOPILOT, Message, dialect
from robostack_real.link.mavlink_border import FLIP, Border, rates
from robostack_real.link.px4_modes import Mode
from robostack_real.twins.px4_airframe import Airframe, StockController
from robostack_real.twins.px4_commander import STICKS, Commander
from robostack_real.twins.px4_parameters import parameters_of
from robostack_sim.quadrotor.config import QuadrotorConfig

PORT = 14540
"""where PX4's own simulation speaks to a companion"""
SYSTEM = 1
BEHIND_S = 0.03
"""A process that the machine keeps from running does not fly blind meanwhile: the flight stops, its clock goes on."""
ENU = Border(heading_rad=np.pi / 2)
"""what it tells is NED; an ENU frame is one whose x looks east"""
NAMES = (
    "HEARTBEAT",
    "SYS_STATUS",
    "EXTENDED_SYS_STATE",
    "ESTIMATOR_STATUS",
    "ATTITUDE_QUATERNION",
    "LOCAL_POSITION_NED",
)
DEFAULT_S = {"HEARTBEAT": 1.0, "ATTITUDE_QUATERNION": 0.1, "LOCAL_POSITION_NED": 0.1}
"""between two, until asked otherwise; half a second for the others"""
CONVERGED = (
    dialect.ESTIMATOR_ATTITUDE | dialect.ESTIMATOR_VELOCITY_HORIZ | dialect.ESTIMATOR_VELOCITY_VERT
    | dialect.ESTIMATOR_POS_HORIZ_REL | dialect.ESTIMATOR_POS_HORIZ_ABS | dialect.ESTIMATOR_POS_VERT_ABS
)  # fmt: skip
CELLS = 1


class VirtualPx4:
    """See the module's docstring. `step` advances a control period; the context serves UDP in a thread of its own, in
    real time. It speaks to `port` of this machine from a port of its own. `config` as for training."""

    def __init__(
        self,
        config: QuadrotorConfig | None = None,
        *,
        port: int = PORT,
        seed: int = 0,
        loss: float = 0.0,
        position_m: tuple[float, float, float] = (3.0, -2.0, 0.0),
        yaw_rad: float = 2.0,
    ) -> None:
        self.airframe = Airframe(
            config or QuadrotorConfig(), seed=seed, position_m=np.array(position_m), yaw_rad=yaw_rad
        )
        self.stock = StockController(self.airframe.hover)
        self.parameters = parameters_of(self.airframe)
        self.commander = Commander(self.parameters)
        self.loss = loss
        """share of packets that get lost, each way"""
        self.autopilot_type = dialect.MAV_AUTOPILOT_PX4
        self.estimator_flags = CONVERGED
        self.mute: set[str] = set()
        """messages that are not sent"""
        self.frozen = False
        """measurements stay as they are, and are sent on with their old time"""
        self.spoil: Callable[[dict[str, np.ndarray]], None] = lambda measured: None
        self.before_step: Callable[[VirtualPx4], None] = lambda machine: None
        """called each period, for tests that meddle"""
        self.garbage = b""
        """bytes that go out before every message"""
        self.setpoints: list[tuple[float, str, np.ndarray]] = []
        """every one that came: time, mode of that moment, thrust and rates FLU"""
        self.commands: list[int] = []
        self.time_s, self._booted_at = 0.0, time.monotonic()
        self._wanted: np.ndarray | None = None
        self._measured = self.airframe.measure()
        self._measured_s = 0.0
        self._goal = self.airframe.position_m
        self._goal_mode = self.commander.mode
        self._period_s = {n: DEFAULT_S.get(n, 0.5) for n in NAMES}
        self._due_s = dict.fromkeys(NAMES, 0.0)
        self._random = np.random.default_rng(seed)
        self._mav = dialect.MAVLink(None, srcSystem=SYSTEM, srcComponent=AUTOPILOT)
        self._mav.robust_parsing = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._peer = ("127.0.0.1", port)
        try:
            self._socket.bind(("127.0.0.1", 0))
        except OSError as error:
            raise LinkError(f"udp: {error.strerror}") from error
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="virtual PX4", daemon=True)
        self.failure: BaseException | None = None
        """what ended the thread, where something did"""

    @property
    def mode(self) -> Mode:
        return self.commander.mode

    def step(self) -> None:
        """A control period of the whole machine."""
        self.before_step(self)
        air, commander = self.airframe, self.commander
        self.time_s += air.step_s
        at_height = air.position_m[2] - air.floor_m > 0.9 * self.parameters["MIS_TAKEOFF_ALT"]
        commander.step(self.time_s, on_floor=air.on_floor, at_height=at_height)
        air.step(self._action() if commander.armed else None)
        if not self.frozen:
            self._measured, self._measured_s = air.measure(), self.clock_s()
        for name in NAMES:
            if self.time_s >= self._due_s[name] and self._period_s[name] > 0.0:
                self._due_s[name] = max(self._due_s[name] + self._period_s[name], self.time_s)
                if name not in self.mute:
                    self._send(getattr(self, f"_{name.lower()}")())
        while commander.said:
            self._send(dialect.MAVLink_statustext_message(4, commander.said.pop(0).encode()[:50]))

    def _action(self) -> np.ndarray:
        """Thrust and body rates by whoever flies in this mode."""
        air, mode = self.airframe, self.commander.mode
        if mode is not self._goal_mode:
            self._goal_mode, self._goal = mode, air.position_m
            if mode is Mode.TAKEOFF:
                self._goal[2] = air.floor_m + self.parameters["MIS_TAKEOFF_ALT"]
        if mode is Mode.OFFBOARD and self._wanted is not None:
            return self._wanted
        if mode in STICKS and air.on_floor:
            return np.zeros(4)
        return self.stock(air, self._goal, -self.stock.LAND_M_S if mode is Mode.LAND else None)

    def _take(self, message: Message) -> None:
        """What somebody sent."""
        name = message.get_type()
        if getattr(message, "target_system", SYSTEM) not in (0, SYSTEM):
            return
        if name == "SET_ATTITUDE_TARGET":
            rate = rates(np.array([message.body_roll_rate, message.body_pitch_rate, message.body_yaw_rate]))
            self._wanted = np.array([message.thrust, *rate])
            self.setpoints.append((self.time_s, self.commander.mode.name, self._wanted))
            self.commander.setpoint(self.time_s)
        elif name == "COMMAND_LONG":
            self.commands.append(message.command)
            self._send(dialect.MAVLink_command_ack_message(message.command, self._command(message)))
        elif name == "TIMESYNC" and message.tc1 == 0:
            self._send(dialect.MAVLink_timesync_message(round(1e9 * self.clock_s()), message.ts1))
        elif name == "PARAM_REQUEST_READ" and message.param_id in self.parameters:
            self._send(self._param(message.param_id))
        elif name == "PARAM_SET" and message.param_id in self.parameters:
            self.parameters[message.param_id] = message.param_value
            self._send(self._param(message.param_id))

    def _command(self, message: Message) -> int:
        commander, given = self.commander, message
        match message.command:
            case dialect.MAV_CMD_COMPONENT_ARM_DISARM:
                return commander.arm(given.param1 == 1.0, force=given.param2 == 21196.0)
            case dialect.MAV_CMD_NAV_TAKEOFF:
                return commander.take_off(self.time_s)
            case dialect.MAV_CMD_DO_SET_MODE:
                asked = (int(given.param2), int(given.param3))
                mode = next((m for m in Mode if m.value == asked), None)
                return int(dialect.MAV_RESULT_UNSUPPORTED) if mode is None else commander.set_mode(mode, self.time_s)
            case dialect.MAV_CMD_SET_MESSAGE_INTERVAL:
                name = next((n for n in NAMES if getattr(dialect, f"MAVLINK_MSG_ID_{n}") == given.param1), None)
                if name is not None:
                    self._period_s[name] = 1e-6 * given.param2 if given.param2 > 0 else DEFAULT_S.get(name, 0.5)
                    self._due_s[name] = self.time_s
                return int(dialect.MAV_RESULT_ACCEPTED if name else dialect.MAV_RESULT_DENIED)
            case dialect.MAV_CMD_REQUEST_MESSAGE if given.param1 == dialect.MAVLINK_MSG_ID_AUTOPILOT_VERSION:
                version = 1 << 24 | 15 << 16 | 4 << 8 | 255
                self._send(
                    dialect.MAVLink_autopilot_version_message(0, version, 0, 0, 0, [0] * 8, [0] * 8, [0] * 8, 0, 0, 1)
                )
                return int(dialect.MAV_RESULT_ACCEPTED)
        return int(dialect.MAV_RESULT_UNSUPPORTED)

    def _param(self, name: str) -> Message:
        value = self.parameters[name]
        if isinstance(value, int):  # its four bytes in the float's place
            kind, sent = dialect.MAV_PARAM_TYPE_INT32, struct.unpack("<f", struct.pack("<i", value))[0]
        else:
            kind, sent = dialect.MAV_PARAM_TYPE_REAL32, value
        return dialect.MAVLink_param_value_message(name.encode(), sent, kind, len(self.parameters), 0)

    def _heartbeat(self) -> Message:
        armed, failsafe = self.commander.armed, self.commander.failsafe
        flags = dialect.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED | (dialect.MAV_MODE_FLAG_SAFETY_ARMED if armed else 0)
        state = dialect.MAV_STATE_ACTIVE if armed else dialect.MAV_STATE_STANDBY
        return dialect.MAVLink_heartbeat_message(
            dialect.MAV_TYPE_QUADROTOR, self.autopilot_type, flags, self.commander.mode.custom,
            dialect.MAV_STATE_CRITICAL if failsafe else state, 3,
        )  # fmt: skip

    def _sys_status(self) -> Message:
        healthy = dialect.MAV_SYS_STATUS_PREARM_CHECK if self.commander.ready else 0
        millivolts, percent = round(1000 * CELLS * self.airframe.cell_v), round(100 * self.airframe.charge)
        return dialect.MAVLink_sys_status_message(
            healthy, healthy, healthy, 100, millivolts, -1, percent, 0, 0, *[0] * 4
        )

    def _extended_sys_state(self) -> Message:
        down = self.airframe.on_floor
        landed = dialect.MAV_LANDED_STATE_ON_GROUND if down else dialect.MAV_LANDED_STATE_IN_AIR
        return dialect.MAVLink_extended_sys_state_message(0, landed)

    def _estimator_status(self) -> Message:
        return dialect.MAVLink_estimator_status_message(
            round(1e6 * self.clock_s()), self.estimator_flags, *[0.1] * 6, 0.05, 0.05
        )

    def _attitude_quaternion(self) -> Message:
        told = self._told()
        q, rate = ENU.attitude_ned(told["attitude"]), FLIP * told["body_rate"]
        return dialect.MAVLink_attitude_quaternion_message(round(1e3 * self._measured_s), *q, *rate)

    def _local_position_ned(self) -> Message:
        told = self._told()
        values = (*ENU.position_ned(told["position"]), *ENU.vector_ned(told["velocity"]))
        return dialect.MAVLink_local_position_ned_message(round(1e3 * self._measured_s), *values)

    def _told(self) -> dict[str, np.ndarray]:
        told = {n: v.copy() for n, v in self._measured.items()}
        self.spoil(told)
        return told

    def _send(self, message: Message) -> None:
        data = message.pack(self._mav)
        self._mav.seq = (self._mav.seq + 1) % 256
        if not self._lost():
            with suppress(ConnectionError):  # nobody listens there yet
                self._socket.sendto(self.garbage + data, self._peer)

    def _lost(self) -> bool:
        return self.loss > 0.0 and self._random.random() < self.loss

    def clock_s(self) -> float:
        """Since boot, as MAVLink tells it; `time_s` is what was flown."""
        return time.monotonic() - self._booted_at

    def _serve(self) -> None:
        period, due = self.airframe.step_s, time.monotonic()
        try:
            while self._running.is_set():
                now = time.monotonic()
                due = max(due, now - BEHIND_S)
                if now >= due:
                    due += period
                    self.step()
                while select.select([self._socket], [], [], max(0.0, due - time.monotonic()))[0]:
                    self._receive()
                    if time.monotonic() >= due:
                        break
        except BaseException as error:
            self.failure = error
            raise

    def _receive(self) -> None:
        try:
            data = self._socket.recv(65535)
        except ConnectionError:
            return
        for message in self._mav.parse_buffer(data) or ():
            if message.get_type() != "BAD_DATA" and not self._lost():
                self._take(message)

    def __enter__(self) -> Self:
        self._running.set()
        self._thread.start()
        return self

    def power_off(self) -> None:
        """The battery falls out: nothing answers any more."""
        self._running.clear()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def __exit__(self, *exc: object) -> None:
        self.power_off()
        self._socket.close()
