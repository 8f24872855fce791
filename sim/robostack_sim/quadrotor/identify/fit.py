"""The likeliest numbers for a log, how sure they are, and what the log does not tell.

Gauss-Newton with Levenberg's damping on the windows of windows.py. Each of the 12 states has a deviation of its own,
estimated with the rest from what is left over (by the median, so that a jump of the positioning counts for little), so
what a model cannot follow weighs little, too; what is left beyond three of them is weighed by Huber. Window starts are
eliminated (Schur complement), which leaves p equations:

    S = sum_i (A_i - B_i^T C_i^-1 B_i),    A = J_theta^T J_theta,  B = J_start^T J_theta,  C = J_start^T J_start + 1

with J in units of the deviations. At the optimum S is the Fisher information of theta. Its inverse gives deviations if
what is left over is white; windows stand apart but points in one do not, so what is reported is the sandwich
S^-1 (sum_i g_i g_i^T) S^-1 of the windows' own gradients g_i (Huber 1967, White 1980), where that is larger.

A direction in which S is (next to) zero is a change of numbers that the log would not show. It is looked for in the
information that is left for the numbers when what only this flight had is unknown, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack_sim.quadrotor.identify.machine import Machine
from robostack_sim.quadrotor.identify.windows import POINTS, STATES, Linear, Windows
from robostack_sim.quadrotor.vehicle import Vehicle

ROUNDS = 40
HUBER = 3.0
FLOOR = (1e-5,) * 3 + (1e-5,) * 3 + (1e-4,) * 3 + (1e-4,) * 3
"""m, rad, m/s, rad/s: deviations below which a log without noise is no surer"""
STEP_MOST = 0.4
"""of a factor's logarithm in a round; of a delay, that share of DELAY_SCALE_S"""
FACTOR_MOST = 2.0
"""of a factor's logarithm in all: 7 times, or a 7th"""
CURVE_MOST = 0.9
SETTLED = 0.02
"""deviations by which the last round may have moved a number"""
WEAK = 0.2
"""A direction known no better than this (a fifth of a number, or 10 ms) is not known."""
SHOWN = 0.3
"""share of a direction from which a number belongs to it"""
WHY = {
    "mass": "what does not turn shows thrust over mass alone",
    "thrust": "what does not turn shows thrust over mass alone",
    "curve": "the rotors stayed near one speed",
    "rise": "the rotors hardly changed their speed",
    "fall": "the rotors hardly changed their speed",
    "delay": "the rotors hardly changed their speed",
    "torque": "it hardly yawed",
    "inertia": "a turn shows thrust over inertia alone",
}


class NotTold(ContractError):
    """The log does not tell numbers apart; the message names them and says why and what helps."""


@dataclass(frozen=True)
class Estimate:
    machine: Machine
    theta: Tensor
    """(p,)"""
    covariance: Tensor
    """(p, p)"""
    deviation: Tensor
    """(12,) of position, rotation vector, velocity, body rate: noise, and what the model does not follow"""
    windows: int

    @property
    def vehicle(self) -> Vehicle:
        return self.machine.found(self.theta)

    def std(self, name: str) -> float:
        """Of a number of `machine.names`: relative, of a delay in s, of a curve as it is."""
        k = [*self.machine.names].index(name)  # type: ignore[arg-type]
        return float(self.covariance[k, k].sqrt())

    @property
    def delay_s(self) -> float:
        return self.machine.delay_s(self.theta)


def fit(windows: Windows, delay_s: float | None = None) -> Estimate:
    """From the file's numbers and a delay of a period, or of `delay_s`.

    Raises NotTold where the log leaves a direction open, ContractError where the fit does not settle or ends where no
    machine is.
    """
    machine, n = windows.machine, windows.count
    theta = machine.start(windows.dt_s if delay_s is None else delay_s)
    start = torch.zeros(n, STATES, dtype=torch.float64)
    damping = 1e-3
    for _ in range(ROUNDS):
        linear = windows.linear(theta, start)
        deviation = _deviation(linear.residual, start)
        normal = _Normal.of(linear, start, deviation)
        before, moved = _cost(linear.residual, start, deviation), None
        while damping < 1e9:
            step = _bounded(normal.step(damping), machine)
            theta_then = _inside(theta + step, windows)
            start_then = start + normal.starts(theta_then - theta)
            if _cost(windows.residual(theta_then, start_then), start_then, deviation) <= before:
                moved = theta_then - theta
                theta, start, damping = theta_then, start_then, max(0.2 * damping, 1e-9)
                break
            damping *= 10.0
        if moved is None or bool((moved.abs() <= SETTLED * normal.std + 1e-7).all()):
            break
    else:
        raise ContractError(
            f"the fit does not settle in {ROUNDS} rounds: cut take-off, landing and contacts off (--begin-s, --end-s), "
            "and begin with numbers that are nearer (--vehicle)"
        )
    linear = windows.linear(theta, start)
    deviation = _deviation(linear.residual, start)
    normal = _Normal.of(linear, start, deviation)
    _demand(machine, normal.information)
    _demand_inside(machine, theta)
    return Estimate(machine, theta, normal.covariance, deviation, n)


