"""What a quadrotor measures and takes: channels, actions, envelope and preprocessing, from its parameter files.

With an autopilot the action is collective thrust and body rates, without one four rotor speeds.
"""

from __future__ import annotations

import math

from robostack.features import Difference, Feature, FirstOrderLag, History, Integral, Pick, RotationMatrix, Scale
from robostack.spec import ActionChannel, Channel, Cut, Envelope, LevelDescend, Tumble
from robostack.task import Parameter
from robostack_sim.quadrotor.autopilot import Autopilot, hover_thrust, thrust_per_newton
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2, Vehicle

ROTORS = ("front_right", "back_right", "back_left", "front_left")
REWARD_TERMS = ("position", "excursion", "velocity", "rate", "tilt", "yaw", "action", "action_rate")
GYRO_RANGE_RAD_S = 34.9
"""2000 deg/s, what the gyros of such machines measure. A machine that lost a rotor soon spins faster; beyond
the tumble limit it is a third of the time only and never for long, so this is what ends its flight."""
CRITIC_CHANNELS = ("setpoint", "applied_action", "true_state", "rotor_speed", "disturbance", "plant")

THRUST_AND_RATES = ("thrust", "roll_rate", "pitch_rate", "yaw_rate")


def parameters(config: QuadrotorConfig) -> tuple[Parameter, ...]:
    """What a curriculum may set, within the ranges that `config` randomises over; of what it leaves fixed, within what
    other machines of the kind and a payload come to."""
    mass, thrust = config.mass_scale, config.thrust_scale
    return (
        Parameter("mass_scale", *(mass if mass != (1.0, 1.0) else (0.8, 1.2)), "1"),
        Parameter("thrust_scale", *(thrust if thrust != (1.0, 1.0) else (0.9, 1.1)), "1"),
        Parameter("rotor_time_s", *(config.rotor_time_s or (0.05, 0.25)), "s", log=True),
        Parameter("delay_s", *config.delay_s, "s"),
    )


def channels(vehicle: Vehicle, autopilot: Autopilot | None = None) -> tuple[Channel, ...]:
    """In the order of the packed observation that `sensing.sense` writes."""
    enu, flu = "world ENU", "body FLU"
    return (
        Channel(
            name="position", shape=(3,), elements=("x", "y", "z"), unit="m", frame=enu, low=(-100.0,), high=(100.0,),
            noise_std=(vehicle.position_noise,), max_age_s=0.1,
        ),
        Channel(
            name="velocity", shape=(3,), elements=("vx", "vy", "vz"), unit="m/s", frame=enu, low=(-30.0,), high=(30.0,),
            noise_std=(vehicle.velocity_noise,), max_age_s=0.1,
        ),
        Channel(
            name="attitude", shape=(4,), elements=("qw", "qx", "qy", "qz"), unit="1", frame="body FLU to world ENU",
            sign="Hamilton, unit", low=(-1.01,), high=(1.01,), noise_std=(vehicle.attitude_noise,), max_age_s=0.05,
        ),
        Channel(
            name="body_rate", shape=(3,), elements=("wx", "wy", "wz"), unit="rad/s", frame=flu, sign="right hand",
            low=(-GYRO_RANGE_RAD_S,), high=(GYRO_RANGE_RAD_S,), noise_std=(vehicle.rate_noise,), max_age_s=0.05,
        ),
        Channel(
            name="setpoint", shape=(9,), elements=("x", "y", "z", "vx", "vy", "vz", "ax", "ay", "az"),
            unit="m, m/s, m/s2", frame=enu, source="command", low=(-100.0,), high=(100.0,), max_age_s=0.5,
        ),
        _applied_action(vehicle, autopilot),
        Channel(
            name="true_state", shape=(13,), privileged=True, unit="m, 1, m/s, rad/s",
            elements=("x", "y", "z", "qw", "qx", "qy", "qz", "vx", "vy", "vz", "wx", "wy", "wz"),
        ),
        Channel(name="rotor_speed", shape=(4,), elements=ROTORS, unit="rad/s", privileged=True),
        Channel(
            name="disturbance", shape=(6,), elements=("fx", "fy", "fz", "mx", "my", "mz"),
            unit="N, N m", privileged=True,
        ),
        Channel(
            name="plant", shape=(7,), unit="SI", privileged=True,
            elements=("mass", "thrust_2", "rise", "fall", "action_delay", "obs_delay", "battery"),
        ),
    )  # fmt: skip


def _applied_action(vehicle: Vehicle, autopilot: Autopilot | None) -> Channel:
    found = actions(vehicle, autopilot)
    return Channel(
        name="applied_action", shape=(4,), elements=tuple(e for a in found for e in a.elements),
        unit=", ".join(a.unit for a in found),
        low=(0.0,) if autopilot is None else tuple(v for a in found for v in a.low),
        high=(vehicle.rotor_speed_max,) if autopilot is None else tuple(v for a in found for v in a.high),
    )  # fmt: skip


def actions(vehicle: Vehicle, autopilot: Autopilot | None = None) -> tuple[ActionChannel, ...]:
    if autopilot is not None:
        most = autopilot.rate_max
        return (
            ActionChannel(name="thrust_command", elements=THRUST_AND_RATES[:1], unit="1", low=(0.0,), high=(1.0,),
                          neutral=(0.0,)),
            ActionChannel(name="body_rate_command", elements=THRUST_AND_RATES[1:], unit="rad/s",
                          low=tuple(-r for r in most), high=most, neutral=(0.0,) * 3),
        )  # fmt: skip
    low, high = vehicle.rotor_speed_min, vehicle.rotor_speed_max
    return (
        ActionChannel(name="rotor_speed_command", elements=ROTORS, unit="rad/s", low=(low,) * 4, high=(high,) * 4,
                      neutral=(low,) * 4),
    )  # fmt: skip


