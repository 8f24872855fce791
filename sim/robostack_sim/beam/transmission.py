"""Transmission through an RFQ: two solenoids and their steerers, found from current transformers alone.

TBSAC's second task (Chen et al., arXiv 2305.13869) moves the two solenoids of a light-particle injector; Zou et al.
(Nucl. Sci. Tech. 30, 2019) move two solenoids and four steerers, as here. A policy sees what a machine measures: the
share of the source's current that leaves the RFQ, that current, and its magnets. The beam itself, its neutralisation,
its path, the magnets' calibrations and the steerers' polarities are drawn anew in every episode and stay hidden, so
that whoever tunes has to find out while tuning, within the moves of two minutes. The physics is `lebt.transmission`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from robostack.features import Feature, History, Pick, Scale
from robostack.features_memory import Best
from robostack.spec import ActionChannel, Channel, ContractError, Cut, Envelope
from robostack.task import Bar, Layout, Obs, Unroll
from robostack_sim.beam.lebt import Lebt, Machine, load_lebt, transmission
from robostack_sim.beam.qualification import transmission_bars
from robostack_sim.beam.space_charge import Rays, perveance
from robostack_sim.beam.task import BeamTask
from robostack_sim.beam.transmission_config import BeamTransmissionConfig

REMEMBERED = 24
"""readings and moves that features keep"""
PER_READING = 5.0
"""features are of the order of 1, so that a network needs no normaliser"""
WORST = -1.0
"""a transmission below all readings"""
FAINT = 0.02
"""transmission below which the reward's slope no longer grows"""


def hidden(lebt: Lebt) -> dict[str, int]:
    """What is drawn for a machine, and how many numbers each takes: shares of their half-widths, `gain` itself."""
    s = len(lebt.solenoids)
    return {
        "emittance": 2, "alpha": 2, "beta": 2, "current": 1, "compensation": 1, "capture": 1, "calibration": s,
        "offset": 2 * s, "tilt": 2 * s, "entrance": 2, "slope": 2, "gain": len(lebt.lattice.correctors),
    }  # fmt: skip


def channels(lebt: Lebt, config: BeamTransmissionConfig) -> tuple[Channel, ...]:
    """In the order of the packed observation."""
    names, age = lebt.magnet_names, 3.0 * config.step_dt
    most = steps_a(lebt, config)
    margin = 0.01 * lebt.solenoid_max_a
    return (
        Channel(name="transmission", shape=(1,), elements=("rfq",), low=(-0.2,), high=(1.5,), max_age_s=age,
                noise_std=(config.noise,), frame="current behind the RFQ over that behind the source"),
        Channel(name="source_current", shape=(1,), elements=("source",), unit="A", max_age_s=age,
                low=(-lebt.current_a,), high=(10.0 * lebt.current_a,), noise_std=(config.noise * lebt.current_a,)),
        Channel(name="magnet_current", shape=(len(names),), elements=names, unit="A", max_age_s=age,
                low=tuple(v - margin for v in lebt.low_a), high=tuple(v + margin for v in lebt.high_a)),
        Channel(name="applied_action", shape=(len(names),), elements=names, unit="A",
                low=tuple(-m for m in most), high=most),
        Channel(name="true_transmission", shape=(1,), elements=("rfq",), privileged=True),
        Channel(name="machine", shape=(sum(hidden(lebt).values()),), privileged=True),
    )  # fmt: skip


def steps_a(lebt: Lebt, config: BeamTransmissionConfig) -> tuple[float, ...]:
    """What each magnet may move at once."""
    steerers = len(lebt.lattice.correctors)
    return (config.solenoid_step_a,) * len(lebt.solenoids) + (config.steerer_step_a,) * steerers


def features(lebt: Lebt, config: BeamTransmissionConfig) -> tuple[Feature, ...]:
    """What is read, all that was read and moved before (TBSAC's trend is a difference of these), and the best of it."""
    s, c = len(lebt.solenoids), len(lebt.lattice.correctors)
    groups = [(0, s, config.solenoid_step_a, lebt.solenoid_a)]
    groups += [(s, c, config.steerer_step_a, 0.0)] if c else []
    reading, middle = Pick("transmission"), config.success_transmission
    found: list[Feature] = [
        Scale(reading, gain=PER_READING, bias=middle),
        History(reading, REMEMBERED, reset=middle, gain=PER_READING, bias=middle),
        Scale(Pick("source_current"), gain=1.0 / lebt.current_a, bias=lebt.current_a),
    ]
    for start, count, step_a, design_a in groups:
        moved, at = Pick("applied_action", start, count), Pick("magnet_current", start, count)
        found += [
            Scale(at, gain=0.5 / step_a, bias=design_a),
            Scale(moved, gain=1.0 / step_a),
            History(moved, REMEMBERED - 1, gain=1.0 / step_a),
            Best(reading, moved, WORST, gain=PER_READING, moved_gain=0.5 / step_a),
        ]
    return tuple(found)


