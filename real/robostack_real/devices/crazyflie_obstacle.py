"""What can stand in the way of a policy on a Crazyflie: rsp.obstacle and rsp.ended of the app, in words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class Obstacle(IntEnum):
    """What stands in the policy's way, or ended its last flight: log variables rsp.obstacle and rsp.ended."""

    NOTHING = 0
    CONTRACT = 1
    SELF_TEST = 2
    DISARMED = 3
    NOT_FLYING = 4
    SETPOINT = 5
    YAW = 6
    ESTIMATOR = 7
    SUPPLY = 8
    CHANNEL = 9
    TRIPPED = 10
    NOT_ASKED = 11
    FAR = 12


WHY: Mapping[Obstacle, str] = {
    Obstacle.CONTRACT: "the policy on board is not a Crazyflie's",
    Obstacle.SELF_TEST: "the policy on board failed its self-test",
    Obstacle.DISARMED: "it is not armed, or its supervisor does not let it fly",
    Obstacle.NOT_FLYING: "it does not fly",
    Obstacle.SETPOINT: "its setpoint was not a position: this host's came too late, and it levelled out",
    Obstacle.YAW: "another yaw than zero was asked for",
    Obstacle.ESTIMATOR: "its estimator lost its position",
    Obstacle.SUPPLY: "its supply voltage makes no sense",
    Obstacle.CHANNEL: "one of its measurements is too old or out of range",
    Obstacle.TRIPPED: "its envelope tripped",
    Obstacle.NOT_ASKED: "it was asked for its own controller",
    Obstacle.FAR: "its setpoint is too far away",
}
