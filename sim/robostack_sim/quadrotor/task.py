"""Quadrotor: recover from any start, hover, follow a reference. By rotor speeds, or by thrust and body rates.

Start distribution, disturbances and noise are L2F's (src/config/parameters.h and parameters/init/default.h):
position +-0.2 m, tilt up to 90 degrees uniform over rotations, velocity +-1 m/s, rate +-1 rad/s, rotors at half
speed, a tenth of the starts level at the origin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import warp as wp
from torch import Tensor

from robostack.lanes import as_lanes, columns
from robostack.recorded import RecordedOp, current_stream
from robostack.task import Bar, Layout, Obs, ParameterSource, Scenario, Task, Unroll
from robostack_sim.quadrotor import interface
from robostack_sim.quadrotor.autopilot import load_autopilot
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.judging import NUM_TERMS, NUM_WEIGHTS
from robostack_sim.quadrotor.physics import NUM_NOISE, P, S, gaussian
from robostack_sim.quadrotor.qualification import bars
from robostack_sim.quadrotor.rate_control import R, rates_step_kernel
from robostack_sim.quadrotor.sensing import OBS_SIZE, observe_kernel, reference_kernel, step_kernel
from robostack_sim.quadrotor.starts import Starts
from robostack_sim.quadrotor.vehicle import Vehicle, load_vehicle

if TYPE_CHECKING:
    from robostack.evaluate.flight import Flight


class Quadrotor(Task):
    """See the module's docstring. `params` is (num_envs, P.SIZE) and may be edited in place between steps; `state`
    is (num_envs, S.SIZE), with a rate controller R.SIZE wide. Observations alias a buffer until the next step."""

    name = "quadrotor"
    Config = QuadrotorConfig
    critic_channels = interface.CRITIC_CHANNELS

    def __init__(self, config: QuadrotorConfig | None = None, seed: int = 0) -> None:
        self.config = config or QuadrotorConfig()
        self.vehicle: Vehicle = load_vehicle(self.config.vehicle)
        self.autopilot = load_autopilot(self.config.autopilot) if self.config.action == "thrust_and_rates" else None
        self.num_envs = num_envs = self.config.num_envs
        self.device = torch.device(self.config.device)
        self.step_dt = self.config.step_dt
        self.max_episode_length = round(self.config.episode_s / self.step_dt)
        self.channels = interface.channels(self.vehicle, self.autopilot)
        self.actions = interface.actions(self.vehicle, self.autopilot)
        self.envelope = interface.envelope(self.vehicle, self.autopilot)
        self.features = interface.features(self.vehicle, self.autopilot)
        longest = self.config.delay_s[1]
        self.obs_delay_s = (0.0, min(longest, self.step_dt))
        self.action_delay_s = (0.0, min(longest, 2 * self.step_dt))
        self.parameters = interface.parameters(self.config)
        self.machine = self.vehicle.numbers | (self.autopilot.numbers if self.autopilot else {})
        self.layout = Layout(self.channels)
        assert self.layout.size == OBS_SIZE
        self._starts = Starts(self.config, self.vehicle)
        self._source: ParameterSource = lambda mask: {}
        self.params = columns(num_envs, P.SIZE, self.device)
        self.state = columns(num_envs, R.SIZE if self.autopilot else S.SIZE, self.device)
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long, device=self.device)
        c = self.config.costs
        weights = [c.position, c.excursion, c.velocity, c.rate, c.tilt, c.yaw, c.action, c.action_rate]
        self._weights = torch.tensor([[*weights, c.position_width_m, c.free_excursion_m]], device=self.device)
        assert len(weights) == NUM_TERMS and self._weights.shape[1] == NUM_WEIGHTS
        # of the rate controller, one row; empty without one
        numbers = self.autopilot.row(self.vehicle, self.step_dt) if self.autopilot else []
        self._numbers = torch.tensor([numbers], device=self.device)
        self._launches: dict[Any, Any] = {}
        self._seed = torch.zeros(2, dtype=torch.int32, device=self.device)
        self._noise = columns(num_envs, NUM_NOISE, self.device)
        self._reference = columns(num_envs, 9, self.device, 2)
        self._step = self._record(1, lambda slot: self._noise, lambda slot: self._reference[1])
        self._observe = self._record_observe(0)
        self.reset(seed)

    def _record_observe(self, period: int) -> RecordedOp:
        """Observation of a state `period` periods after the reference was looked up."""
        return RecordedOp(
            observe_kernel,
            self.num_envs,
            (self.state.shape[1],),
            (OBS_SIZE,),
            lambda slot: [
                as_lanes(self.params),
                self.step_dt,
                as_lanes(self._noise),
                as_lanes(self._reference[period]),
            ],
            1,
            self.device,
        )

    def _record(
        self,
        slots: int,
        noise: Callable[[int], Tensor],
        reference: Callable[[int], Tensor],
        params_grad: Tensor | None = None,
    ) -> RecordedOp:
        numbers = [wp.from_torch(self._numbers)] if self.autopilot else []
        others = [None] * (4 + len(numbers))
        wanted = None if params_grad is None else [as_lanes(params_grad), *others]
        return RecordedOp(
            rates_step_kernel if self.autopilot else step_kernel,
            self.num_envs,
            (self.state.shape[1], self.action_size),
            (self.state.shape[1], OBS_SIZE, 1, NUM_TERMS),
            lambda slot: [
                as_lanes(self.params),
                wp.from_torch(self._weights),
                *numbers,
                self.step_dt,
                as_lanes(noise(slot)),
                as_lanes(reference(slot)),
            ],
            slots,
            self.device,
            carried=True,
            constant_grads=None if wanted is None else lambda slot: wanted,
        )

    def draw_noise(self, noise: Tensor) -> None:
        """Fills what `columns` made with standard normal numbers and moves the counter on."""
        self._seed[1] += 1
        self._launch(gaussian, noise, lambda: [wp.from_torch(self._seed), as_lanes(noise).flatten()])

    def look_ahead(self, reference: Tensor) -> None:
        """Fills (periods, num_envs, 9) with the reference from now on, one row a period."""
        self._launch(
            reference_kernel,
            reference,
            lambda: [as_lanes(self.params), self.step_dt, as_lanes(self.state), as_lanes(reference)],
        )

    def _launch(self, kernel: Any, result: Tensor, arguments: Callable[[], list[Any]]) -> None:
        """A kernel into `result`, its last argument, by the launch recorded when it was last asked for: putting the
        arguments together takes ten times as long as a small kernel."""
        key = (kernel.key, result.data_ptr(), result.shape)
        if key not in self._launches:
            wp_device, given = wp.device_from_torch(self.device), arguments()
            across = given[-1].shape
            dim = across[0] if len(across) == 1 else (across[0], across[2])
            self._launches[key] = wp.launch(kernel, dim, given, device=wp_device, record_cmd=True)
        self._launches[key].launch(current_stream(self.device))

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._starts.generator.manual_seed(seed)
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
            state, obs, reward, costs = self._advance(action)
        self.state.copy_(state)
        self.episode_length_buf += 1
        error = obs[:, 26:29] - obs[:, 13:16]
        terminated = ~(error.abs().amax(1) < self.config.box_m) | ~torch.isfinite(state).all(1)
        truncated = (self.episode_length_buf >= self.max_episode_length) & ~terminated
        names = interface.REWARD_TERMS
        crash = -self.config.costs.crash * terminated
        extras: dict[str, Any] = {
            "reward_terms": {n: -costs[:, k] for k, n in enumerate(names)} | {"crash": crash},
            "success": truncated,
            "final_obs": Obs(obs, self.layout),
        }
        done = terminated | truncated
        if done.any():
            self.restart(done)
            self.look_ahead(self._reference)
            fresh = self._observe(self.state)[0]
            obs = torch.where(done[:, None], fresh, obs)
        return Obs(obs, self.layout), reward[:, 0] + crash, terminated, truncated, extras

    def _advance(self, action: Tensor) -> tuple[Tensor, ...]:
        """State, observation, reward and costs one period on."""
        return self._step(self.state, action)

    def unroll(self, horizon: int, with_params: bool = False) -> QuadrotorUnroll:
        return QuadrotorUnroll(self, horizon, with_params)

    def evaluation(self, num_envs: int) -> Quadrotor:
        """L2F's own question: hover from its starts, sensor-to-motor delay up to 20 ms."""
        c = self.config
        return Quadrotor(replace(c, num_envs=num_envs, moving_share=0.0, idle_share=0.0, delay_s=c.flown_delay_s))

    def qualification(self) -> Sequence[Bar]:
        return bars(self.config, self.vehicle)

    def at_rate(self, rate: float) -> Quadrotor:
        """Delays stay what they were in seconds, as far as the plant keeps so many periods."""
        step_dt = self.config.step_dt / rate
        low, high = (min(d, 3.0 * step_dt) for d in self.config.delay_s)
        return Quadrotor(replace(self.config, step_dt=step_dt, delay_s=(low, high)))

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
            "generator": self._starts.generator.get_state(),
        }

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self.params.copy_(kept["params"])
        self.state.copy_(kept["state"])
        self.episode_length_buf.copy_(kept["episode_length_buf"])
        self._seed.copy_(kept["noise_counter"])
        self._starts.generator.set_state(kept["generator"])

    def draw_parameters_from(self, source: ParameterSource) -> None:
        self._source = source

    def restart(self, mask: Tensor) -> None:
        """Draws parameters and a start for the environments in `mask` (num_envs,) bool. What is drawn does not
        depend on the mask, so that two runs with one seed agree."""
        rows = mask[:, None]
        self.params.copy_(torch.where(rows, self._starts.params(self._source(mask)), self.params))
        self.state.copy_(torch.where(rows, self._starts.state(self.params), self.state))
        self.episode_length_buf.masked_fill_(mask, 0)