class BeamTransmission(BeamTask):
    """Attributes are tensors of the present machines: `magnets_a` and `applied_a` (num_envs, M), solenoids first,
    `transmission` (num_envs,) without noise, `hidden` (num_envs, H) by `hidden()`. After an edit of `hidden` or
    `magnets_a` in place, call `settle`."""

    name = "beam_transmission"
    Config = BeamTransmissionConfig
    STATE = ("hidden", "magnets_a", "applied_a", "transmission")
    machines: Machine
    """what `hidden` says"""

    def __init__(self, config: BeamTransmissionConfig | None = None, seed: int = 0) -> None:
        self.config = c = config or BeamTransmissionConfig()
        self.lebt = lebt = load_lebt(c.lebt)
        self.num_envs, self.device = c.num_envs, torch.device(c.device)
        self.step_dt, self.max_episode_length = c.step_dt, c.steps
        self._drawn, magnets = hidden(lebt), len(lebt.magnet_names)
        if not 0 <= c.flipped_steerers <= self._drawn["gain"]:
            raise ContractError(f"flipped_steerers = {c.flipped_steerers}: the LEBT has {self._drawn['gain']} steerers")
        most = steps_a(lebt, c)
        self.channels = channels(lebt, c)
        self.actions = (
            ActionChannel(name="magnet_step", elements=lebt.magnet_names, unit="A", low=tuple(-m for m in most),
                          high=most, neutral=(0.0,) * magnets),
        )  # fmt: skip
        # hold: after a bad reading no magnet moves
        self.envelope = Envelope(fallback=(Cut(value=(0.0,) * magnets),))
        self.features = features(lebt, c)
        self.critic_channels = tuple(ch.name for ch in self.channels)
        self.layout = Layout(self.channels)
        self.machine = {"design_current_a": lebt.design_a}
        row = lambda values: torch.tensor(values, device=self.device)  # noqa: E731
        self.design_a, self.low_a, self.high_a = row(lebt.design_a), row(lebt.low_a), row(lebt.high_a)
        self.step_a = row(most)
        zeros = lambda *shape: torch.zeros(self.num_envs, *shape, device=self.device)  # noqa: E731
        self.hidden, self.transmission = zeros(sum(self._drawn.values())), zeros()
        self.magnets_a, self.applied_a = zeros(magnets), zeros(magnets)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self._generator = torch.Generator(self.device)
        self.reset(seed)

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
        self.restart(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        return self.observe(), {}

    def restart(self, mask: Tensor) -> None:
        """New machines for the environments in `mask` (num_envs,) bool. What is drawn does not depend on the mask."""
        c, solenoids, steerers = self.config, len(self.lebt.solenoids), self._drawn["gain"]
        shares = self._uniform(sum(self._drawn.values()) - steerers)
        rank = self._uniform(steerers).argsort(1).argsort(1)
        wrong = rank < ((0.5 + 0.5 * self._uniform(1)) * (c.flipped_steerers + 1)).long()
        gain = (1.0 + c.gain_error * self._uniform(steerers)) * torch.where(wrong, -1.0, 1.0)
        off = torch.cat(
            [c.detuning * self.lebt.solenoid_a * self._uniform(solenoids), c.steerer_start_a * self._uniform(steerers)],
            1,
        )
        start_a = torch.minimum(torch.maximum(self.design_a + off, self.low_a), self.high_a)
        row = mask[:, None]
        self.hidden = torch.where(row, torch.cat([shares, gain], 1), self.hidden)
        self.magnets_a = torch.where(row, start_a, self.magnets_a)
        self.applied_a = torch.where(row, 0.0, self.applied_a)
        self.episode_length_buf.masked_fill_(mask, 0)
        self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """`machines` and `transmission` from `hidden` and `magnets_a`."""
        self.machines = self._machines()
        self.transmission = transmission(self.lebt, self.machines, self.magnets_a)

    def _machines(self) -> Machine:
        c, lebt = self.config, self.lebt
        drawn = dict(zip(self._drawn, self.hidden.split([*self._drawn.values()], 1), strict=True))

        def between(name: str, bounds: tuple[float, float]) -> Tensor:
            return bounds[0] + 0.5 * (bounds[1] - bounds[0]) * (1.0 + drawn[name][:, 0])

        rays = Rays.of_twiss(
            lebt.emittance_m * (1.0 + c.emittance_error * drawn["emittance"]),
            lebt.alpha * (1.0 + c.twiss_error * drawn["alpha"]),
            lebt.beta_m * (1.0 + c.twiss_error * drawn["beta"]),
        )
        entrance = torch.stack([c.entrance_offset_m * drawn["entrance"], c.entrance_slope_rad * drawn["slope"]], -1)
        current_a = lebt.current_a * (1.0 + c.current_error * drawn["current"][:, 0])
        return Machine(
            rays,
            entrance.flatten(1),
            current_a,
            perveance(lebt.lattice.beam, current_a) * (1.0 - between("compensation", c.compensation)),
            1.0 + c.optics_error * drawn["calibration"],
            c.magnet_offset_m * drawn["offset"].unflatten(1, (-1, 2)),
            c.magnet_tilt_rad * drawn["tilt"].unflatten(1, (-1, 2)),
            drawn["gain"],
            between("capture", c.capture),
        )

    def _uniform(self, *shape: int) -> Tensor:
        return 2.0 * torch.rand(self.num_envs, *shape, generator=self._generator, device=self.device) - 1.0

    def observe(self) -> Obs:
        return self.sense(self.magnets_a, self.applied_a, self.transmission)

    def sense(self, magnets_a: Tensor, applied_a: Tensor, true: Tensor) -> Obs:
        """Readings with fresh noise, differentiable in all of them."""
        noise = torch.randn(self.num_envs, 2, generator=self._generator, device=self.device) * self.config.noise
        source_a = self.machines.current_a + self.lebt.current_a * noise[:, 1]
        readings = torch.stack([true + noise[:, 0], source_a], 1)
        return Obs(torch.cat([readings, magnets_a, applied_a, true[:, None], self.hidden], 1), self.layout)

    def advance(self, magnets_a: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Envelope and the supplies' limits: currents, what was applied, transmission."""
        step = torch.minimum(torch.maximum(action, -self.step_a), self.step_a)
        after = torch.minimum(torch.maximum(magnets_a + step, self.low_a), self.high_a)
        return after, after - magnets_a, transmission(self.lebt, self.machines, after)

    def reward_terms(self, after: Tensor, before: Tensor, applied_a: Tensor) -> dict[str, Tensor]:
        """Of the transmission after a step, and the one before it."""
        c, aim = self.config.costs, self.config.success_transmission
        travel = ((applied_a / self.step_a).square() + 1e-6).sqrt().mean(1)
        return {
            "gain": c.gain * (after - before),
            "level": c.level * torch.log(after + FAINT),
            "short": -c.short * torch.sigmoid((aim + 0.02 - after) / 0.02),
            "travel": -c.travel * travel,
        }

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        before = self.transmission
        self.magnets_a, self.applied_a, self.transmission = self.advance(self.magnets_a, action)
        self.episode_length_buf += 1
        reached = self.transmission
        terms = self.reward_terms(reached, before, self.applied_a)
        truncated = self.episode_length_buf >= self.max_episode_length
        terminated = torch.zeros_like(truncated)
        obs = final = self.observe()
        if truncated.any():
            self.restart(truncated)
            obs = Obs(torch.where(truncated[:, None], self.observe().flat, final.flat), self.layout)
        extras: dict[str, Any] = {
            "reward_terms": terms,
            "success": truncated & (reached >= self.config.success_transmission),
            "final_obs": final,
            "transmission": reached,
        }
        return obs, torch.stack([*terms.values()]).sum(0), terminated, truncated, extras

    def qualification(self) -> Sequence[Bar]:
        return transmission_bars()

    def evaluation(self, num_envs: int) -> BeamTransmission:
        return type(self)(replace(self.config, num_envs=num_envs))

    def unroll(self, horizon: int) -> BeamTransmissionUnroll:
        return BeamTransmissionUnroll(self)

    def snapshot(self) -> Mapping[str, Tensor]:
        return {"transmission": self.transmission[:, None], "magnet_current": self.magnets_a}

    def snapshot_units(self) -> Mapping[str, str]:
        return {"transmission": "1", "magnet_current": "A"}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        super().load_state_dict(kept)
        self.machines = self._machines()


class BeamTransmissionUnroll(Unroll):
    """Machines whose episode is over are drawn anew at `begin` only."""

    def __init__(self, task: BeamTransmission) -> None:
        self.task = task
        self.restarted = torch.zeros(task.num_envs, dtype=torch.bool, device=task.device)
        self.success = torch.zeros_like(self.restarted)

    def begin(self) -> Obs:
        task = self.task
        self.restarted = task.episode_length_buf >= task.max_episode_length
        self.success = self.restarted & (task.transmission >= task.config.success_transmission)
        if self.restarted.any():
            task.restart(self.restarted)
        self._magnets, self._applied, self._reached = task.magnets_a, task.applied_a, task.transmission
        self._count = 0
        return task.observe()

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor]:
        task, before = self.task, self._reached
        self._count += 1
        self._magnets, self._applied, self._reached = task.advance(self._magnets, action)
        terms = task.reward_terms(self._reached, before, self._applied)
        obs = task.sense(self._magnets, self._applied, self._reached)
        return obs, torch.stack([*terms.values()]).sum(0), torch.ones_like(self.restarted)

    def commit(self) -> None:
        task = self.task
        task.magnets_a, task.applied_a = self._magnets.detach(), self._applied.detach()
        task.transmission = self._reached.detach()
        task.episode_length_buf += self._count
