"""Everything about the quadrotor task that can be set; the command line is made from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from robostack.spec import ContractError

Range = tuple[float, float]


@dataclass(frozen=True)
class Costs:
    """Weights of the cost terms; reward is minus their sum. Starting point: facts of the field, then tuned here."""

    position: float = 3.0
    excursion: float = 4.0
    velocity: float = 0.05
    rate: float = 0.01
    tilt: float = 1.4
    yaw: float = 0.2
    action: float = 0.08
    action_rate: float = 0.0
    crash: float = 0.0
    """once, where an episode ends outside of the box: without it a learner that sees episodes end does best to end them
    early, since every step costs; a learner through the simulator's gradient does not see it"""
    position_width_m: float = 0.05
    free_excursion_m: float = 0.45


@dataclass(frozen=True)
class QuadrotorConfig:
    """What an episode may look like. Ranges are (low, high), drawn for each episode."""

    num_envs: int = 96
    device: str = "cpu"
    vehicle: str = "crazyflie_2_1"
    """a shipped name or the path of a TOML file"""
    action: Literal["rotor_speed", "thrust_and_rates"] = "rotor_speed"
    """four rotor speeds; or collective thrust, a share of the most, and body rates, for an autopilot to follow"""
    autopilot: str = "px4_crazyflie"
    """with thrust_and_rates: a shipped name or the path of a TOML file"""
    step_dt: float = 0.01
    episode_s: float = 5.0
    box_m: float = 0.6
    """an episode ends when any axis is further than this from the reference (L2F)"""
    delay_s: Range = (0.0, 0.024)
    """sensor to motor, past what is to be survived, up to three periods; split at random between observation (to one
    period) and action (to two)"""
    force_std: float = 0.05
    """constant force, share of weight, each axis (L2F: 1/20)"""
    moment_std: float = 1e-4
    """constant moment, share of weight times a metre, each axis (L2F: 1/10000)"""
    gust_std: float = 0.0
    """share of weight"""
    gust_time_s: float = 0.5
    mass_scale: Range = (1.0, 1.0)
    thrust_scale: Range = (1.0, 1.0)
    inertia_scale: Range = (1.0, 1.0)
    arm_scale: Range = (1.0, 1.0)
    rotor_time_s: Range | None = None
    """log-uniform; None keeps the vehicle's rise and fall"""
    corner_share: float = 0.0
    """share of episodes in which mass, thrust and rotor time sit at an end of their range"""
    corner_bias: float = 0.5
    """how often that end is the harder one to fly: heavy, weak, slow"""
    battery: Range = (1.0, 1.0)
    rate_bias_std: float = 0.0
    noise_scale: float = 1.0
    angle_max_rad: float = math.pi / 2
    position_max_m: float = 0.2
    velocity_max_m_s: float = 1.0
    rate_max_rad_s: float = 1.0
    origin_share: float = 0.1
    idle_share: float = 0.3
    """share of starts whose last commands were neutral, as on a board that is armed in the air; the others had the
    half speed at which their rotors turn"""
    moving_share: float = 0.25
    """share of episodes with a moving reference"""
    reference_amplitude_m: Range = (0.2, 1.0)
    reference_acceleration_m_s2: Range = (0.0, 7.0)
    costs: Costs = Costs()

    @property
    def flown_delay_s(self) -> Range:
        """What flights and evaluations ask for: no more than was trained for, nor than L2F's users meet, 20 ms."""
        high = min(self.delay_s[1], 0.02)
        return min(self.delay_s[0], high), high

    def __post_init__(self) -> None:
        low, high = self.delay_s
        if not 0.0 <= low <= high <= 3.0 * self.step_dt:
            raise ContractError(
                f"delay_s = {self.delay_s}: must be two rising numbers within [0, {3.0 * self.step_dt:g}] s, three "
                f"periods of step_dt = {self.step_dt:g} s"
            )
