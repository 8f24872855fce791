"""A Crazyflie that runs a policy in our app (firmware/crazyflie/), by the real cflib.

cflib is GPL-3 and only this module imports it (the `crazyflie` extra). URIs are cflib's: radio://0/80/2M, usb://0, and
udp://127.0.0.1:19850 for a virtual one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from robostack.export.onnx import LoadedPolicy
from robostack.hosts import Check, Telemetry
from robostack.runtime.envelope import Reason
from robostack_real.devices.crazyflie_obstacle import WHY, Obstacle
from robostack_real.link.errors import LinkError, LinkLost, NoAnswer, Refused

CONNECT_S = 20.0
"""A radio reads some three hundred parameters before it is connected."""
FIRST_DATA_S = 3.0
LOGS = {
    "state": (20, {
        **{f"stateEstimate.{n}": "FP16" for n in ("x", "y", "z", "vx", "vy", "vz", "roll", "pitch", "yaw")},
        "rsp.active": "uint8_t", "rsp.ended": "uint8_t", "rsp.obstacle": "uint8_t", "pm.vbat": "FP16",
    }),
    "policy": (20, {
        **{f"rsp.m{i}": "FP16" for i in (1, 2, 3, 4)}, "rsp.reason": "uint8_t", "rsp.channel": "int8_t",
        "rsp.late": "uint16_t", "rsp.longestUs": "uint16_t", "supervisor.info": "uint16_t",
    }),
    "health": (100, {
        "rsp.hash": "uint32_t", "rsp.failed": "uint8_t", "rsp.otherBits": "uint8_t", "rsp.std": "FP16",
        "rsp.age": "FP16",
    }),
}  # fmt: skip
"""Blocks of at most 26 bytes: how often (ms), and their variables."""
DECKS = ("deck.bcLighthouse4", "deck.bcLoco", "deck.bcDWM1000", "deck.bcFlow2", "deck.bcActiveM")
LOWEST_TAKE_OFF_V = 3.7
CONVERGED_M = 0.1
CAN_BE_ARMED, IS_ARMED, CAN_FLY, IS_FLYING = 1 << 0, 1 << 1, 1 << 3, 1 << 4


class Crazyflie:
    """See robostack.hosts.FlyingHost. Enter it to connect; leaving hands back and closes the link."""

    def __init__(self, uri: str) -> None:
        from cflib.crazyflie import Crazyflie as Client

        self.where = uri
        self.needs_dead_man = not uri.startswith("udp://127.0.0.1")
        self._client: Any = Client()
        self._values: dict[str, float] = {}
        self._heard = {name: 0.0 for name in LOGS}
        self._lost: str | None = None
        self._floor_m = 0.0
        self._blocks: list[Any] = []

    def __enter__(self) -> Self:
        import cflib.crtp

        logging.getLogger("cflib").setLevel(logging.CRITICAL)  # what matters comes as an exception of ours
        cflib.crtp.init_drivers()
        connected, failed = threading.Event(), threading.Event()
        said: list[str] = []

        def fail(uri: str, message: str = "") -> None:
            said.append(" ".join(message.partition("\n\n")[0].split()) or "the link closed")
            self._lost = said[-1]
            failed.set()
            connected.set()

        client = self._client
        client.fully_connected.add_callback(lambda uri: connected.set())
        for event in (client.connection_failed, client.connection_lost, client.disconnected):
            event.add_callback(fail)
        try:
            client.open_link(self.where)
        except Exception as error:  # whatever a driver raises
            raise LinkError(f"{self.where}: {error}") from error
        if not connected.wait(CONNECT_S) or failed.is_set():
            client.close_link()
            why = said[0] if said else f"nothing answered in {CONNECT_S:g} s"
            raise NoAnswer(f"{self.where}: {why}; check its power, the URI, and that nobody else is connected to it")
        client.link_statistics.stop()  # its pings and a sender that finds the link gone wait for each other, for ever
        try:
            self._start_logs()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lost is None:
            self.hand_back()
        self._close()

    def preflight(self, policy: LoadedPolicy) -> list[Check]:
        """What must be true before it takes off. Raises LinkLost."""
        v, first = self._newest(), policy.policy_hash[:8]
        on_board = f"{int(v['rsp.hash']):08x}"
        decks = [d for d in DECKS if self._parameter(d) == 1.0]
        failed, bits = int(v["rsp.failed"]), int(v["rsp.otherBits"])
        estimator = int(self._parameter("stabilizer.estimator") or 2)
        info = int(v["supervisor.info"])
        return [
            Check("policy on board", on_board == first, f"{on_board}, this file has {first}",
                  "flash the app with this policy (robostack export --target crazyflie), or swap it in"),
            Check("its self-test", failed == 0 and bits == 0, f"{failed} vectors missed, other bits: {bits}",
                  "build the app with -ffp-contract=off, as its Makefile does"),
            Check("positioning deck", bool(decks), ", ".join(decks) or "none",
                  "it needs Lighthouse, Loco, active marker or Flow v2"),
            Check("estimator", estimator == 2 and v["rsp.std"] <= CONVERGED_M,
                  f"number {estimator}, position known to {1000 * v['rsp.std']:.0f} mm",
                  f"has to be the Kalman filter (2), sure to {1000 * CONVERGED_M:.0f} mm: let it stand, or reset it"),
            Check("battery", v["pm.vbat"] >= LOWEST_TAKE_OFF_V, f"{v['pm.vbat']:.2f} V",
                  f"charge it to {LOWEST_TAKE_OFF_V:g} V at least"),
            Check("supervisor", bool(info & (CAN_BE_ARMED | IS_ARMED)) and not info & IS_FLYING,
                  f"bits {info:#b}", "stand it upright on its legs; restart it if it has crashed"),
        ]  # fmt: skip

    def telemetry(self) -> Telemetry:
        v = self._newest()
        ended = Obstacle(int(v["rsp.ended"]))
        why = WHY.get(ended, "")
        if ended == Obstacle.TRIPPED:
            why += f": {Reason(int(v['rsp.reason'])).name.lower()}, channel {int(v['rsp.channel'])}"
        return Telemetry(
            age_s=time.monotonic() - min(self._heard["state"], self._heard["policy"]),
            position_m=np.array([v[f"stateEstimate.{n}"] for n in "xyz"]),
            velocity_m_s=np.array([v[f"stateEstimate.v{n}"] for n in "xyz"]),
            attitude_wxyz=quat_wxyz(*(v[f"stateEstimate.{n}"] for n in ("roll", "pitch", "yaw"))),
            action=np.array([v[f"rsp.m{i}"] for i in (1, 2, 3, 4)]),
            supply_v=v["pm.vbat"],
            policy_flies=bool(v["rsp.active"]),
            ended=why,
            fit_to_fly=bool(int(v["supervisor.info"]) & CAN_FLY),
        )

    def arm(self) -> None:
        """Raises Refused when the supervisor says no."""
        self._client.supervisor.send_arming_request(True)
        if not self._until(lambda: bool(int(self._newest()["supervisor.info"]) & CAN_FLY), 2.0):
            raise Refused(f"{self.where} does not arm: {', '.join(self._client.supervisor.read_state_list())}")

    def take_off(self, height_m: float, seconds: float) -> None:
        self._floor_m = float(self._newest()["stateEstimate.z"])
        self._client.high_level_commander.takeoff(self._floor_m + height_m, seconds)

    def setpoint(self, position_m: np.ndarray, velocity_m_s: np.ndarray, acceleration_m_s2: np.ndarray) -> None:
        level = (0.0, 0.0, 0.0, 1.0)
        self._client.commander.send_full_state_setpoint(position_m, velocity_m_s, acceleration_m_s2, level, 0, 0, 0)

    def hand_over(self) -> None:
        self._client.param.set_value("rsp.enable", 1)

    def hand_back(self) -> None:
        self._client.param.set_value("rsp.enable", 0)

    def land(self, seconds: float) -> None:
        """And disarms it. Raises LinkLost, NoAnswer when it stays armed."""
        self._newest()
        self._client.commander.send_notify_setpoint_stop()
        self._client.high_level_commander.land(self._floor_m, seconds)
        time.sleep(seconds + 0.5)
        self._client.supervisor.send_arming_request(False)
        if not self._until(lambda: not int(self._newest()["supervisor.info"]) & IS_ARMED, 1.0):
            raise NoAnswer(f"{self.where} does not say that it is disarmed: keep away, and take its battery out")

    def stop(self) -> None:
        if self._lost is None:
            self._client.supervisor.send_emergency_stop()

    def hear_app(self, take: Callable[[bytes], None]) -> None:
        """Has each packet of the app channel given to `take`, in cflib's thread."""
        self._client.appchannel.packet_received.add_callback(lambda data: take(bytes(data)))

    def tell_app(self, packet: bytes) -> None:
        """A packet of the app channel, 30 bytes at most, which may get lost."""
        self._client.appchannel.send_packet(packet)

    def check_link(self) -> None:
        """Raises LinkLost."""
        self._newest()

    def _start_logs(self) -> None:
        from cflib.crazyflie.log import LogConfig

        for name, (period_ms, variables) in LOGS.items():
            block = LogConfig(name, period_in_ms=period_ms)
            for variable, kind in variables.items():
                block.add_variable(variable, kind)
            try:
                self._client.log.add_config(block)
            except KeyError as error:
                raise Refused(
                    f"{self.where} runs firmware without our app ({error.args[0]}): build firmware/crazyflie with your "
                    "checkout of its firmware and flash it"
                ) from error
            block.data_received_cb.add_callback(self._hear(name))
            block.start()
            self._blocks.append(block)
        if not self._until(lambda: all(self._heard.values()), FIRST_DATA_S):
            silent = [name for name, at in self._heard.items() if not at]
            raise NoAnswer(f"{self.where} sends no log data ({', '.join(silent)}) for {FIRST_DATA_S:g} s; restart it")

    def _hear(self, name: str) -> Callable[[int, dict[str, float], Any], None]:
        def take(timestamp: int, data: dict[str, float], block: Any) -> None:
            self._values = self._values | data
            self._heard[name] = time.monotonic()

        return take

    def _newest(self) -> dict[str, float]:
        if self._lost is not None:
            raise LinkLost(f"{self.where} is gone ({self._lost})")
        return self._values

    def _parameter(self, name: str) -> float | None:
        group, _, one = name.partition(".")
        value = self._client.param.values.get(group, {}).get(one)
        return None if value is None else float(value)

    def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline or self._lost is not None:
                return False
            time.sleep(0.01)
        return True

    def _close(self) -> None:
        for block in self._blocks:
            block.stop()
        self._client.close_link()
        self._lost = self._lost or "closed"


def quat_wxyz(roll_deg: float, pitch_deg: float, yaw_deg: float) -> np.ndarray:
    """(4,) of a Crazyflie's Euler angles, yaw-pitch-roll, whose pitch is up (legacy sign)."""
    r, p, y = np.radians([roll_deg, -pitch_deg, yaw_deg]) / 2
    cr, sr, cp, sp, cy, sy = np.cos(r), np.sin(r), np.cos(p), np.sin(p), np.cos(y), np.sin(y)
    return np.array([
        cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy, cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    ])  # fmt: skip
