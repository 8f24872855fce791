"""A drone with PX4 that keeps the motors to itself: the policy runs here, on a companion computer, and PX4 follows.

    take-off by PX4 -> OFFBOARD, a SET_ATTITUDE_TARGET of thrust and body rates each control period -> hold -> land

Whoever changes the mode wins. A heartbeat with a mode that was not asked for from here, a pilot's or a failsafe's, ends
the sending at once, and from then on nothing is asked of the machine any more. On a doubt of ours (the envelope's trip,
the fence, a lost heartbeat, somebody's `hand_back`) PX4 is asked to hold, to land where it cannot hold (Hold needs a
global position), and meanwhile it gets the envelope's first rung, level and sinking. The rung after it, no thrust, is
never sent: the last setpoint is a thrust that sinks and no rates, then there is silence, and PX4's own COM_OF_LOSS_T
ends OFFBOARD.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from enum import Enum, auto
from typing import Self

import numpy as np

from robostack.export.onnx import LoadedPolicy
from robostack.hosts import Check, Telemetry
from robostack.runtime import loop
from robostack.runtime.controller import Controller, Sample
from robostack.runtime.runner import Runner
from robostack.spec import LevelDescend, PolicySpec
from robostack_real.devices import mavlink_checks
from robostack_real.link.errors import LinkError, LinkLost, NoAnswer, Refused
from robostack_real.link.mavlink import Connection, Message, dialect, is_loopback
from robostack_real.link.mavlink_border import Border, heading, rates
from robostack_real.link.px4_modes import Mode, mode_name

CONNECT_S = 5.0
FENCE_M, CEILING_M = 2.0, 2.5
"""from where it took off, along the floor and up; a flight's own limits are tighter"""
HEARTBEAT_S = 0.5
"""without one; or three periods of those that came, where they are slow"""
ASKED_S = 0.8
"""that PX4 may take to enter OFFBOARD"""
REPEAT_S = 0.2
"""a mode is asked for again while no answer came"""
SETTLED_S = 0.2
"""Heartbeats of a mode before the one asked for may be on their way for so long."""
GIVE_UP_S = 5.0
LANDED_S = 30.0
FORCE = 21196
"""MAVLink's word for a disarming in the air"""
RATES_AND_THRUST = dialect.ATTITUDE_TARGET_TYPEMASK_ATTITUDE_IGNORE


class Stage(Enum):
    IDLE = auto()
    """nothing is sent"""
    STANDBY = auto()
    """setpoints that PX4 ignores are sent, since OFFBOARD wants a stream before"""
    ASKED = auto()
    FLYING = auto()
    LEAVING = auto()
    """the fallback is sent until PX4 has left OFFBOARD"""
    OVER = auto()


