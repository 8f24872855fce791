"""A virtual Crazyflie: the app's very C, a simulated airframe, and the radio protocol over UDP.

    with VirtualCrazyflie(run / "exported/firmware/generated") as machine:
        ...  # cflib connects to machine.uri

One call of the stabilizer loop a millisecond. The airframe is the quadrotor task's physics on a floor; what is
measured is its state with the vehicle's noise. Its supervisor arms, sees flight, tumbles and crashes as the firmware's
does, its battery empties and sags as the vehicle file says. What it has of a radio is a UDP port on this machine.
"""

from __future__ import annotations

import ctypes
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import torch
import warp as wp

from robostack.lanes import as_lanes, columns, stored
from robostack_real.link.errors import LinkError
from robostack_real.twins.crazyflie_app import CrazyflieApp, Motion, Variable
from robostack_real.twins.crazyflie_commander import Commander
from robostack_real.twins.crazyflie_crtp import Crtp, Packet
from robostack_real.twins.crazyflie_supervisor import Supervisor
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P, S, fly
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2, Vehicle

STEP_S = 1e-3
FULL_V = 4.2
PORT = 19850
"""cflib scans from here to 19859"""
BEHIND_MS = 200
"""A process that the machine keeps from running does not fly blind meanwhile: its time stops."""
_UINT8, _FLOAT = 0x08, 0x06
_LOG_UINT16 = 2


class Airframe:
    """One vehicle on a floor, a millisecond at a time. `state` is a row of robostack_sim.quadrotor.physics.S."""

    def __init__(self, config: QuadrotorConfig, seed: int = 0) -> None:
        cpu = torch.device("cpu")
        task = Quadrotor(config, seed=seed)
        self.vehicle: Vehicle = task.vehicle
        self._params, self._state, self._command = task.params, task.state, columns(1, 4, cpu)
        self._params[:, P.SAG] = self._params[:, P.DISCHARGE] = 0.0  # the battery is the twin's: `supply_v`
        self.state = stored(self._state).numpy()[:, 0]
        self.state[:] = 0.0
        self.state[S.ATTITUDE] = self.state[S.BATTERY] = 1.0
        self._rotors = stored(self._command).numpy()[:, 0]
        arrays = [as_lanes(self._state), as_lanes(self._command), as_lanes(self._state)]
        self._launch = wp.launch(fly, 1, [as_lanes(self._params), STEP_S, 1, *arrays], device="cpu", record_cmd=True)
        self.specific_force_m_s2 = np.array([0.0, 0.0, GRAVITY_M_S2])
        self.impact_m_s = 0.0
        """speed of the last touch-down"""
        self.charge = 1.0
        """share of the nominal voltage, without load"""

    @property
    def on_floor(self) -> bool:
        return bool(self.state[2] <= 0.0)

    @property
    def supply_v(self) -> float:
        load = float(np.mean(np.square(self.state[S.ROTOR : S.ROTOR + 4]))) / self.vehicle.rotor_speed_max**2
        return FULL_V * self.charge * (1.0 - self.vehicle.battery_sag * load)

    def step(self, rotor_speed_rad_s: np.ndarray) -> None:
        """A millisecond under four rotor speed commands (rad/s, front right, back right, back left, front left)."""
        before = self.state[S.VELOCITY : S.VELOCITY + 3].copy()
        self._rotors[:] = rotor_speed_rad_s
        self._launch.launch()
        self.charge -= STEP_S * self.vehicle.battery_discharge
        s = self.state
        if s[2] < 0.0:
            self.impact_m_s = float(np.linalg.norm(s[S.VELOCITY : S.VELOCITY + 3]))
            s[2] = s[S.VELOCITY : S.RATE + 3] = 0.0
            w, z = s[S.ATTITUDE], s[S.ATTITUDE + 3]
            if self.tilt_cos > 0.5:  # its legs level it
                s[S.ATTITUDE : S.ATTITUDE + 4] = np.array([w, 0.0, 0.0, z]) / np.hypot(w, z)
        felt = (s[S.VELOCITY : S.VELOCITY + 3] - before) / STEP_S + [0.0, 0.0, GRAVITY_M_S2]
        self.specific_force_m_s2 = _into_body(s[S.ATTITUDE : S.ATTITUDE + 4], felt)

    @property
    def tilt_cos(self) -> float:
        """Cosine of the angle between the body's z axis and up."""
        _, x, y, _ = self.state[S.ATTITUDE : S.ATTITUDE + 4]
        return float(1.0 - 2.0 * (x * x + y * y))