def envelope(vehicle: Vehicle, autopilot: Autopilot | None = None) -> Envelope:
    """Tumble cut-off beyond what any start needs, then level and descend, then no thrust."""
    level = level_descend(vehicle) if autopilot is None else level_descend_by_rates(vehicle, autopilot)
    cut = (vehicle.rotor_speed_min if autopilot is None else 0.0,) * 4
    return Envelope(
        tumble=Tumble(attitude="attitude", max_tilt_rad=math.radians(120.0), for_s=0.4),
        fallback=(level, Cut(value=cut)),
    )


def level_descend(vehicle: Vehicle) -> LevelDescend:
    """Attitude PD in rotor speed about 0.92 of hover thrust, linear in its six signals.

    The rotors' lag sets what a PD can do: with rate gain 2 / lag and tilt gain 1 / lag^2 roll and pitch obey
    x^3 + x^2 + 2 x + 1 = 0 in x = s lag, stable with room for 20 ms of delay (tests/quadrotor/test_falls.py).
    Yaw rate is damped with 2 /s, vertical speed with 1 /s.
    """
    hover = vehicle.hover_speed_rad_s
    lag = max(vehicle.rotor_rise_time, vehicle.rotor_fall_time)
    rate_gain, tilt_gain = 2.0 / lag, 1.0 / lag**2
    newtons_per_rad_s = vehicle.thrust_curve[1] + 2 * vehicle.thrust_curve[2] * hover
    ixx, iyy, izz = (i / newtons_per_rad_s for i in vehicle.inertia)
    sum_x2, sum_y2 = sum(x * x for x in vehicle.rotor_x), sum(y * y for y in vehicle.rotor_y)
    gain = []
    for x, y, spin in zip(vehicle.rotor_x, vehicle.rotor_y, vehicle.rotor_spin, strict=True):
        # rotor speed that makes one unit of angular acceleration about each axis, and of vertical acceleration
        roll, pitch = y * ixx / sum_y2, -x * iyy / sum_x2
        yaw = spin * izz / (4 * vehicle.torque_to_thrust)
        lift = vehicle.mass / (4 * newtons_per_rad_s)
        tilt = (-roll * tilt_gain, -pitch * tilt_gain)
        gain.append((*tilt, -roll * rate_gain, -pitch * rate_gain, -yaw * 2.0, -lift * 1.0))
    return LevelDescend(base=(hover * math.sqrt(0.92),) * 4, gain=tuple(gain), max_s=3.0)


def level_descend_by_rates(vehicle: Vehicle, autopilot: Autopilot) -> LevelDescend:
    """Body rates of 4 /s of tilt and no yaw rate, which leaves a rate controller of a tenth of a second its time, and
    0.92 of hover thrust that damps vertical speed with 1 /s."""
    per_newton = thrust_per_newton(vehicle, autopilot)
    base = hover_thrust(vehicle, autopilot) - 0.08 * vehicle.mass * GRAVITY_M_S2 * per_newton
    still = (0.0,) * 6
    gain = ((*still[1:], -vehicle.mass * per_newton), (-4.0, *still[1:]), (0.0, -4.0, *still[2:]), still)
    return LevelDescend(base=(base, 0.0, 0.0, 0.0), gain=gain, max_s=3.0)


def features(vehicle: Vehicle, autopilot: Autopilot | None = None) -> tuple[Feature, ...]:
    """Errors bounded, rotation matrix, rates, feed-forward, an observer of the rotors or of what they lift, the pending
    commands, and the integral that removes what a constant force leaves."""
    return (
        Difference(Pick("position"), Pick("setpoint", 0, 3), limit=0.6, gain=2.0),
        Integral(Pick("position"), Pick("setpoint", 0, 3), error_limit=0.15, limit=0.4, gain=5.0),
        RotationMatrix(Pick("attitude")),
        Difference(Pick("velocity"), Pick("setpoint", 3, 3), limit=3.0, gain=0.5),
        Scale(Pick("body_rate"), gain=0.1),
        Scale(Pick("setpoint", 6, 3), gain=0.1),
        *(_of_rotor_speeds(vehicle) if autopilot is None else _of_thrust_and_rates(vehicle, autopilot)),
    )


def _of_rotor_speeds(vehicle: Vehicle) -> tuple[Feature, ...]:
    middle = 0.5 * (vehicle.rotor_speed_min + vehicle.rotor_speed_max)
    span = 2.0 / (vehicle.rotor_speed_max - vehicle.rotor_speed_min)
    lag = 0.5 * (vehicle.rotor_rise_time + vehicle.rotor_fall_time)
    applied = Pick("applied_action")
    return (
        FirstOrderLag(applied, lag, reset=middle, gain=span, bias=middle),
        Scale(applied, gain=span, bias=middle),
        History(applied, 1, reset=middle, gain=span, bias=middle),
    )


def _of_thrust_and_rates(vehicle: Vehicle, autopilot: Autopilot) -> tuple[Feature, ...]:
    """Rates are measured; what lags unseen is the thrust."""
    lag = 0.5 * (vehicle.rotor_rise_time + vehicle.rotor_fall_time)
    thrust, rates = Pick("applied_action", 0, 1), Pick("applied_action", 1, 3)
    per_rate = 1.0 / max(autopilot.rate_max)
    return (
        FirstOrderLag(thrust, lag, reset=0.5, gain=2.0, bias=0.5),
        Scale(thrust, gain=2.0, bias=0.5),
        Scale(rates, gain=per_rate),
        History(thrust, 1, reset=0.5, gain=2.0, bias=0.5),
        History(rates, 1, gain=per_rate),
    )
