"""Quadrotor with direct rotor-speed control: recover from any start, hover, follow a reference.

Start distribution, disturbances and noise are L2F's (src/config/parameters.h and parameters/init/default.h):
position +-0.2 m, tilt up to 90 degrees uniform over rotations, velocity +-1 m/s, rate +-1 rad/s, rotors at half
speed, a tenth of the starts level at the origin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import warp as wp
from torch import Tensor

from robostack.recorded import RecordedOp, as_rows
from robostack.task import Layout, Obs, Scenario, Task, Unroll
from robostack_sim.quadrotor import interface
from robostack_sim.quadrotor.physics import NUM_NOISE, P, S, gaussian
from robostack_sim.quadrotor.sensing import (
    NUM_TERMS,
    NUM_WEIGHTS,
    OBS_SIZE,
    observe_kernel,
    reference_kernel,
    step_kernel,
)
from robostack_sim.quadrotor.vehicle import Vehicle, load_vehicle

if TYPE_CHECKING:
    from robostack.evaluate.flight import Flight

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
    position_width_m: float = 0.05
    free_excursion_m: float = 0.45


@dataclass(frozen=True)
class QuadrotorConfig:
    """What an episode may look like. Ranges are (low, high), drawn for each episode."""

    num_envs: int = 96
    device: str = "cpu"
    vehicle: str = "crazyflie_2_1"
    """a shipped name or the path of a TOML file"""
    step_dt: float = 0.01
    episode_s: float = 5.0
    box_m: float = 0.6
    """an episode ends when any axis is further than this from the reference (L2F)"""
    delay_s: Range = (0.0, 0.024)
    """sensor to motor, past what is to be survived; split at random between observation (to one period) and action"""
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


class Quadrotor(Task):
    """See the module's docstring. `params` is (num_envs, P.SIZE) and may be edited in place between steps; `state`
    is (num_envs, S.SIZE). Observations alias a buffer until the next step."""

    name = "quadrotor"
    Config = QuadrotorConfig
    critic_channels = interface.CRITIC_CHANNELS

    def __init__(self, config: QuadrotorConfig | None = None, seed: int = 0) -> None:
        self.config = config or QuadrotorConfig()
        self.vehicle: Vehicle = load_vehicle(self.config.vehicle)
        self.num_envs = num_envs = self.config.num_envs
        self.device = torch.device(self.config.device)
        self.step_dt = self.config.step_dt
        self.max_episode_length = round(self.config.episode_s / self.step_dt)
        self.channels = interface.channels(self.vehicle)
        self.actions = interface.actions(self.vehicle)
        self.envelope = interface.envelope(self.vehicle)
        self.features = interface.features(self.vehicle)
        half = min(self.config.delay_s[1], self.step_dt)
        self.obs_delay_s, self.action_delay_s = (0.0, half), (0.0, self.config.delay_s[1])
        self.parameters = interface.PARAMETERS
        self.layout = Layout(self.channels)
        assert self.layout.size == OBS_SIZE
        self._generator = torch.Generator(device=self.device)
        self.params = torch.zeros(num_envs, P.SIZE, device=self.device)
        self.state = torch.zeros(num_envs, S.SIZE, device=self.device)
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long, device=self.device)
        c = self.config.costs
        weights = [c.position, c.excursion, c.velocity, c.rate, c.tilt, c.yaw, c.action, c.action_rate]
        self._weights = torch.tensor([[*weights, c.position_width_m, c.free_excursion_m]], device=self.device)
        assert len(weights) == NUM_TERMS and self._weights.shape[1] == NUM_WEIGHTS
        self._seed = torch.zeros(2, dtype=torch.int32, device=self.device)
        self._angles = _angle_table(self.config.angle_max_rad).to(self.device)
        self._noise = torch.zeros(num_envs, NUM_NOISE, device=self.device)
        self._reference = torch.zeros(2, num_envs, 9, device=self.device)
        self._step = self._record(1, lambda slot: self._noise, lambda slot: self._reference[1])
        self._observe = RecordedOp(
            observe_kernel,
            num_envs,
            (S.SIZE,),
            (OBS_SIZE,),
            lambda slot: [
                as_rows(self.params),
                self.step_dt,
                as_rows(self._noise),
                as_rows(self._reference[0]),
            ],
            1,
            self.device,
            rows=True,
        )
        self.reset(seed)

    def _record(
        self,
        slots: int,
        noise: Callable[[int], Tensor],
        reference: Callable[[int], Tensor],
        params_grad: Tensor | None = None,
    ) -> RecordedOp:
        wanted = None if params_grad is None else [as_rows(params_grad), None, None, None, None]
        return RecordedOp(
            step_kernel,
            self.num_envs,
            (S.SIZE, self.action_size),
            (S.SIZE, OBS_SIZE, 1, NUM_TERMS),
            lambda slot: [
                as_rows(self.params),
                as_rows(self._weights),
                self.step_dt,
                as_rows(noise(slot)),
                as_rows(reference(slot)),
            ],
            slots,
            self.device,
            rows=True,
            carried=True,
            constant_grads=None if wanted is None else lambda slot: wanted,
        )

    def draw_noise(self, noise: Tensor) -> None:
        """Fills (rows, NUM_NOISE) with standard normal numbers and moves the counter on."""
        self._seed[1] += noise.shape[0]
        wp.launch(
            gaussian,
            noise.shape[0],
            [wp.from_torch(self._seed), as_rows(noise)],
            device=wp.device_from_torch(self.device),
        )

    def look_ahead(self, reference: Tensor) -> None:
        """Fills (periods, num_envs, 9) with the reference from now on, one row a period."""
        wp.launch(
            reference_kernel,
            reference.shape[:2],
            [as_rows(self.params), self.step_dt, as_rows(self.state), as_rows(reference)],
            device=wp.device_from_torch(self.device),
        )

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
            self._seed.copy_(torch.tensor([seed, 0], dtype=torch.int32))
        self.restart(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        return self.observe(), {}

    def observe(self) -> Obs:
        """What the sensors say of the present state, with fresh noise."""
        self.draw_noise(self._noise)
        self.look_ahead(self._reference)
        return Obs(self._observe(self.state)[0], self.layout)

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.draw_noise(self._noise)
        self.look_ahead(self._reference)
        with torch.no_grad():
            state, obs, reward, costs = self._step(self.state, action)
        self.state.copy_(state)
        self.episode_length_buf += 1
        error = obs[:, 26:29] - obs[:, 13:16]
        terminated = ~(error.abs().amax(1) < self.config.box_m) | ~torch.isfinite(state).all(1)
        truncated = (self.episode_length_buf >= self.max_episode_length) & ~terminated
        names = interface.REWARD_TERMS
        extras: dict[str, Any] = {
            "reward_terms": {n: -costs[:, k] for k, n in enumerate(names)},
            "success": truncated,
            "final_obs": Obs(obs, self.layout),
        }
        done = terminated | truncated
        if done.any():
            self.restart(done)
            self.look_ahead(self._reference)
            fresh = self._observe(self.state)[0]
            obs = torch.where(done[:, None], fresh, obs)
        return Obs(obs, self.layout), reward[:, 0], terminated, truncated, extras

    def unroll(self, horizon: int, with_params: bool = False) -> QuadrotorUnroll:
        return QuadrotorUnroll(self, horizon, with_params)

    def evaluation(self, num_envs: int) -> Quadrotor:
        """L2F's own question: hover from its starts, sensor-to-motor delay up to 20 ms."""
        delay = (self.config.delay_s[0], min(self.config.delay_s[1], 0.02))
        return Quadrotor(replace(self.config, num_envs=num_envs, moving_share=0.0, idle_share=0.0, delay_s=delay))

    def scenarios(self) -> Sequence[Scenario]:
        from robostack_sim.quadrotor.scenarios import scenarios

        return scenarios(self.config)

    def snapshot(self) -> Mapping[str, Tensor]:
        s = self.state
        self.look_ahead(self._reference)
        return {
            "position": s[:, 0:3],
            "attitude": s[:, 3:7],
            "velocity": s[:, 7:10],
            "body_rate": s[:, 10:13],
            "rotor_speed": s[:, S.ROTOR : S.ROTOR + 4],
            "reference": self._reference[0, :, 0:3],
        }

    def snapshot_units(self) -> Mapping[str, str]:
        units = ("m", "1", "m/s", "rad/s", "rad/s", "m")
        return dict(
            zip(("position", "attitude", "velocity", "body_rate", "rotor_speed", "reference"), units, strict=True)
        )

    def judge_flights(self, flights: Sequence[Flight]) -> list[dict[str, Any]]:
        from robostack_sim.quadrotor.scenarios import judge_flights

        return judge_flights(flights)

    def state_dict(self) -> dict[str, Tensor]:
        return {
            "params": self.params,
            "state": self.state,
            "episode_length_buf": self.episode_length_buf,
            "noise_counter": self._seed,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self.params.copy_(kept["params"])
        self.state.copy_(kept["state"])
        self.episode_length_buf.copy_(kept["episode_length_buf"])
        self._seed.copy_(kept["noise_counter"])
        self._generator.set_state(kept["generator"])

    # ---- starts

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        u = torch.rand(self.num_envs, *shape, generator=self._generator, device=self.device)
        return low + (high - low) * u

    def _spread(self, ends: Range, cornered: Tensor, high_share: float) -> Tensor:
        """Uniform in a range, or one of its ends where `cornered`: the high one with probability `high_share`."""
        low, high = ends
        u = self._uniform(0.0, 1.0)
        return low + (high - low) * torch.where(cornered, (u < high_share).float(), u)

    def _normal(self, std: float, *shape: int) -> Tensor:
        return std * torch.randn(self.num_envs, *shape, generator=self._generator, device=self.device)

    def restart(self, mask: Tensor) -> None:
        """Draws parameters and a start for the environments in `mask` (num_envs,) bool. What is drawn does not
        depend on the mask, so that two runs with one seed agree."""
        rows = mask[:, None]
        self.params.copy_(torch.where(rows, self._draw_params(), self.params))
        self.state.copy_(torch.where(rows, self._draw_state(), self.state))
        self.episode_length_buf[mask] = 0

    def _draw_params(self) -> Tensor:
        c, v = self.config, self.vehicle
        p = torch.zeros(self.num_envs, P.SIZE, device=self.device)
        cornered = self._uniform(0.0, 1.0) < c.corner_share
        mass = v.mass * self._spread(c.mass_scale, cornered, c.corner_bias)
        weight = mass * 9.81
        p[:, P.MASS] = mass
        inertia = torch.tensor(v.inertia, device=self.device) * self._uniform(*c.inertia_scale)[:, None]
        p[:, P.INERTIA : P.INERTIA + 3] = inertia
        curve = (
            torch.tensor(v.thrust_curve, device=self.device)
            * self._spread(c.thrust_scale, cornered, 1.0 - c.corner_bias)[:, None]
        )
        p[:, P.THRUST_0 : P.THRUST_0 + 3] = curve
        p[:, P.TORQUE] = v.torque_to_thrust
        p[:, P.RISE], p[:, P.FALL] = v.rotor_rise_time, v.rotor_fall_time
        if c.rotor_time_s:
            ends = math.log(c.rotor_time_s[0]), math.log(c.rotor_time_s[1])
            tau = self._spread(ends, cornered, c.corner_bias).exp()
            p[:, P.RISE], p[:, P.FALL] = tau, tau * (v.rotor_fall_time / v.rotor_rise_time)
        p[:, P.DRAG : P.DRAG + 3] = torch.tensor(v.drag, device=self.device)
        p[:, P.ROTOR_LOW], p[:, P.ROTOR_HIGH] = v.rotor_speed_min, v.rotor_speed_max
        delay, share = self._uniform(*c.delay_s), self._uniform(0.0, 1.0)
        sensing = (delay * share).clamp(max=c.step_dt)
        p[:, P.OBS_DELAY], p[:, P.ACTION_DELAY] = sensing, delay - sensing
        p[:, P.FORCE : P.FORCE + 3] = weight[:, None] * self._normal(c.force_std, 3)
        p[:, P.MOMENT : P.MOMENT + 3] = weight[:, None] * self._normal(c.moment_std, 3)
        p[:, P.GUST_STD], p[:, P.GUST_TIME] = weight * c.gust_std, c.gust_time_s
        p[:, P.DISCHARGE], p[:, P.SAG] = v.battery_discharge, v.battery_sag
        arm = self._uniform(*c.arm_scale)[:, None]
        p[:, P.ROTOR_X : P.ROTOR_X + 4] = torch.tensor(v.rotor_x, device=self.device) * arm
        p[:, P.ROTOR_Y : P.ROTOR_Y + 4] = torch.tensor(v.rotor_y, device=self.device) * arm
        p[:, P.ROTOR_SPIN : P.ROTOR_SPIN + 4] = torch.tensor(v.rotor_spin, device=self.device)
        p[:, P.RATE_BIAS : P.RATE_BIAS + 3] = self._normal(c.rate_bias_std, 3)
        noise = (v.position_noise, v.attitude_noise, v.velocity_noise, v.rate_noise)
        p[:, P.NOISE : P.NOISE + 4] = c.noise_scale * torch.tensor(noise, device=self.device)
        p[:, P.REF_FREQUENCY : P.REF_FREQUENCY + 3] = 1.0
        if c.moving_share > 0:
            self._draw_reference(p)
        return p

    def _draw_reference(self, p: Tensor) -> None:
        """Sinusoids on each axis whose acceleration is drawn, as far as the frequency stays below 6 rad/s."""
        c = self.config
        moving = (self._uniform(0.0, 1.0) < c.moving_share)[:, None]
        amplitude = self._uniform(*c.reference_amplitude_m, 3)
        acceleration = self._uniform(*c.reference_acceleration_m_s2, 3) * torch.tensor([1.0, 1.0, 0.3])
        p[:, P.REF_AMPLITUDE : P.REF_AMPLITUDE + 3] = amplitude * moving
        p[:, P.REF_FREQUENCY : P.REF_FREQUENCY + 3] = (acceleration / amplitude).sqrt().clamp(max=6.0)
        p[:, P.REF_PHASE : P.REF_PHASE + 3] = self._uniform(-math.pi, math.pi, 3)

    def _draw_state(self) -> Tensor:
        c, v = self.config, self.vehicle
        s = torch.zeros(self.num_envs, S.SIZE, device=self.device)
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
        s[:, S.COMMAND_1 : S.GUST] = torch.where(idle, v.rotor_speed_min, half)
        s[:, S.GUST : S.GUST + 3] = self.params[:, P.GUST_STD, None] * self._normal(1.0, 3)
        s[:, S.BATTERY] = self._uniform(*c.battery)
        s[:, S.BEFORE : S.BEFORE + 13] = s[:, 0:13]
        if c.moving_share > 0:
            # an episode with a moving reference starts with the reference's own velocity under the drawn one
            w, a = self.params[:, P.REF_FREQUENCY :][:, :3], self.params[:, P.REF_AMPLITUDE :][:, :3]
            s[:, 7:10] += a * w * self.params[:, P.REF_PHASE :][:, :3].cos()
        return s


class QuadrotorUnroll(Unroll):
    """A window over recorded launches. Environments that left, tumble or are over age restart at `begin` only;
    within a window nothing ends, so `alive` is always true. With `with_params`, `backward` adds d loss / d params to
    `params_grad` (num_envs, P.SIZE), which `begin` zeroes: what system identification descends."""

    LEFT_M = 1.5
    SPIN_RAD_S = 40.0

    def __init__(self, task: Quadrotor, horizon: int, with_params: bool = False) -> None:
        self.task, self.horizon = task, horizon
        self.params_grad = torch.zeros_like(task.params) if with_params else None
        self._noise = torch.zeros(horizon, task.num_envs, NUM_NOISE, device=task.device)
        self._reference = torch.zeros(horizon + 1, task.num_envs, 9, device=task.device)
        self._op = task._record(
            horizon, lambda slot: self._noise[slot], lambda slot: self._reference[slot + 1], self.params_grad
        )
        self._count = 0
        self._alive = torch.ones(task.num_envs, dtype=torch.bool, device=task.device)
        self.restarted = torch.zeros(task.num_envs, dtype=torch.bool, device=task.device)

    def begin(self) -> Obs:
        task = self.task
        task.draw_noise(self._noise.view(-1, NUM_NOISE))
        obs = task.observe()
        error = obs.flat[:, 26:29] - obs.flat[:, 13:16]
        self.restarted = ~(
            (error.norm(dim=1) < self.LEFT_M)
            & (obs.flat[:, 36:39].norm(dim=1) < self.SPIN_RAD_S)
            & (task.episode_length_buf < task.max_episode_length)
            & torch.isfinite(task.state).all(1)
        )
        task.restart(self.restarted)
        task.look_ahead(self._reference)
        self._state = task.state.clone()
        self._op.rewind()
        if self.params_grad is not None:
            self.params_grad.zero_()
        self._count = 0
        return Obs(task.observe().flat.clone(), task.layout)

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor]:
        if self._count == self.horizon:
            raise RuntimeError(f"a window of {self.horizon} steps is over: commit() and begin() the next")
        self._count += 1
        self._state, obs, reward, _ = self._op(self._state, action)
        return Obs(obs, self.task.layout), reward.view(-1), self._alive

    def commit(self) -> None:
        self.task.state.copy_(self._state.detach())
        self.task.episode_length_buf += self._count


def _angle_table(angle_max_rad: float, points: int = 1024) -> Tensor:
    """Quantiles of the rotation angle of uniform rotations up to angle_max: its distribution is (a - sin a)."""
    a = torch.linspace(0.0, angle_max_rad, 8 * points, dtype=torch.float64)
    cdf = (a - a.sin()) / (a[-1] - a[-1].sin())
    at = torch.searchsorted(cdf, torch.linspace(0.0, 1.0, points, dtype=torch.float64)).clamp(1, len(a) - 1)
    target = torch.linspace(0.0, 1.0, points, dtype=torch.float64)
    share = (target - cdf[at - 1]) / (cdf[at] - cdf[at - 1]).clamp(min=1e-300)
    return torch.lerp(a[at - 1], a[at], share).float()
