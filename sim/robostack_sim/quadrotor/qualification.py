"""What a quadrotor's policy must reach to be released (`robostack qualify`).

L2F's starts, tilted by up to 90 degrees, lose a few of a hundred machines under any policy: a release keeps 93 of them
when nothing is wrong, 85 wherever one thing is wrong by as much as a machine may be, and 70 where everything is.
"""

from __future__ import annotations

from robostack.task import Bar
from robostack_sim.quadrotor.config import QuadrotorConfig, Range
from robostack_sim.quadrotor.vehicle import Vehicle

NOMINAL, ONE_WRONG, ALL_WRONG = 0.93, 0.85, 0.70


def bars(config: QuadrotorConfig, vehicle: Vehicle) -> tuple[Bar, ...]:
    """Of a parameter that training randomised, all of its range; of one that it left fixed, what vehicles that came out
    of one box differ by."""
    fixed: Range = (1.0, 1.0)
    rise_s = vehicle.rotor_rise_time
    return (
        Bar("nominal", NOMINAL),
        Bar("mass_scale", ONE_WRONG, (0.95, 1.05) if config.mass_scale == fixed else config.mass_scale),
        Bar("thrust_scale", ONE_WRONG, (0.95, 1.05) if config.thrust_scale == fixed else config.thrust_scale),
        Bar("rotor_time_s", ONE_WRONG, config.rotor_time_s or (0.8 * rise_s, 1.25 * rise_s)),
        Bar("delay_s", ONE_WRONG, config.flown_delay_s),
        Bar("worst_case", ALL_WRONG),
        Bar("rate", ONE_WRONG, (0.8, 1.25)),
        Bar("latency", ONE_WRONG, (0.0, 2.0)),
        Bar("delay", ONE_WRONG, (0.0, 2.0)),
        Bar("noise", ONE_WRONG, (1.0, 4.0)),
        Bar("bias", ONE_WRONG, (0.0, 4.0)),
        Bar("outage", ONE_WRONG, (0.0, 3.0)),
        Bar("loss", ONE_WRONG, (0.0, 10.0)),
        Bar("message", ONE_WRONG),
    )
