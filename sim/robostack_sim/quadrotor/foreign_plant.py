"""The quadrotor task over another simulator's rigid body, so that the same questions can be asked of the same policy.

Starts, disturbances, delays, battery, sensors, noise, references and costs stay ours, to the same random numbers: what
differs between two plants is the physics of a period, and nothing else.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
import warp as wp
from torch import Tensor

from robostack.lanes import as_lanes
from robostack.recorded import RecordedOp
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.judging import NUM_TERMS, judge_kernel
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.task import Quadrotor, QuadrotorUnroll

BODY = slice(S.POSITION, S.COMMAND_1)
"""position, attitude, velocity, body rate and rotor speeds: the columns that a plant integrates"""


@dataclass(frozen=True)
class Drive:
    """What acts in one control period, of every environment; battery and limits are in the commands."""

    older: Tensor
    """(num_envs, 4) rad/s until `switch_s`"""
    newer: Tensor
    """(num_envs, 4) rad/s after it"""
    switch_s: Tensor
    """(num_envs,)"""
    force_n: Tensor
    """(num_envs, 3) in the world, constant"""

    def mean_commands(self, substeps: int, dt: float) -> Tensor:
        """(substeps, num_envs, 4) time averages over the parts of the period `dt`: for a simulator that holds a command
        for the whole of its step."""
        edges = torch.arange(substeps)[:, None] * (dt / substeps)
        before = ((self.switch_s - edges) / (dt / substeps)).clamp(0.0, 1.0)[..., None]
        return before * self.older + (1.0 - before) * self.newer


class ForeignPlant(Quadrotor):
    """A task to fly, not to train: a foreign body has no adjoint. Runs on a CPU."""

    def __init__(self, config: QuadrotorConfig | None = None, seed: int = 0) -> None:
        if config and config.device != "cpu":
            raise ValueError(f"device = {config.device!r}: another simulator's plant flies on the cpu only")
        if config and config.action != "rotor_speed":
            raise ValueError(f"action = {config.action!r}: another simulator's plant flies rotor speeds only")
        super().__init__(config, seed)
        self._observe_after = self._record_observe(1)
        self._judge = RecordedOp(
            judge_kernel,
            self.num_envs,
            (S.SIZE,),
            (1, NUM_TERMS),
            lambda slot: [as_lanes(self.params), wp.from_torch(self._weights), as_lanes(self._reference[1])],
            1,
            self.device,
        )

    @abstractmethod
    def fly(self, drive: Drive) -> Tensor:
        """(num_envs, 17) the columns BODY of `state`, one period on."""

    def _advance(self, action: Tensor) -> tuple[Tensor, ...]:
        body = self.fly(self._drive(action))
        # commands under way, gust, battery and time as ever; only the body is another's
        state, *_ = super()._advance(action)
        state[:, BODY] = body
        return state, *self._observe_after(state), *self._judge(state)

    def _drive(self, action: Tensor) -> Drive:
        p, s, dt = self.params, self.state, self.step_dt
        high = p[:, P.ROTOR_HIGH, None]
        command = torch.minimum(torch.maximum(action, p[:, P.ROTOR_LOW, None]), high)
        last = s[:, S.COMMAND_1 : S.COMMAND_2]
        delay = p[:, P.ACTION_DELAY, None]
        late = delay >= dt
        older, newer = torch.where(late, s[:, S.COMMAND_2 : S.GUST], last), torch.where(late, last, command)
        load = p[:, P.SAG, None] * s[:, S.ROTOR : S.COMMAND_1].square().sum(1, keepdim=True) / high.square()
        volts = s[:, S.BATTERY, None] * (1.0 - 0.25 * load)
        return Drive(
            volts * older,
            volts * newer,
            (delay - late.float() * dt).clamp(max=dt)[:, 0],
            p[:, P.FORCE : P.FORCE + 3] + s[:, S.GUST : S.GUST + 3],
        )

    def unroll(self, horizon: int, with_params: bool = False) -> QuadrotorUnroll:
        raise NotImplementedError(f"{type(self).__name__} has no gradients: train on Quadrotor, fly here")
