"""Where an episode starts and on which machine: parameters, reference and state drawn for every environment."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from robostack_sim.quadrotor.config import QuadrotorConfig, Range
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.rate_control import R
from robostack_sim.quadrotor.vehicle import GRAVITY_M_S2, Vehicle


class Starts:
    """`params(given)` draws (num_envs, P.SIZE), `state(params)` draws (num_envs, S.SIZE), or R.SIZE with a rate
    controller, both from `generator`."""

    def __init__(self, config: QuadrotorConfig, vehicle: Vehicle) -> None:
        self.config, self.vehicle = config, vehicle
        self.device = torch.device(config.device)
        self.generator = torch.Generator(device=self.device)
        self._angles = _angle_table(config.angle_max_rad).to(self.device)

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        u = torch.rand(self.config.num_envs, *shape, generator=self.generator, device=self.device)
        return low + (high - low) * u

    def _spread(self, ends: Range, cornered: Tensor, high_share: float) -> Tensor:
        """Uniform in a range, or one of its ends where `cornered`: the high one with probability `high_share`."""
        low, high = ends
        u = self._uniform(0.0, 1.0)
        return low + (high - low) * torch.where(cornered, (u < high_share).float(), u)

    def _normal(self, std: float, *shape: int) -> Tensor:
        return std * torch.randn(self.config.num_envs, *shape, generator=self.generator, device=self.device)

    def params(self, given: Mapping[str, Tensor]) -> Tensor:
        """What `given` names of `interface.parameters`, (num_envs,) each, is taken from there."""
        c, v = self.config, self.vehicle
        p = torch.zeros(self.config.num_envs, P.SIZE, device=self.device)
        cornered = self._uniform(0.0, 1.0) < c.corner_share
        mass = v.mass * given.get("mass_scale", self._spread(c.mass_scale, cornered, c.corner_bias))
        weight = mass * GRAVITY_M_S2
        p[:, P.MASS] = mass
        inertia = torch.tensor(v.inertia, device=self.device) * self._uniform(*c.inertia_scale)[:, None]
        p[:, P.INERTIA : P.INERTIA + 3] = inertia
        thrust_scale = given.get("thrust_scale", self._spread(c.thrust_scale, cornered, 1.0 - c.corner_bias))
        curve = torch.tensor(v.thrust_curve, device=self.device) * thrust_scale[:, None]
        p[:, P.THRUST_0 : P.THRUST_0 + 3] = curve
        p[:, P.TORQUE] = v.torque_to_thrust
        p[:, P.RISE], p[:, P.FALL] = v.rotor_rise_time, v.rotor_fall_time
        tau = None
        if c.rotor_time_s:
            ends = math.log(c.rotor_time_s[0]), math.log(c.rotor_time_s[1])
            tau = self._spread(ends, cornered, c.corner_bias).exp()
        tau = given.get("rotor_time_s", tau)
        if tau is not None:
            p[:, P.RISE], p[:, P.FALL] = tau, tau * (v.rotor_fall_time / v.rotor_rise_time)
        p[:, P.DRAG : P.DRAG + 3] = torch.tensor(v.drag, device=self.device)
        p[:, P.ROTOR_LOW], p[:, P.ROTOR_HIGH] = v.rotor_speed_min, v.rotor_speed_max
        delay, share = given.get("delay_s", self._uniform(*c.delay_s)), self._uniform(0.0, 1.0)
        # the plant keeps one measurement and two commands: what is too long for these is the sensors'
        sensing = (delay * share).clamp(max=c.step_dt).maximum(delay - 2 * c.step_dt)
        p[:, P.OBS_DELAY], p[:, P.ACTION_DELAY] = sensing, delay - sensing
        p[:, P.FORCE : P.FORCE + 3] = weight[:, None] * self._normal(c.force_std, 3)
        p[:, P.MOMENT : P.MOMENT + 3] = weight[:, None] * self._normal(c.moment_std, 3)
        p[:, P.GUST_STD], p[:, P.GUST_TIME] = weight * c.gust_std, c.gust_time_s
        left = 1.0 - v.battery_compensation
        p[:, P.DISCHARGE], p[:, P.SAG] = left * v.battery_discharge, left * v.battery_sag
        arm = self._uniform(*c.arm_scale)[:, None]
        p[:, P.ROTOR_X : P.ROTOR_X + 4] = torch.tensor(v.rotor_x, device=self.device) * arm
        p[:, P.ROTOR_Y : P.ROTOR_Y + 4] = torch.tensor(v.rotor_y, device=self.device) * arm
        p[:, P.ROTOR_SPIN : P.ROTOR_SPIN + 4] = torch.tensor(v.rotor_spin, device=self.device)
        p[:, P.RATE_BIAS : P.RATE_BIAS + 3] = self._normal(c.rate_bias_std, 3)
        noise = (v.position_noise, v.attitude_noise, v.velocity_noise, v.rate_noise)
        p[:, P.NOISE : P.NOISE + 4] = c.noise_scale * torch.tensor(noise, device=self.device)
        p[:, P.REF_FREQUENCY : P.REF_FREQUENCY + 3] = 1.0
        if c.moving_share > 0:
            self._reference(p)
        return p

    def _reference(self, p: Tensor) -> None:
        """Sinusoids on each axis whose acceleration is drawn, as far as the frequency stays below 6 rad/s."""
        c = self.config
        moving = (self._uniform(0.0, 1.0) < c.moving_share)[:, None]
        amplitude = self._uniform(*c.reference_amplitude_m, 3)
        acceleration = self._uniform(*c.reference_acceleration_m_s2, 3) * torch.tensor(
            [1.0, 1.0, 0.3], device=self.device
        )
        p[:, P.REF_AMPLITUDE : P.REF_AMPLITUDE + 3] = amplitude * moving
        p[:, P.REF_FREQUENCY : P.REF_FREQUENCY + 3] = (acceleration / amplitude).sqrt().clamp(max=6.0)
        p[:, P.REF_PHASE : P.REF_PHASE + 3] = self._uniform(-math.pi, math.pi, 3)

    def state(self, params: Tensor) -> Tensor:
        c, v = self.config, self.vehicle
        by_rates = c.action == "thrust_and_rates"
        s = torch.zeros(self.config.num_envs, R.SIZE if by_rates else S.SIZE, device=self.device)
        centred = self._uniform(0.0, 1.0)[:, None] < c.origin_share
        position = self._uniform(-c.position_max_m, c.position_max_m, 3)
        axis = torch.nn.functional.normalize(self._normal(1.0, 3), dim=1)
        place = self._uniform(0.0, len(self._angles) - 1.001)
        low = place.long()
        half = 0.5 * torch.lerp(self._angles[low], self._angles[low + 1], place - low)[:, None]
        attitude = torch.cat([half.cos(), axis * half.sin()], 1)
        level = torch.tensor([1.0, 0.0, 0.0, 0.0], device=self.device)
        s[:, 0:3] = torch.where(centred, 0.0, position)
        s[:, 3:7] = torch.where(centred, level, attitude)
        s[:, 7:10] = self._uniform(-c.velocity_max_m_s, c.velocity_max_m_s, 3)
        s[:, 10:13] = self._uniform(-c.rate_max_rad_s, c.rate_max_rad_s, 3)
        half = 0.5 * (v.rotor_speed_min + v.rotor_speed_max)
        idle = self._uniform(0.0, 1.0)[:, None] < c.idle_share
        s[:, S.ROTOR : S.COMMAND_1] = half
        if by_rates:
            # half the speed lifts about a quarter of the most
            s[:, [S.COMMAND_1, S.COMMAND_2]] = torch.where(idle, 0.0, v.thrust_n(half) / v.thrust_n(v.rotor_speed_max))
            s[:, R.GYRO : R.GYRO + 3] = s[:, S.RATE : S.RATE + 3]
            s[:, R.ROTOR_COMMAND : R.ROTOR_COMMAND + 4] = half
        else:
            s[:, S.COMMAND_1 : S.GUST] = torch.where(idle, v.rotor_speed_min, half)
        s[:, S.GUST : S.GUST + 3] = params[:, P.GUST_STD, None] * self._normal(1.0, 3)
        s[:, S.BATTERY] = self._uniform(*c.battery)
        s[:, S.BEFORE : S.BEFORE + 13] = s[:, 0:13]
        if c.moving_share > 0:
            # an episode with a moving reference starts with the reference's own velocity under the drawn one
            w, a = params[:, P.REF_FREQUENCY :][:, :3], params[:, P.REF_AMPLITUDE :][:, :3]
            s[:, 7:10] += a * w * params[:, P.REF_PHASE :][:, :3].cos()
        return s


def _angle_table(angle_max_rad: float, points: int = 1024) -> Tensor:
    """Quantiles of the rotation angle of uniform rotations up to angle_max: its distribution is (a - sin a)."""
    a = torch.linspace(0.0, angle_max_rad, 8 * points, dtype=torch.float64)
    cdf = (a - a.sin()) / (a[-1] - a[-1].sin())
    at = torch.searchsorted(cdf, torch.linspace(0.0, 1.0, points, dtype=torch.float64)).clamp(1, len(a) - 1)
    target = torch.linspace(0.0, 1.0, points, dtype=torch.float64)
    share = (target - cdf[at - 1]) / (cdf[at] - cdf[at - 1]).clamp(min=1e-300)
    return torch.lerp(a[at - 1], a[at], share).float()
