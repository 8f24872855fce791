"""level_descend brings a falling multirotor level: its signs, and a rigid body with the shipped rotors."""

import math

import numpy as np
import pytest
from contracts import QUADROTOR, ROTORS
from flights import SETPOINT, VELOCITY, airborne, fly, packed

from robostack.runtime.envelope import Reason
from robostack.spec import PolicySpec
from robostack_sim.quadrotor.interface import actions, envelope
from robostack_sim.quadrotor.vehicle import load_vehicle

DT_S, SUBSTEPS, GRAVITY_M_S2 = 0.01, 10, 9.81


def quat_wxyz(rotation_vector) -> np.ndarray:
    angle = float(np.linalg.norm(rotation_vector))
    axis = np.asarray(rotation_vector) / angle if angle else np.zeros(3)
    return np.array([math.cos(angle / 2), *(math.sin(angle / 2) * axis)])


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    w, v = a[0] * b[0] - a[1:] @ b[1:], a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])
    return np.array([w, *v])


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    return multiply(multiply(q, np.array([0, *v])), q * [1, -1, -1, -1])[1:]


@pytest.mark.parametrize("tilt_deg", [20, 85, 120])
@pytest.mark.parametrize("yaw_deg", [0, 130])
@pytest.mark.parametrize("direction_deg", [0, 37, 90, 200, 300])
def test_the_torque_turns_the_body_towards_level(quadrotor, tilt_deg, yaw_deg, direction_deg):
    direction = math.radians(direction_deg)
    axis = np.array([math.cos(direction), math.sin(direction), 0])  # body frame
    q = multiply(quat_wxyz([0, 0, math.radians(yaw_deg)]), quat_wxyz(math.radians(tilt_deg) * axis))
    airborne(quadrotor)
    quadrotor.script(np.full(4, np.nan), np.zeros(2))
    thrust = fly(quadrotor, packed(attitude=q))
    torque = np.array([sum(y * f for (_, y, _), f in zip(ROTORS, thrust, strict=True)),
                       sum(-x * f for (x, _, _), f in zip(ROTORS, thrust, strict=True)), 0])  # fmt: skip
    assert quadrotor.seen().rung == 0
    assert torque @ axis < -1e-4
    assert abs(torque @ np.cross(axis, [0, 0, 1])) < 1e-3 * abs(torque @ axis) + 1e-7


@pytest.mark.parametrize(("rate", "axis"), [((1, 0, 0), 0), ((0, 1, 0), 1), ((0, 0, 1), 2)])
def test_body_rates_are_damped(quadrotor, rate, axis):
    airborne(quadrotor)
    quadrotor.script(np.full(4, np.nan), np.zeros(2))
    thrust = fly(quadrotor, packed(body_rate=rate))
    lever = [[y for _, y, _ in ROTORS], [-x for x, _, _ in ROTORS], [spin for _, _, spin in ROTORS]][axis]
    assert np.dot(lever, thrust) < 0


def test_rising_takes_thrust_and_an_unknown_velocity_counts_as_zero(quadrotor):
    airborne(quadrotor)
    fly(quadrotor, without=[SETPOINT], ticks=51)
    level = fly(quadrotor).sum()
    assert fly(quadrotor, packed(velocity=(0, 0, 1))).sum() < level
    assert fly(quadrotor, packed(velocity=(0, 0, -1))).sum() > level
    for _ in range(10):
        unknown = fly(quadrotor, packed(velocity=(0, 0, 1)), without=[VELOCITY])
    assert unknown.sum() == level
    assert level == pytest.approx(0.92 * 0.027 * 9.81, rel=1e-5)


@pytest.mark.parametrize("velocity_known", [True, False])
@pytest.mark.parametrize("tilt_deg", [0, 30, 60])
def test_level_descend_restores_level(port, tilt_deg, velocity_known):
    """The shipped Crazyflie, with its rotors' lag, after its setpoint has gone."""
    vehicle = load_vehicle("crazyflie_2_1")
    spec = PolicySpec(
        task="quadrotor",
        control_dt_s=DT_S,
        observations=QUADROTOR.observations,
        actions=actions(vehicle),
        envelope=envelope(vehicle),
    )
    p = port(spec)
    hover = vehicle.hover_speed_rad_s
    p.script(np.full(4, hover), np.zeros(0))
    p.arm()
    axis = np.array([0.6, -0.8, 0])
    q = multiply(quat_wxyz([0, 0, 2.0]), quat_wxyz(math.radians(tilt_deg) * axis))
    rate, velocity, speed = np.array([1.0, -1.0, 0.5]), np.array([0.3, -0.2, 0.0]), np.full(4, hover)
    inertia, curve = np.array(vehicle.inertia), vehicle.thrust_curve
    x, y, spin = (np.array(v) for v in (vehicle.rotor_x, vehicle.rotor_y, vehicle.rotor_spin))
    fly(p, packed(attitude=q))  # seen once: the setpoint is not fresh again
    p.script(np.full(4, np.nan), np.zeros(0))
    tilts = []
    for _ in range(250):
        missing = [SETPOINT] if velocity_known else [SETPOINT, VELOCITY]
        command = fly(p, packed(q, rate, velocity), without=missing)
        for _ in range(SUBSTEPS):
            h = DT_S / SUBSTEPS
            speed = speed + h * (command - speed) / vehicle.rotor_rise_time
            thrust = curve[0] + curve[1] * speed + curve[2] * speed**2
            torque = np.array([y @ thrust, -x @ thrust, vehicle.torque_to_thrust * (spin @ thrust)])
            rate = rate + h * (torque - np.cross(rate, inertia * rate)) / inertia
            q = multiply(q, quat_wxyz(h * rate))
            lift = rotate(q, np.array([0, 0, thrust.sum() / vehicle.mass]))
            velocity = velocity + h * (lift - [0, 0, GRAVITY_M_S2])
        tilts.append(math.degrees(math.acos(min(1.0, rotate(q, np.array([0, 0, 1.0]))[2]))))
    seen = p.seen()
    assert (seen.reason, seen.rung) == (Reason.NON_FINITE_ACTION, 0)
    assert max(tilts) < tilt_deg + 25  # the rates it starts with carry it on
    assert tilts[-1] < 5
    assert (-4 if velocity_known else -8) < velocity[2] < 0  # a free fall would have reached 24 m/s
