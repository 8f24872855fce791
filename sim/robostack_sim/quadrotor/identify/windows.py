"""Short windows of a log beside the simulator's own flight over them, and how the difference depends on what is open.

**Multiple shooting.** Predicting one step at a time is simplest, but a rotor's lag lives in many steps, a sensor's
noise over one step is larger than what the step does, and noise in what a step starts from biases the fit. Simulating
the whole log from its start fails as well: a quadrotor under logged commands is unstable, and after a second or two
the error is chaos. So the log is cut into windows of a fifth of a second, over which a prediction stays near what was
flown. Each has its own start, 12 unknowns (position, attitude, velocity, rate) beside those that all share, told by
the first measurement no better than by any other: noise then biases nothing. Rotors are not measured; before each
window the simulator runs on logged commands alone until they have forgotten how they began.

Every measurement is used once: windows begin at each of the grid's first rows in turn, and are compared at points
between their starts. Derivatives are the simulator's adjoint: an environment a window, so that one backward pass gives
the row of every window at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.identify.log import Piece
from robostack_sim.quadrotor.identify.machine import Machine
from robostack_sim.quadrotor.physics import P, S
from robostack_sim.quadrotor.task import Quadrotor, QuadrotorUnroll

WINDOW_S = 0.2
POINTS = 3
"""where a window is compared, besides its start"""
WARM_UP_S = 0.75
DELAY_MOST_S = 0.1
WINDOWS_MOST = 1600
BODY = 13
ROTORS = range(S.ROTOR, S.COMMAND_1)
STATES = 12
"""position, rotation vector, velocity, body rate"""


@dataclass(frozen=True)
class Linear:
    """Residuals of N windows (N, POINTS * 12), and their derivatives with respect to each window's start (N, ., 12) and
    to theta (N, ., p). All float64, in m, rad, m/s, rad/s."""

    residual: Tensor
    by_start: Tensor
    by_theta: Tensor


class _Unroll(QuadrotorUnroll):
    """One that begins where it is told."""

    def fly(self, state: Tensor, commands: Tensor) -> list[Tensor]:
        """(N, S.SIZE) after each of (T, N, 4)."""
        self._state, self._count = state, 0
        self._op.rewind()
        found = []
        for command in commands:
            self.step(command)
            found.append(self._state)
        return found


class Windows:
    """At most WINDOWS_MOST of them, evenly spread; `compensated` as in the Log."""

    def __init__(self, pieces: Sequence[Piece], dt_s: float, machine: Machine, compensated: bool = False):
        self.machine, self.dt_s = machine, dt_s
        self._spacing = max(1, round(WINDOW_S / dt_s / (POINTS + 1)))
        self._warm_up = math.ceil(WARM_UP_S / dt_s)
        self._early = math.ceil(DELAY_MOST_S / dt_s)
        self.delay_most_s = self._early * dt_s - 1e-6
        chosen = self._chosen(pieces)
        self.count = len(chosen)
        lead, length = self._warm_up + self._early, self._spacing * POINTS
        at = [row + self._spacing * np.arange(POINTS + 1) for _, row in chosen]
        seen = torch.tensor(np.stack([p.state[k] for (p, _), k in zip(chosen, at, strict=True)], 1))
        seen[..., :3] -= seen[0, :, :3].clone()  # float32 has its digits near the origin, and physics is the same there
        self.start, self.seen = seen[0].float(), seen[1:].float()
        commands = np.stack([p.command[row - lead : row + length] for p, row in chosen], 1)
        self._commands = torch.tensor(commands, dtype=torch.float32)
        config = QuadrotorConfig(
            self.count, vehicle=machine.file, step_dt=dt_s, delay_s=(0.0, 0.0), force_std=0.0, moment_std=0.0,
            noise_scale=0.0, moving_share=0.0,
        )  # fmt: skip
        self._task = Quadrotor(config)
        if compensated:
            self._task.params[:, [P.SAG, P.DISCHARGE]] = 0.0
        self._base = self._task.params[0].double()
        # two, as a state that is put in place of another would overwrite what the adjoint before it reads
        self._before, self._within = (_Unroll(self._task, steps, with_params=True) for steps in (self._warm_up, length))
        ago = torch.tensor([p.begins_s + (row - self._warm_up) * dt_s for p, row in chosen])
        self._battery = 1.0 - self._task.params[:, P.DISCHARGE] * ago

    def _chosen(self, pieces: Sequence[Piece]) -> list[tuple[Piece, int]]:
        """(piece, row at which a window starts)"""
        lead, stride = self._warm_up + self._early, self._spacing * (POINTS + 1)
        found = [
            (piece, row)
            for piece in pieces
            for row in range(lead, len(piece.state) - self._spacing * POINTS)
            if (row - lead) % stride < self._spacing
        ]
        assert found, "a piece is longer than a window and what leads to it"
        keep = np.linspace(0, len(found) - 1, min(len(found), WINDOWS_MOST)).round().astype(int)
        return [found[k] for k in keep]

    def linear(self, theta: Tensor, start: Tensor) -> Linear:
        """At `theta` (p,), with window starts `start` (N, 12) away from what was measured there."""
        before_s = self._set(theta)
        by_theta = torch.autograd.functional.jacobian(lambda t: self.machine.row(t, self._base, before_s), theta)
        assert isinstance(by_theta, Tensor)  # (P.SIZE, p)
        idle, leaf = self._idle().requires_grad_(), start.float().requires_grad_()
        warm = self._warmed(before_s, idle)
        # what numbers do before a window is in its rotors' speed at its start: the way there is gone back four times
        of_rotors = torch.stack([self._by_row(self._before, warm[:, k].sum(), idle)[0] @ by_theta for k in ROTORS], 1)
        rotors = warm[:, ROTORS.start : ROTORS.stop].detach().requires_grad_()
        errors = self._errors(before_s, leaf, rotors, warm.detach())
        of_start, of_theta = [], []
        for error in errors:
            for c in range(STATES):
                by_row, by_leaf, by_rotors = self._by_row(self._within, error[:, c].sum(), leaf, rotors)
                of_start.append(by_leaf)
                of_theta.append(by_row @ by_theta + (by_rotors[:, None] @ of_rotors)[:, 0])
        residual = torch.cat([e.detach().double() for e in errors], 1)
        return Linear(residual, torch.stack(of_start, 1), torch.stack(of_theta, 1))

    @torch.no_grad()
    def residual(self, theta: Tensor, start: Tensor) -> Tensor:
        """(N, POINTS * 12), as in `linear`."""
        before_s = self._set(theta)
        warm = self._warmed(before_s, self._idle())
        rotors = warm[:, ROTORS.start : ROTORS.stop]
        return torch.cat([e.double() for e in self._errors(before_s, start.float(), rotors, warm)], 1)

    @staticmethod
    def _by_row(unroll: _Unroll, value: Tensor, *inputs: Tensor) -> list[Tensor]:
        """Gradients, float64, of a sum over windows: (N, P.SIZE) by each's parameters, then by `inputs`."""
        assert unroll.params_grad is not None
        unroll.params_grad.zero_()
        found = torch.autograd.grad(value, inputs, retain_graph=True)
        return [g.double() for g in (unroll.params_grad, *found)]

    def _set(self, theta: Tensor) -> float:
        """Gives the simulator its parameters. Returns what of the delay is whole periods, by which commands are late
        besides."""
        before_s = math.floor(self.machine.delay_s(theta) / self.dt_s) * self.dt_s
        self._task.params.copy_(self.machine.row(theta, self._base, before_s).float().expand(self.count, -1))
        return before_s

    def _idle(self) -> Tensor:
        """(N, S.SIZE): level at the origin, rotors as fast as first told."""
        state = torch.zeros(self.count, S.SIZE)
        state[:, S.ATTITUDE] = 1.0
        state[:, S.BATTERY] = self._battery
        state[:, S.ROTOR : S.GUST] = self._commands[0].repeat(1, 3)
        return state

    def _late(self, before_s: float, first: int, count: int) -> Tensor:
        """(count, N, 4) commands from step `first` of the warm-up on, `before_s` late."""
        at = self._early - round(before_s / self.dt_s) + first
        return self._commands[at : at + count]

    def _warmed(self, before_s: float, idle: Tensor) -> Tensor:
        """(N, S.SIZE) where a window starts; of it, rotors and commands under way are good for something."""
        return self._before.fly(idle, self._late(before_s, 0, self._warm_up))[-1]

    def _errors(self, before_s: float, start: Tensor, rotors: Tensor, warm: Tensor) -> list[Tensor]:
        """(N, 12) at each point."""
        placed = torch.cat([moved(self.start, start), rotors, warm[:, ROTORS.stop :]], 1)
        flown = self._within.fly(placed, self._late(before_s, self._warm_up, self._spacing * POINTS))
        at_points = flown[self._spacing - 1 :: self._spacing]
        return [away(state[:, :BODY], seen) for state, seen in zip(at_points, self.seen, strict=True)]