class QuadrotorUnroll(Unroll):
    """A window over recorded launches. Environments that left, tumble or are over age restart at `begin` only;
    within a window nothing ends, so `alive` is always true. With `with_params`, `backward` adds d loss / d params to
    `params_grad` (num_envs, P.SIZE), which `begin` zeroes: what system identification descends."""

    LEFT_M = 1.5
    SPIN_RAD_S = 40.0

    def __init__(self, task: Quadrotor, horizon: int, with_params: bool = False) -> None:
        self.task, self.horizon = task, horizon
        self.params_grad = columns(task.num_envs, P.SIZE, task.device) if with_params else None
        self._noise = columns(task.num_envs, NUM_NOISE, task.device, horizon)
        self._reference = columns(task.num_envs, 9, task.device, horizon + 1)
        self._op = task._record(
            horizon, lambda slot: self._noise[slot], lambda slot: self._reference[slot + 1], self.params_grad
        )
        self._count = 0
        self._alive = torch.ones(task.num_envs, dtype=torch.bool, device=task.device)
        self.restarted = self.success = torch.zeros(task.num_envs, dtype=torch.bool, device=task.device)

    def begin(self) -> Obs:
        task = self.task
        task.draw_noise(self._noise)
        obs = task.observe()
        error = obs.flat[:, 26:29] - obs.flat[:, 13:16]
        flying = (
            (error.norm(dim=1) < self.LEFT_M)
            & (obs.flat[:, 36:39].norm(dim=1) < self.SPIN_RAD_S)
            & torch.isfinite(task.state).all(1)
        )
        over = task.episode_length_buf >= task.max_episode_length
        self.restarted, self.success = ~flying | over, flying & over
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