class Px4:
    """See the module's docstring and robostack.hosts.FlyingHost. Enter it to connect; leaving hands back."""

    def __init__(self, uri: str) -> None:
        self.where = uri
        self.needs_dead_man = not is_loopback(uri)
        self.link = Connection(uri, self._hear)
        self.stage, self.ended = Stage.IDLE, ""
        self._lock = threading.RLock()
        self._spec: PolicySpec | None = None
        self._controller: Controller | None = None
        self._border = Border()
        self._expected: frozenset[int] = frozenset()
        """modes that were asked for from here; empty while any is right"""
        self._expected_from = 0.0
        self._taken = False
        """somebody else flies it"""
        self._setpoint: tuple[np.ndarray, float] | None = None
        self._used: dict[str, float] = {}
        """arrival of the newest message of each name that the controller has seen"""
        self._asked_at = self._asked_first = 0.0
        self._since, self._silent = 0.0, False
        """of leaving"""
        self._sent = np.zeros(4)
        """the newest setpoint: PX4 enters OFFBOARD on one from before the policy's first"""
        self._cells = 1.0
        self._heartbeat_s = HEARTBEAT_S
        self._take_off_m: float | None = None
        """PX4's own MIS_TAKEOFF_ALT, to be put back"""
        self._running = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self.link.__enter__()
        self._running.set()
        self._start(self._beat, "MAVLink heartbeat")
        if not self.link.until(lambda: self.link.system != 0, CONNECT_S):
            why = self.link.lost or f"no autopilot's heartbeat in {CONNECT_S:g} s"
            self.__exit__()
            raise NoAnswer(
                f"{self.where}: {why}; check its power, the baud or port, and that MAV_n_CONFIG puts MAVLink there"
            )
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.hand_back()
            self.link.until(lambda: self.stage is not Stage.LEAVING, 1.0)
            if self._take_off_m is not None and self.link.age_s("HEARTBEAT") < self._heartbeat_s:
                self.link.set_parameter("MIS_TAKEOFF_ALT", self._take_off_m)
        except LinkLost:
            pass
        self._running.clear()
        for thread in self._threads:
            thread.join()
        self.link.__exit__()

    def preflight(self, policy: LoadedPolicy) -> list[Check]:
        checks = mavlink_checks.check(self.link, policy)
        if all(c.ok for c in checks):
            self._spec, self._controller = policy.spec, Controller(Runner(policy), policy.spec)
            self._cells = self.link.parameters["BAT1_N_CELLS"]
            beats, _ = self.link.rate("HEARTBEAT", mavlink_checks.MEASURED_S)
            self._heartbeat_s = max(HEARTBEAT_S, 3.0 / max(beats, 1.0))
        return checks

    def telemetry(self) -> Telemetry:
        """Raises LinkLost."""
        if self._failure is not None:
            raise LinkError(f"{self.where}: its control loop ended: {self._failure}") from self._failure
        attitude, position = self.link.heard("ATTITUDE_QUATERNION"), self.link.heard("LOCAL_POSITION_NED")
        if self.link.lost is not None or attitude is None or position is None:
            raise LinkLost(f"{self.where} is gone ({self.link.lost or 'it sends no position'})")
        status, border = self.link.heard("SYS_STATUS"), self._border
        flies = self.stage is Stage.FLYING
        volts = status.voltage_battery / 1000.0 / self._cells if status is not None else float("nan")
        return Telemetry(
            age_s=max(self.link.age_s("ATTITUDE_QUATERNION"), self.link.age_s("LOCAL_POSITION_NED")),
            position_m=border.position(_ned(position)),
            velocity_m_s=border.vector(_ned(position, "v")),
            attitude_wxyz=border.attitude(_quaternion(attitude)),
            action=self._sent if flies else np.zeros(4),
            supply_v=volts,
            policy_flies=flies,
            ended=self.ended,
            fit_to_fly=self._fit(),
        )

    def arm(self) -> None:
        """Raises Refused when PX4 says no. Where it stands and looks is the frame of the flight."""
        attitude, position = self.link.heard("ATTITUDE_QUATERNION"), self.link.heard("LOCAL_POSITION_NED")
        assert attitude is not None and position is not None, "preflight() comes first"
        x, y, z = _ned(position).tolist()
        self._border = Border(heading(_quaternion(attitude)), (x, y, z))
        self.link.said.clear()
        self._demand("arm", dialect.MAV_CMD_COMPONENT_ARM_DISARM, 1.0)
        if not self.link.until(self._armed, 2.0):
            raise NoAnswer(f"{self.where} accepted to arm, and does not say that it is armed")

    def take_off(self, height_m: float, seconds: float) -> None:
        """By PX4, at its own pace. The stream of setpoints begins here."""
        del seconds
        self._take_off_m = self.link.read_parameters(["MIS_TAKEOFF_ALT"]).get("MIS_TAKEOFF_ALT")
        if self._take_off_m is None or not self.link.set_parameter("MIS_TAKEOFF_ALT", height_m):
            raise Refused(f"{self.where} does not take MIS_TAKEOFF_ALT = {height_m:g}")
        nan = float("nan")
        with self._lock:
            self._expect()
        self._demand("take off", dialect.MAV_CMD_NAV_TAKEOFF, 0.0, 0.0, 0.0, nan, nan, nan, nan)
        with self._lock:
            self._expect(Mode.TAKEOFF, Mode.HOLD)
            self.stage, self.ended = Stage.STANDBY, ""
        self._start(self._control, "policy")

    def setpoint(self, position_m: np.ndarray, velocity_m_s: np.ndarray, acceleration_m_s2: np.ndarray) -> None:
        wanted = np.concatenate([position_m, velocity_m_s, acceleration_m_s2])
        self._setpoint = wanted, time.monotonic()

    def hand_over(self) -> None:
        with self._lock:
            if self.stage is Stage.STANDBY and not self._taken:
                self.stage, self.ended = Stage.ASKED, ""
                self.link.said.clear()  # what it says from now on is why it refuses
                self._asked_first, self._asked_at = time.monotonic(), 0.0
                self._expect(Mode.TAKEOFF, Mode.HOLD, Mode.OFFBOARD)

    def hand_back(self) -> None:
        with self._lock:
            if self.stage in (Stage.ASKED, Stage.FLYING):
                self._leave("it was asked for its own controller")
            elif self.stage is Stage.STANDBY:
                self.stage = Stage.OVER

    def land(self, seconds: float) -> None:
        """By PX4, where it is, unless somebody else has it. Raises LinkLost, Refused, NoAnswer when it stays armed."""
        del seconds
        self.link.until(lambda: self.stage is not Stage.LEAVING, ASKED_S)
        if self._taken or not self._armed():
            return
        with self._lock:
            self._expect(Mode.OFFBOARD, Mode.TAKEOFF, Mode.HOLD, Mode.LAND)
            self.stage = Stage.OVER
        self._demand("land", dialect.MAV_CMD_DO_SET_MODE, dialect.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED, *Mode.LAND.value)
        with self._lock:
            self._expect(Mode.LAND)
        down = self.link.until(lambda: self._taken or not self._armed(), LANDED_S)
        if not down and self._on_ground():
            self._demand("disarm", dialect.MAV_CMD_COMPONENT_ARM_DISARM, 0.0)
            down = self.link.until(lambda: not self._armed(), 2.0)
        if not down:
            raise NoAnswer(
                f"{self.where} does not say that it is disarmed: keep away; the pilot's switch, or its battery"
            )

    def stop(self) -> None:
        if self.link.lost is None and not self._taken:
            self.link.ask(dialect.MAV_CMD_COMPONENT_ARM_DISARM, 0.0, FORCE)
            self.stage = Stage.OVER

    def _hear(self, message: Message) -> None:
        """In the thread that receives: whoever changes the mode wins, before another setpoint is sent."""
        if message.get_type() != "HEARTBEAT":
            return
        with self._lock:
            mode, now = message.custom_mode, time.monotonic()
            armed = bool(message.base_mode & dialect.MAV_MODE_FLAG_SAFETY_ARMED)
            if self._expected and mode not in self._expected and now > self._expected_from:
                self._taken = True
                self._end(f"it is in {mode_name(mode)} by its pilot or by itself, and theirs from now on")
            elif not armed and self.stage not in (Stage.IDLE, Stage.OVER):
                self._end("it was disarmed")
            elif self.stage is Stage.ASKED and mode == Mode.OFFBOARD.custom:
                self._fly()
            elif self.stage is Stage.LEAVING and mode != Mode.OFFBOARD.custom and now > self._since + SETTLED_S:
                self.stage = Stage.OVER

    def _expect(self, *modes: Mode) -> None:
        """Heartbeats from now on, but for those that are on their way."""
        self._expected = frozenset(m.custom for m in modes)
        self._expected_from = time.monotonic() + SETTLED_S

    def _end(self, why: str) -> None:
        self.ended = self.ended or why
        self.stage = Stage.OVER if self.stage is not Stage.IDLE else Stage.IDLE

    def _leave(self, why: str) -> None:
        """Asks PX4 to hold; the fallback flies until it does."""
        assert self._controller is not None
        self.ended, self.stage = self.ended or why, Stage.LEAVING
        self._since, self._silent = time.monotonic(), False
        self._expect(Mode.OFFBOARD, Mode.TAKEOFF, Mode.HOLD, Mode.LAND)
        self._controller.fall_back()
        self._ask_for(Mode.HOLD)

    def _fly(self) -> None:
        assert self._controller is not None
        self._controller.arm()
        self.stage = Stage.FLYING
        self._expect(Mode.OFFBOARD)

    def _control(self) -> None:
        assert self._spec is not None
        try:
            loop.run(self._tick, self._spec.control_dt_s, stop=lambda: None)
        except LinkLost:
            with self._lock:
                self._end("the link was lost")
        except BaseException as error:
            self._failure = error
            with self._lock, suppress(LinkLost):
                self._end(f"its control loop ended: {error}")
                if not self._taken:
                    self._send(self._still())
                    self._ask_for(Mode.HOLD)
            raise

    def _tick(self, missed: int) -> None:
        with self._lock:
            if self.stage is Stage.OVER or not self._running.is_set():
                raise loop.Stop
            assert self._controller is not None
            if self.stage is Stage.ASKED:
                self._ask_again()
            elif self.stage is Stage.FLYING:
                self._doubt()
            elif self.stage is Stage.LEAVING:
                self._see_it_go()
            if self.stage is Stage.OVER:
                raise loop.Stop
            action = self._controller.tick(self._samples(), missed)
            status = self._controller.status
            if self.stage is Stage.FLYING and status.tripped:
                self._leave(f"its envelope tripped: {status.reason.name.lower()}, channel {status.channel}")
            if self.stage in (Stage.STANDBY, Stage.ASKED):
                self._send(self._still())
            elif self.stage is Stage.FLYING or (self.stage is Stage.LEAVING and self._levels(status.rung)):
                self._send(action)
            elif self.stage is Stage.LEAVING and not self._silent:
                self._send(self._still())
                self._silent = True

    def _ask_again(self) -> None:
        now = time.monotonic()
        result = self.link.answer(dialect.MAV_CMD_DO_SET_MODE, self._asked_first)
        if result == dialect.MAV_RESULT_ACCEPTED:
            self._fly()
        elif now > self._asked_first + ASKED_S or (result is not None and self.link.said):
            why = "no answer" if result is None else _result(result)
            said = "".join(f": {line}" for line in list(self.link.said)[-1:])
            self._leave(f"it does not enter OFFBOARD ({why}{said})")
        elif result is None and now > self._asked_at + REPEAT_S:
            self._ask_for(Mode.OFFBOARD)

    def _see_it_go(self) -> None:
        now = time.monotonic()
        result = self.link.answer(dialect.MAV_CMD_DO_SET_MODE, self._asked_at)
        if result == dialect.MAV_RESULT_ACCEPTED or now > self._since + GIVE_UP_S:
            self._send(self._still())  # the last one acts until COM_OF_LOSS_T, should it be in OFFBOARD after all
            self.stage = Stage.OVER
        elif result is not None or now > self._asked_at + REPEAT_S:
            self._ask_for(Mode.LAND)

    def _doubt(self) -> None:
        beat = self.link.age_s("HEARTBEAT")
        here = self._border.position(_ned(self.link.heard("LOCAL_POSITION_NED")))
        if beat > self._heartbeat_s:
            self._leave(f"no heartbeat for {beat:.1f} s")
        elif np.hypot(here[0], here[1]) > FENCE_M or here[2] > CEILING_M:  # what is no number is the envelope's
            self._leave(f"it left the fence at {np.round(here, 2).tolist()} m")

    def _samples(self) -> dict[str, Sample | None]:
        """What came since the last period, with its age."""
        found: dict[str, Sample | None] = {}
        now, border = time.monotonic(), self._border
        for name in mavlink_checks.STREAMS:
            message, arrival = self.link.newest.get(name, (None, 0.0))
            if message is None or self._used.get(name) == arrival:
                continue
            self._used[name] = arrival
            age = now - arrival + self.link.clock.age_s(1e-3 * message.time_boot_ms, arrival)
            if name == "ATTITUDE_QUATERNION":
                found["attitude"] = border.attitude(_quaternion(message)), age
                found["body_rate"] = rates(_body_rates(message)), age
            else:
                found["position"] = border.position(_ned(message)), age
                found["velocity"] = border.vector(_ned(message, "v")), age
        if self._setpoint is not None:
            found["setpoint"] = self._setpoint[0], now - self._setpoint[1]
        return found

    def _levels(self, rung: int) -> bool:
        assert self._spec is not None
        return rung >= 0 and isinstance(self._spec.envelope.fallback[rung], LevelDescend)

    def _still(self) -> np.ndarray:
        """The thrust that the fallback sinks with, and no rates: needs no measurement."""
        assert self._spec is not None
        levels = [r.base for r in self._spec.envelope.fallback if isinstance(r, LevelDescend)]
        thrust = levels[0][0] if levels else 0.0
        return np.array([thrust, 0.0, 0.0, 0.0])

    def _send(self, action: np.ndarray) -> None:
        """(4,) thrust share and body rates FLU."""
        self._sent = action
        roll, pitch, yaw = rates(np.asarray(action[1:], float)).tolist()
        self.link.send(
            dialect.MAVLink_set_attitude_target_message(
                int(time.monotonic() * 1000) & 0xFFFFFFFF, self.link.system, dialect.MAV_COMP_ID_AUTOPILOT1,
                RATES_AND_THRUST, [1.0, 0.0, 0.0, 0.0], roll, pitch, yaw, float(action[0]),
            )
        )  # fmt: skip

    def _ask_for(self, mode: Mode) -> None:
        """Without waiting for an answer."""
        self._asked_at = self.link.ask(
            dialect.MAV_CMD_DO_SET_MODE, dialect.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED, *mode.value
        )

    def _demand(self, what: str, command: int, *params: float) -> None:
        """Raises Refused with what PX4 says."""
        result = self.link.command(command, *params)
        if result != dialect.MAV_RESULT_ACCEPTED:
            self.link.until(lambda: bool(self.link.said), 0.3)
            said = "; ".join(dict.fromkeys(self.link.said)) or "it does not say why"
            raise Refused(f"{self.where} does not {what} ({_result(result)}): {said}")

    def _armed(self) -> bool:
        beat = self.link.heard("HEARTBEAT")
        return beat is not None and bool(beat.base_mode & dialect.MAV_MODE_FLAG_SAFETY_ARMED)

    def _on_ground(self) -> bool:
        told = self.link.heard("EXTENDED_SYS_STATE")
        return told is not None and told.landed_state == dialect.MAV_LANDED_STATE_ON_GROUND

    def _fit(self) -> bool:
        beat = self.link.heard("HEARTBEAT")
        well = (dialect.MAV_STATE_STANDBY, dialect.MAV_STATE_ACTIVE)
        return self._armed() and not self._taken and beat is not None and beat.system_status in well

    def _beat(self) -> None:
        """Our heartbeat once a second, the clocks five times."""
        count = 0
        while self._running.is_set():
            try:
                if count % 5 == 0:
                    kind, nobody = dialect.MAV_TYPE_ONBOARD_CONTROLLER, dialect.MAV_AUTOPILOT_INVALID
                    self.link.send(dialect.MAVLink_heartbeat_message(kind, nobody, 0, 0, dialect.MAV_STATE_ACTIVE, 3))
                self.link.synchronise()
            except LinkLost:
                return
            count += 1
            time.sleep(0.2)

    def _start(self, run: object, name: str) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


def _ned(message: Message, prefix: str = "") -> np.ndarray:
    return np.array([getattr(message, prefix + axis) for axis in "xyz"])


def _quaternion(message: Message) -> np.ndarray:
    return np.array([message.q1, message.q2, message.q3, message.q4])


def _body_rates(message: Message) -> np.ndarray:
    return np.array([message.rollspeed, message.pitchspeed, message.yawspeed])


def _result(result: int) -> str:
    known = dialect.enums["MAV_RESULT"]
    return known[result].name.removeprefix("MAV_RESULT_").lower() if result in known else str(result)
