"""Short windows of a log beside the simulator's own flight over them, and how the difference depends on what is unknown.

**Multiple shooting.** Predicting one step at a time is simplest, but a rotor's lag lives in many steps, a sensor's noise
over one step is larger than what the step does, and noise in what a step starts from biases the fit. Simulating the
whole log from its start fails as well: a quadrotor under logged commands is unstable, and after a second or two the
error is chaos. So the log is cut into windows of a fifth of a second, over which a prediction stays near what was
flown. Each has its own start, 12 unknowns (position, attitude, velocity, rate) beside those that all share, told by the
first measurement no better than by any other: noise then biases nothing. Rotors are not measured; before each window
the simulator runs on logged commands alone until they have forgotten how they began.

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
STATES = 12
"""position, rotation vector, velocity, body rate"""


@dataclass(frozen=True)
class Linear:
    """Residuals of N windows (N, POINTS * 12), and their derivatives with respect to each window's start (N, ., 12) and
    to theta (N, ., p). All float64, in m, rad, m/s, rad/s."""

    residual: Tensor
    by_start: Tensor
    by_theta: Tensor


class _Window(QuadrotorUnroll):
    """An unroll that begins where it is told and can be moved on the way."""

    state: Tensor

    def begin_at(self, state: Tensor) -> None:
        self._state, self._count = state, 0
        self._op.rewind()

    def place(self, body: Tensor) -> None:
        """(N, 13); rotors and commands under way go on."""
        self._state = torch.cat([body, self._state[:, BODY:]], 1)

    def fly(self, command: Tensor) -> Tensor:
        """(N, 13) the body a period on."""
        self.step(command)
        return self._state[:, :BODY]


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
        self._window = _Window(self._task, self._warm_up + length, with_params=True)
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
        before_s, row = self._delay(theta)
        by_theta = torch.autograd.functional.jacobian(
            lambda t: self.machine.row(t, self._base, before_s), theta
        )  # (P.SIZE, p)
        assert isinstance(by_theta, Tensor)
        leaf = start.float().requires_grad_()
        idle = self._idle().requires_grad_()  # what makes autograd keep the way to the start
        errors = self._errors(row, before_s, leaf, idle)
        of_start, of_theta = [], []
        grads = self._window.params_grad
        assert grads is not None
        for k in range(POINTS):
            for c in range(STATES):
                grads.zero_()
                by_leaf, _ = torch.autograd.grad(errors[k][:, c].sum(), (leaf, idle), retain_graph=True)
                of_start.append(by_leaf.double())
                of_theta.append(grads.double() @ by_theta)
        residual = torch.cat([e.detach().double() for e in errors], 1)
        return Linear(residual, torch.stack(of_start, 1), torch.stack(of_theta, 1))

    @torch.no_grad()
    def residual(self, theta: Tensor, start: Tensor) -> Tensor:
        """(N, POINTS * 12), as in `linear`."""
        before_s, row = self._delay(theta)
        return torch.cat([e.double() for e in self._errors(row, before_s, start.float(), self._idle())], 1)

    def _delay(self, theta: Tensor) -> tuple[float, Tensor]:
        """What of the delay is whole periods, and the parameter row with the rest."""
        before_s = math.floor(self.machine.delay_s(theta) / self.dt_s) * self.dt_s
        return before_s, self.machine.row(theta, self._base, before_s)

    def _idle(self) -> Tensor:
        """(N, S.SIZE): level at the origin, rotors as fast as first told."""
        state = torch.zeros(self.count, S.SIZE)
        state[:, S.ATTITUDE] = 1.0
        state[:, S.BATTERY] = self._battery
        state[:, S.ROTOR : S.GUST] = self._commands[0].repeat(1, 3)
        return state

    def _errors(self, row: Tensor, before_s: float, start: Tensor, idle: Tensor) -> list[Tensor]:
        """(N, 12) at each point."""
        self._task.params.copy_(row.detach().float().expand(self.count, -1))
        commands = self._commands[self._early - round(before_s / self.dt_s) :]
        self._window.begin_at(idle)
        for k in range(self._warm_up):
            self._window.fly(commands[k])
        self._window.place(moved(self.start, start))
        errors = []
        for k in range(self._spacing * POINTS):
            body = self._window.fly(commands[self._warm_up + k])
            if (k + 1) % self._spacing == 0:
                errors.append(away(body, self.seen[k // self._spacing]))
        return errors


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
