"""What a quadrotor measures and takes: channels, actions, envelope and preprocessing, from its parameter file."""

from __future__ import annotations

import math

from robostack.features import Difference, Feature, FirstOrderLag, History, Integral, Pick, RotationMatrix, Scale
from robostack.spec import ActionChannel, Channel, Cut, Envelope, LevelDescend, Tumble
from robostack.task import Parameter
from robostack_sim.quadrotor.vehicle import Vehicle

ROTORS = ("front_right", "back_right", "back_left", "front_left")
REWARD_TERMS = ("position", "excursion", "velocity", "rate", "tilt", "yaw", "action", "action_rate")
GYRO_RANGE_RAD_S = 34.9
"""2000 deg/s, what the gyros of such machines measure. A machine that lost a rotor soon spins faster; beyond
the tumble limit it is a third of the time only and never for long, so this is what ends its flight."""
CRITIC_CHANNELS = ("setpoint", "applied_action", "true_state", "rotor_speed", "disturbance", "plant")

PARAMETERS = (
    Parameter("mass_scale", 0.8, 1.2, "1"),
    Parameter("thrust_scale", 0.9, 1.1, "1"),
    Parameter("rotor_time_s", 0.05, 0.25, "s", log=True),
    Parameter("delay_s", 0.0, 0.02, "s"),
)


def channels(vehicle: Vehicle) -> tuple[Channel, ...]:
    """In the order of the packed observation that `sensing.sense` writes."""
    high = vehicle.rotor_speed_max
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
        Channel(name="applied_action", shape=(4,), elements=ROTORS, unit="rad/s", low=(0.0,), high=(high,)),
        Channel(name="true_state", shape=(13,), privileged=True),
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


def actions(vehicle: Vehicle) -> tuple[ActionChannel, ...]:
    low, high = vehicle.rotor_speed_min, vehicle.rotor_speed_max
    return (
        ActionChannel(name="rotor_speed_command", elements=ROTORS, unit="rad/s", low=(low,) * 4, high=(high,) * 4,
                      neutral=(low,) * 4),
    )  # fmt: skip


def envelope(vehicle: Vehicle) -> Envelope:
    """Tumble cut-off beyond what any start needs, then level and descend, then motors off."""
    return Envelope(
        tumble=Tumble(attitude="attitude", max_tilt_rad=math.radians(120.0), for_s=0.4),
        fallback=(level_descend(vehicle), Cut(value=(vehicle.rotor_speed_min,) * 4)),
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


def features(vehicle: Vehicle) -> tuple[Feature, ...]:
    """Errors bounded, rotation matrix, rates, feed-forward, an observer of the rotors, the pending commands, and the
    integral that removes what a constant force leaves."""
    middle = 0.5 * (vehicle.rotor_speed_min + vehicle.rotor_speed_max)
    span = 2.0 / (vehicle.rotor_speed_max - vehicle.rotor_speed_min)
    lag = 0.5 * (vehicle.rotor_rise_time + vehicle.rotor_fall_time)
    applied = Pick("applied_action")
    return (
        Difference(Pick("position"), Pick("setpoint", 0, 3), limit=0.6, gain=2.0),
        Integral(Pick("position"), Pick("setpoint", 0, 3), error_limit=0.15, limit=0.4, gain=5.0),
        RotationMatrix(Pick("attitude")),
        Difference(Pick("velocity"), Pick("setpoint", 3, 3), limit=3.0, gain=0.5),
        Scale(Pick("body_rate"), gain=0.1),
        Scale(Pick("setpoint", 6, 3), gain=0.1),
        FirstOrderLag(applied, lag, reset=middle, gain=span, bias=middle),
        Scale(applied, gain=span, bias=middle),
        History(applied, 1, reset=middle, gain=span, bias=middle),
    )
