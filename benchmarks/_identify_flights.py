"""Flights in a simulator whose machine differs from the vehicle file, as logs to identify it by."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from robostack.quaternion import inverse, rotate
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.identify.log import Log, Series
from robostack_sim.quadrotor.interface import level_descend
from robostack_sim.quadrotor.physics import P
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import Plant
from robostack_sim.quadrotor.vehicle import Vehicle, load_vehicle

VEHICLE = "crazyflie_2_1"
STEP_S = 0.5
TILT_RAD, YAW_RAD_S, CLIMB_M_S = 0.25, 1.5, 0.6
"""of the steps, to either side"""
MEASURED = ("position", "velocity", "attitude", "body_rate")


@dataclass(frozen=True)
class Truth:
    """What a simulated machine is, over its vehicle file, and what it flies in."""

    mass: float = 1.0
    thrust: float = 1.0
    rise: float = 1.0
    fall: float = 1.0
    torque: float = 1.0
    inertia: float = 1.0
    acting_s: float = 0.0
    """delay of commands, up to two periods"""
    sensing_s: float = 0.0
    """of measurements, up to one period"""
    wind: tuple[float, float] = (0.0, 0.0)
    """share of weight"""
    moment: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """share of weight times arm"""

    @property
    def delay_s(self) -> float:
        return self.acting_s + self.sensing_s

    @property
    def vehicle(self) -> Vehicle:
        v = load_vehicle(VEHICLE)
        return replace(
            v,
            mass=v.mass * self.mass,
            thrust_curve=(0.0, 0.0, v.thrust_curve[2] * self.thrust),
            rotor_rise_time=v.rotor_rise_time * self.rise,
            rotor_fall_time=v.rotor_fall_time * self.fall,
            torque_to_thrust=v.torque_to_thrust * self.torque,
            inertia=(v.inertia[0] * self.inertia, v.inertia[1] * self.inertia, v.inertia[2] * self.inertia),
        )

    @classmethod
    def drawn(cls, seed: int) -> Truth:
        """Inertia as the file has it."""
        r = np.random.default_rng(seed)
        scale = lambda low, high: math.exp(r.uniform(math.log(low), math.log(high)))  # noqa: E731
        return cls(
            mass=scale(0.8, 1.25), thrust=scale(0.85, 1.15), rise=scale(0.7, 1.8), fall=scale(0.7, 1.8),
            torque=scale(0.8, 1.25), acting_s=r.uniform(0.0, 0.018), sensing_s=r.uniform(0.0, 0.01),
            wind=(r.uniform(-0.05, 0.05), r.uniform(-0.05, 0.05)),
            moment=(r.uniform(-0.02, 0.02), r.uniform(-0.02, 0.02), r.uniform(-0.005, 0.005)),
        )  # fmt: skip


def machine(truth: Truth, noise: float, seed: int, plant: Plant = Quadrotor) -> Quadrotor:
    """At rest and level at the origin, rotors at half speed; `noise` times the vehicle file's."""
    task = plant(
        QuadrotorConfig(
            1, vehicle=VEHICLE, delay_s=(0.0, 0.0), force_std=0.0, moment_std=0.0, noise_scale=noise, moving_share=0.0,
            idle_share=0.0, origin_share=1.0, velocity_max_m_s=0.0, rate_max_rad_s=0.0, box_m=1e6, episode_s=1e4,
        )
    )  # fmt: skip
    task.reset(seed)
    v, p = truth.vehicle, task.params
    p[:, P.MASS], p[:, P.TORQUE] = v.mass, v.torque_to_thrust
    p[:, P.THRUST_2], p[:, P.RISE], p[:, P.FALL] = v.thrust_curve[2], v.rotor_rise_time, v.rotor_fall_time
    p[:, P.INERTIA : P.INERTIA + 3] = torch.tensor(v.inertia)
    p[:, P.OBS_DELAY], p[:, P.ACTION_DELAY] = truth.sensing_s, truth.acting_s
    weight = 9.81 * v.mass
    p[:, P.FORCE : P.FORCE + 2] = weight * torch.tensor(truth.wind)
    p[:, P.MOMENT : P.MOMENT + 3] = weight * max(v.rotor_x) * torch.tensor(truth.moment)
    return task


def steps(
    truth: Truth, seconds: float, *, noise: float = 1.0, seed: int = 0, size: float = 1.0, plant: Plant = Quadrotor
) -> Log:
    """Steps of tilt, climb and yaw, every half a second, under an attitude controller; `size` 0 is a hover."""
    task, draw = machine(truth, noise, seed, plant), np.random.default_rng(seed)
    held = level_descend(truth.vehicle)
    gain = np.array(held.gain)
    base = truth.vehicle.hover_speed_rad_s
    rows: dict[str, list[np.ndarray]] = {name: [] for name in (*MEASURED, "command")}
    wanted, sunk = np.zeros(6), 0.0
    obs = task.observe()
    for k in range(round(seconds / task.step_dt)):
        if k % round(STEP_S / task.step_dt) == 0:
            u = size * draw.uniform(-1.0, 1.0, 4)
            wanted[[0, 1, 4, 5]] = u * (TILT_RAD, TILT_RAD, YAW_RAD_S, CLIMB_M_S)
        seen = {n: obs[n][0].numpy().astype(float) for n in MEASURED}
        w, x, y, z = seen["attitude"]
        ahead, left, _ = rotate(inverse(seen["attitude"]), seen["velocity"])
        tilt = (2.0 * (y * z + w * x) - 0.15 * left, -2.0 * (x * z - w * y) + 0.15 * ahead)
        sunk += task.step_dt * (seen["velocity"][2] - wanted[5])
        signals = np.array([*tilt, *seen["body_rate"], seen["velocity"][2] + 2.0 * sunk]) - wanted
        command = np.clip(base + gain @ signals, task.vehicle.rotor_speed_min, task.vehicle.rotor_speed_max)
        for name, value in {**seen, "command": command}.items():
            rows[name].append(value)
        obs, *_ = task.step(torch.tensor(command[None], dtype=torch.float32))
    times = np.float64(task.step_dt) * np.arange(len(rows["command"]))
    return Log("a simulated flight", {n: Series(times, np.stack(v)) for n, v in rows.items()})