class VirtualCrazyflie:
    """See the module's docstring. `step` advances a millisecond; the context serves UDP in a thread of its own, in
    real time. `generated` is the folder of generated C of an export for a Crazyflie, `vehicle` the airframe's parameter
    file.

    Raises ContractError when the policy cannot be the app's, LinkError when the port is taken.
    """

    def __init__(
        self,
        generated: Path,
        vehicle: str = "crazyflie_2_1",
        *,
        port: int = 0,
        seed: int = 0,
        loss: float = 0.0,
    ) -> None:
        config = QuadrotorConfig(
            num_envs=1, vehicle=vehicle, delay_s=(0.0, 0.0), force_std=0.0, moment_std=0.0, moving_share=0.0
        )
        self.airframe = Airframe(config, seed)
        self.app = CrazyflieApp(generated, supply_v=FULL_V)
        self.supervisor = Supervisor()
        self.commander = Commander()
        self.loss = loss
        """share of packets that get lost, each way"""
        self.before_step: Callable[[VirtualCrazyflie], None] = lambda machine: None
        """called each millisecond, for tests that meddle"""
        self._deck, self._reset, self._info = ctypes.c_uint8(1), ctypes.c_uint8(0), ctypes.c_uint16(0)
        self.params = self.app.params | {
            v.name: v
            for v in (
                Variable("deck.bcLighthouse4", _UINT8, self._deck),
                Variable("kalman.resetEstimation", _UINT8, self._reset),
                Variable("commander.enHighLevel", _UINT8, ctypes.c_uint8(1)),
                Variable("stabilizer.controller", _UINT8, ctypes.c_uint8(6)),
            )
        }
        self.logs = self.app.logs | {"supervisor.info": Variable("supervisor.info", _LOG_UINT16, self._info)}
        self.motion = Motion()
        self._random = np.random.default_rng(seed)
        self._noise_std = np.array(
            [self.airframe.vehicle.position_noise] * 3
            + [self.airframe.vehicle.attitude_noise] * 4
            + [self.airframe.vehicle.velocity_noise] * 3
            + [self.airframe.vehicle.rate_noise] * 3
        )
        self._crtp = Crtp(self)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise LinkError(f"udp port {port}: {error.strerror}; another virtual Crazyflie has it") from error
        self._peer: tuple[str, int] | None = None
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="virtual Crazyflie", daemon=True)
        self.failure: BaseException | None = None
        """what ended the thread, where something did"""

    @property
    def uri(self) -> str:
        return f"udp://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def time_ms(self) -> int:
        return self.app.time_ms

    @property
    def position_m(self) -> np.ndarray:
        """(3,) of the airframe, world."""
        return self.airframe.state[0:3].astype(float)

    @property
    def state_bits(self) -> int:
        plan = self.commander.plan_finished(self.time_ms)
        return self.supervisor.bits | self.commander.high_level_rules << 8 | plan << 9

    def arm(self, wanted: bool) -> bool:
        """Returns whether it is armed now."""
        return self.supervisor.arm(wanted)

    def recover(self) -> bool:
        return self.supervisor.recover(upright=self.airframe.tilt_cos > 0.5)

    def emergency_stop(self) -> None:
        self.supervisor.emergency_stop()

    def to_app(self, packet: bytes) -> None:
        self.app.send(packet)

    def from_app(self) -> Iterator[bytes]:
        return self.app.received()

    def step(self) -> Motion:
        """A millisecond of the whole machine."""
        self.before_step(self)
        self._sense()
        self.motion = self.app.step(self.commander.setpoint(self.time_ms))
        self.airframe.step(np.array(self.motion.rotor_speed_rad_s))
        self.supervisor.step(
            self.time_ms,
            np.array(self.motion.ratio) / 65535.0,
            self.airframe.specific_force_m_s2[2] / GRAVITY_M_S2,
            upright=self.airframe.tilt_cos > 0.5,
            on_floor=self.airframe.on_floor,
        )
        self._info.value = self.state_bits
        return self.motion

    def _sense(self) -> None:
        world, state, air = self.app.world, self.airframe.state[: S.ROTOR], self.airframe
        measured = state + self._noise_std * self._random.standard_normal(len(state))
        world.position_m[:] = measured[0:3]
        world.quat_wxyz[:] = measured[3:7] / np.linalg.norm(measured[3:7])
        world.velocity_m_s[:] = measured[7:10]
        world.rate_rad_s[:] = measured[10:13]
        world.specific_force_m_s2[:] = air.specific_force_m_s2
        world.supply_v = air.supply_v
        world.armed, world.can_fly = self.supervisor.armed, self.supervisor.can_fly
        world.flying, world.motors_allowed = self.supervisor.flying, self.supervisor.can_fly

    def _serve(self) -> None:
        start, begun_ms = time.monotonic(), self.time_ms
        try:
            while self._running.is_set():
                late_ms = int(1000.0 * (time.monotonic() - start)) - (self.time_ms - begun_ms)
                if late_ms > BEHIND_MS:
                    start += (late_ms - 1) / 1000.0
                    late_ms = 1
                for _ in range(late_ms):
                    self.step()
                    self._send(self._crtp.due())
                while select.select([self._socket], [], [], 0.0005 if late_ms == 0 else 0.0)[0]:
                    raw, self._peer = self._socket.recvfrom(64)
                    packet = Packet.parse(raw)
                    if packet is not None and not self._lost():
                        self._send(self._crtp.answer(packet))
        except BaseException as error:
            self.failure = error
            raise

    def _send(self, packets: list[Packet]) -> None:
        for packet in packets:
            if self._peer and not self._lost():
                try:
                    self._socket.sendto(bytes(packet), self._peer)
                except ConnectionError:  # the client has gone; the next one says hello
                    self._peer = None

    def _lost(self) -> bool:
        return self.loss > 0.0 and self._random.random() < self.loss

    def __enter__(self) -> Self:
        self._running.set()
        self._thread.start()
        return self

    def power_off(self) -> None:
        """The battery falls out: nothing answers any more."""
        self._running.clear()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def close(self) -> None:
        self.power_off()
        self._socket.close()

    def __exit__(self, *exc: object) -> None:
        self.close()


def _into_body(quat_wxyz: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """A world vector along the body's axes."""
    w, u = quat_wxyz[0], -quat_wxyz[1:]
    t = 2.0 * np.cross(u, vector)
    turned: np.ndarray = vector + w * t + np.cross(u, t)
    return turned