def moved(body: Tensor, by: Tensor) -> Tensor:
    """(N, 13) bodies moved by (N, 12): position, rotation vector in the body, velocity, rate."""
    half = 0.5 * by[:, 3:6]
    turn = torch.cat([torch.ones_like(half[:, :1]), half], 1)
    turn = turn / turn.norm(dim=1, keepdim=True)
    parts = [body[:, :3] + by[:, :3], _product(body[:, 3:7], turn), body[:, 7:] + by[:, 6:]]
    return torch.cat(parts, 1)


def away(body: Tensor, other: Tensor) -> Tensor:
    """(N, 12) from `other` to `body`, (N, 13) each; what undoes `moved` for small turns."""
    back = other[:, 3:7] * other.new_tensor([1.0, -1.0, -1.0, -1.0])
    turn = _product(back, body[:, 3:7])
    vector = 2.0 * turn[:, 1:] * torch.where(turn[:, :1] < 0.0, -1.0, 1.0)
    return torch.cat([body[:, :3] - other[:, :3], vector, body[:, 7:] - other[:, 7:]], 1)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """(N, 4) quaternions wxyz: first `b`, then `a`."""
    w, u = a[:, :1], a[:, 1:]
    s, v = b[:, :1], b[:, 1:]
    return torch.cat([w * s - (u * v).sum(1, keepdim=True), w * v + s * u + torch.linalg.cross(u, v)], 1)