@dataclass(frozen=True)
class _Normal:
    """Normal equations of a linearisation, starts eliminated."""

    information: Tensor
    """(p, p) S"""
    scores: Tensor
    """(N, p) each window's part of the gradient"""
    of_start: Tensor
    """(N, 12) what a start moves by if theta does not"""
    by_theta: Tensor
    """(N, 12, p) and for what theta moves"""

    @classmethod
    def of(cls, linear: Linear, start: Tensor, deviation: Tensor) -> _Normal:
        each = deviation.repeat(POINTS)
        residual = linear.residual / each
        weight = (HUBER / residual.abs().clamp(min=1e-12)).clamp(max=1.0).sqrt()
        r, x, t = weight * residual, linear.by_start, linear.by_theta
        scale = (weight / each)[..., None]
        x, t = x * scale, t * scale
        own = start / deviation
        own_weight = (HUBER / own.abs().clamp(min=1e-12)).clamp(max=1.0)
        c = x.mT @ x + torch.diag_embed(own_weight / deviation**2)
        b = x.mT @ t
        of_start = (x.mT @ r[..., None])[..., 0] + own_weight * own / deviation
        solved = torch.linalg.solve(c, torch.cat([b, of_start[..., None]], -1))
        by_theta, at = solved[..., :-1], solved[..., -1]
        information = (t.mT @ t - b.mT @ by_theta).sum(0)
        scores = (t.mT @ r[..., None])[..., 0] - (b.mT @ at[..., None])[..., 0]
        return cls(0.5 * (information + information.T), scores, -at, -by_theta)

    def step(self, damping: float) -> Tensor:
        diagonal = torch.diag(self.information.diagonal().clamp(min=1e-9))
        return -torch.linalg.solve(self.information + damping * diagonal, self.scores.sum(0))

    def starts(self, step: Tensor) -> Tensor:
        return self.of_start + self.by_theta @ step

    @property
    def covariance(self) -> Tensor:
        inverse = torch.linalg.pinv(self.information, hermitian=True)
        sandwich = inverse @ (self.scores.T @ self.scores) @ inverse
        larger = (sandwich.diagonal() / inverse.diagonal().clamp(min=1e-30)).clamp(min=1.0).sqrt()
        return inverse * larger[:, None] * larger[None, :]

    @property
    def std(self) -> Tensor:
        ridge = 1e-9 * torch.eye(len(self.information), dtype=torch.float64)
        return torch.linalg.inv(self.information + ridge).diagonal().clamp(min=0.0).sqrt()


def _deviation(residual: Tensor, start: Tensor) -> Tensor:
    """(12,) robust, of points and starts together; a start takes one of POINTS + 1 measurements with it."""
    each = torch.cat([residual.unflatten(1, (POINTS, STATES)), start[:, None]], 1).flatten(0, 1)
    found = each.abs().median(0).values / 0.6745 * ((POINTS + 1) / POINTS) ** 0.5
    return found.maximum(found.new_tensor(FLOOR))


def _cost(residual: Tensor, start: Tensor, deviation: Tensor) -> float:
    r = torch.cat([residual / deviation.repeat(POINTS), start / deviation], 1).abs()
    return float(torch.where(r < HUBER, 0.5 * r * r, HUBER * r - 0.5 * HUBER**2).sum())


def _bounded(step: Tensor, machine: Machine) -> Tensor:
    scale = torch.cat([machine.scales, torch.ones(machine.size - len(machine.names), dtype=torch.float64)])
    return step * min(1.0, STEP_MOST / float((step / scale).abs().max().clamp(min=1e-12)))


def _inside(theta: Tensor, windows: Windows) -> Tensor:
    kept = theta.clone()
    for k, name in enumerate(windows.machine.names):
        low, high = -FACTOR_MOST, FACTOR_MOST
        if name == "delay":
            low, high = 0.0, windows.delay_most_s
        elif name == "curve":
            low, high = -CURVE_MOST, CURVE_MOST
        kept[k] = theta[k].clamp(low, high)
    return kept


def _demand(machine: Machine, information: Tensor) -> None:
    """Raises NotTold."""
    count = len(machine.names)
    ours, mixed, flight = information[:count, :count], information[:count, count:], information[count:, count:]
    ridge = 1e-6 * torch.eye(len(flight), dtype=torch.float64)
    left = ours - mixed @ torch.linalg.solve(flight + ridge, mixed.T)
    scaled = machine.scales[:, None] * left * machine.scales
    values, vectors = np.linalg.eigh(scaled.numpy())
    open_ones = [k for k in range(count) if values[k] < WEAK**-2]
    if not open_ones:
        return
    said = []
    for k in open_ones:
        direction = vectors[:, k] * np.sign(vectors[np.abs(vectors[:, k]).argmax(), k])
        among = [i for i in np.argsort(-np.abs(direction)) if abs(direction[i]) >= SHOWN]
        names = [str(machine.names[i]) for i in among]
        shares = " ".join(f"{direction[i]:+.2f} {machine.names[i]}" for i in among)
        what = f"{' and '.join(names)} apart" if len(names) > 1 else names[0]
        why = "; ".join(dict.fromkeys(WHY[n] for n in names))
        said.append(f"{what} (it would not show a change by {shares}: {why})")
    weighed = " (a scale tells mass)" if any("mass" in s for s in said) else ""
    raise NotTold(
        f"the log does not tell {'; nor '.join(said)}. Fly steps in height, roll, pitch and yaw, or leave one out of "
        f"--fit and let the vehicle file be right about it{weighed}"
    )


def _demand_inside(machine: Machine, theta: Tensor) -> None:
    """Raises ContractError where a number ended at the end of what it may be."""
    for k, name in enumerate(machine.names):
        most = CURVE_MOST if name == "curve" else FACTOR_MOST
        if name != "delay" and abs(float(theta[k])) >= most - 1e-6:
            raise ContractError(
                f"{name} ran to the end of what it may be: units, rotor order or signs of log and vehicle file differ"
            )
