"""Orbit correction: steer the beam through a line of misaligned magnets by its correctors.

TBSAC's setting is `config.TBSAC` (Wang et al., trend-based soft actor-critic: solenoid offsets of +-3 mm, corrector
increments, a probe at reset, at most 50 steps). Ours adds what a machine hides: gain and polarity of correctors, noisy,
offset and dead BPMs, drift, an orbit other than the middle. Orbits are affine in currents, so a machine is drawn
once an episode as its response (`machines.py`), and a step is one product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from robostack.spec import ContractError
from robostack.task import Bar, Layout, Obs, ParameterSource, Scenario, Unroll
from robostack_sim.beam import interface
from robostack_sim.beam.config import TBSAC, BeamOrbitConfig
from robostack_sim.beam.interface import Line
from robostack_sim.beam.lattice import Quadrupole, Solenoid
from robostack_sim.beam.lattice_files import load_lattice
from robostack_sim.beam.machines import Errors, Machines, Response
from robostack_sim.beam.qualification import orbit_bars
from robostack_sim.beam.task import BeamTask

if TYPE_CHECKING:
    from robostack.evaluate.flight import Flight

PER_MM = 1e3
TBSAC_DONE_M = 0.5e-3


class BeamOrbit(BeamTask):
    """Attributes are tensors of the present machines and may be edited in place between steps:
    `currents_a` (num_envs, C), `start` (num_envs, 4) at the entrance, `target_m` (num_envs, R) with R readings, x and y
    of each BPM, `gain` (num_envs, C), `bpm_gain` and `bpm_stuck_m` (num_envs, R; NaN where a BPM lives)."""

    name = "beam_orbit"
    Config = BeamOrbitConfig
    presets: Mapping[str, BeamOrbitConfig] = {"tbsac": TBSAC}
    STATE = ("zero_m", "from_start", "per_ampere", "currents_a", "applied_a", "gain", "start", "target_m", "bpm_gain",
              "bpm_offset_m", "bpm_stuck_m", "probe_response_m", "offset_m")  # fmt: skip

    def __init__(self, config: BeamOrbitConfig | None = None, seed: int = 0) -> None:
        self.config = c = config or BeamOrbitConfig()
        self.lattice = load_lattice(c.lattice)
        self.line = line = Line.of(self.lattice, c.masked)
        self.num_envs, self.device = c.num_envs, torch.device(c.device)
        self.step_dt, self.max_episode_length = c.step_dt, c.steps
        self._magnets = [i for i, e in enumerate(self.lattice.elements) if isinstance(e, Solenoid | Quadrupole)]
        if not self._magnets:
            raise ContractError(
                f"lattice {self.lattice.name}: no solenoid and no quadrupole, so nothing bends an orbit"
            )
        self.channels = interface.channels(line, c, len(self._magnets))
        self.actions = (interface.action(line, c),)
        self.envelope = interface.envelope(line)
        self.features = interface.features(line, c)
        self.critic_channels = tuple(ch.name for ch in self.channels)
        self.parameters = interface.parameters(c)
        self._source: ParameterSource = lambda mask: {}
        self.layout = Layout(self.channels)
        n, readings, correctors = self.num_envs, len(line.readings), len(line.correctors)
        self.episode_length_buf = torch.zeros(n, dtype=torch.long, device=self.device)
        self._bpm_weights = self._weights("bpm_weights", len(line.bpms)).repeat_interleave(2)
        self._corrector_weights = self._weights("corrector_weights", correctors)
        self._limit = torch.tensor(line.current_max_a, device=self.device)
        zeros = lambda *shape: torch.zeros(n, *shape, device=self.device)  # noqa: E731
        self._places = sorted({*self._magnets, *self.lattice.bpms})
        self._bpms = [self._places.index(i) for i in line.bpms]
        places = len(self._places)
        self._pipe = torch.tensor([self.lattice.elements[i].aperture_m for i in self._places], device=self.device)
        self.zero_m, self.from_start = zeros(places, 2), zeros(places, 2, 4)
        self.per_ampere = zeros(places, 2, correctors)
        self.currents_a, self.applied_a, self.gain = zeros(correctors), zeros(correctors), zeros(correctors)
        self.start, self.target_m = zeros(4), zeros(readings)
        self.bpm_gain, self.bpm_offset_m, self.bpm_stuck_m = zeros(readings), zeros(readings), zeros(readings)
        self.probe_response_m, self.offset_m = zeros(readings), zeros(2 * len(self._magnets))
        self.nominal_m_a = self._nominal()
        self.probe_a = self._bounded_probe()
        self.machine = {
            "response_m_per_a": tuple(self.nominal_m_a[self._bpms].flatten().tolist()),
            "probe_a": tuple(self.probe_a.tolist()),
        }
        self._generator = torch.Generator(self.device)
        self.reset(seed)

    def _weights(self, field: str, count: int) -> Tensor:
        given = getattr(self.config, field) or (1.0,) * count
        if len(given) != count or min(given) < 0.0 or not sum(given) > 0.0:
            raise ContractError(f"{field} = {given}: needs {count} numbers, none negative and one positive at least")
        return torch.tensor(given, dtype=torch.float32, device=self.device)

    def _nominal(self) -> Tensor:
        """(P, 2, C) m/A of the design."""
        response = Machines(self.lattice, Errors.none(1, self.lattice)).response(self._places)
        return response.corrector[0][..., list(self.line.correctors)].to(self.device)

    def _bounded_probe(self) -> Tensor:
        """(C,) A: `probe_a` on every corrector, or less, so that no polarity makes the orbit leave by more than
        `probe_excursion_m`. A blind move of all correctors can trip a machine."""
        worst_m = self.nominal_m_a.abs().sum(-1).max().item() * (1.0 + self.config.gain_error) * self.config.probe_a
        share = min(1.0, self.config.probe_excursion_m / worst_m) if worst_m else 0.0
        return torch.full((len(self.line.correctors),), share * self.config.probe_a, device=self.device)

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
        self.restart(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        return self.observe(), {}

    def restart(self, mask: Tensor) -> None:
        """New machines for the environments in `mask` (num_envs,) bool. What is drawn does not depend on the mask."""
        c, n, correctors, readings = self.config, self.num_envs, len(self.line.correctors), len(self.line.readings)
        magnets = len(self._magnets)
        given = {name: values[:, None] for name, values in self._source(mask).items()}
        offset = given.get("magnet_offset_m", c.magnet_offset_m) * self._uniform(2 * magnets)
        entrance = c.entrance_offset_m * self._uniform(2)
        strength = 1.0 + given.get("optics_error", c.optics_error) * self._uniform(magnets)
        gain = 1.0 + given.get("gain_error", c.gain_error) * self._uniform(correctors)
        flipped = given.get("flipped_correctors")
        gain = gain * self._flips(correctors, c.flipped_correctors, c.all_flips, flipped)
        bpm_gain = (1.0 + c.bpm_scale_error * self._uniform(readings)) * self._flips(readings, c.flipped_bpms)
        bpm_offset, stuck = c.bpm_offset_m * self._uniform(readings), c.dead_reading_m * self._uniform(readings)
        dies = 0.5 + 0.5 * self._uniform(1) < c.dead_share
        which = self._uniform(readings // 2).argsort(1) == 0
        dead = (dies & which).repeat_interleave(2, 1)
        target = c.target_m * self._uniform(readings)
        errors = Errors.none(n, self.lattice, device=str(self.device))
        shifted, scaled = errors.offset_m.clone(), errors.strength.clone()
        shifted[:, self._magnets], scaled[:, self._magnets] = offset.unflatten(1, (magnets, 2)), strength
        rows = mask.nonzero()[:, 0]
        if len(rows) == 0:
            return
        pick = Errors(scaled[rows], shifted[rows], errors.tilt_rad[rows], errors.roll_rad[rows])
        response = self.response(pick)
        self.zero_m[rows], self.from_start[rows] = response.zero, response.start
        self.per_ampere[rows] = response.corrector[..., list(self.line.correctors)] * gain[rows, None, None]
        self.gain[rows], self.bpm_gain[rows], self.bpm_offset_m[rows] = gain[rows], bpm_gain[rows], bpm_offset[rows]
        self.bpm_stuck_m[rows] = torch.where(dead, stuck, torch.nan)[rows]
        self.start[rows] = torch.stack([entrance, torch.zeros_like(entrance)], -1).flatten(1)[rows]
        self.target_m[rows], self.offset_m[rows] = target[rows], offset[rows]
        self.applied_a[rows] = self.currents_a[rows] = 0.0
        before = self._read(self.orbit(self.currents_a, self.start))
        self.currents_a[rows] = self.probe_a
        after = self._read(self.orbit(self.currents_a, self.start))
        self.probe_response_m[rows] = (after - before)[rows]
        self.applied_a[rows] = self.probe_a
        self.episode_length_buf.masked_fill_(mask, 0)

    def response(self, errors: Errors) -> Response:
        """Of machines built with `errors`, at the exits of magnets and BPMs; another simulator's may take its place."""
        return Machines(self.lattice, errors).response(self._places)

    def _uniform(self, *shape: int) -> Tensor:
        return 2.0 * torch.rand(self.num_envs, *shape, generator=self._generator, device=self.device) - 1.0

    def _flips(self, count: int, most: int, all_of_them: bool = False, given: Tensor | None = None) -> Tensor:
        """(num_envs, count) of 1 and, in up to `most` places or in as many as are `given` (num_envs, 1), -1."""
        rank = self._uniform(count).argsort(1).argsort(1)
        how_many = ((0.5 + 0.5 * self._uniform(1)) * (most + 1)).long()
        if given is not None:
            how_many = given.round().long()
        elif all_of_them:
            how_many = torch.full_like(how_many, most)
        return torch.where(rank < how_many, -1.0, 1.0)

    def orbit(self, currents_a: Tensor, start: Tensor) -> Tensor:
        """(num_envs, C), (num_envs, 4) -> (num_envs, P, 2) m, the true orbit at the exits of magnets and BPMs."""
        steered = (self.per_ampere.flatten(1, 2) @ currents_a[..., None])[..., 0]
        moved = (self.from_start.flatten(1, 2) @ start[..., None])[..., 0]
        return self.zero_m + (steered + moved).unflatten(1, (-1, 2))

    def _read(self, orbit: Tensor) -> Tensor:
        """(num_envs, R) as the BPMs show it, with fresh noise."""
        noise = torch.randn(self.num_envs, len(self.line.readings), generator=self._generator, device=self.device)
        shown = orbit[:, self._bpms].flatten(1) * self.bpm_gain + self.bpm_offset_m
        shown = torch.where(self.bpm_stuck_m.isnan(), shown, self.bpm_stuck_m.nan_to_num())
        return shown + self.config.bpm_noise_m * noise

    def rms_m(self, orbit: Tensor, live: bool = True) -> Tensor:
        """(num_envs,) weighted RMS of the true orbit about its target, over the BPMs that live, or all."""
        weight = self._bpm_weights * (self.bpm_stuck_m.isnan() if live else 1.0)
        off = orbit[:, self._bpms].flatten(1) - self.target_m
        return ((off.square() * weight).sum(1) / weight.sum(-1).clamp(min=1e-6) + 1e-14).sqrt()

    def peak_m(self, orbit: Tensor) -> Tensor:
        """(num_envs,) furthest from the axis at the exit of a magnet or a BPM."""
        return (orbit.square().sum(-1) + 1e-14).sqrt().amax(1)

    def lost(self, orbit: Tensor) -> Tensor:
        """(num_envs,) bool: the beam's centre meets the pipe."""
        return ~(orbit.square().sum(-1) < self._pipe.square()).all(1)

    def observe(self) -> Obs:
        return self.sense(self.currents_a, self.applied_a, self.start)

    def sense(self, currents_a: Tensor, applied_a: Tensor, start: Tensor, orbit: Tensor | None = None) -> Obs:
        """Differentiable in all of them."""
        orbit = self.orbit(currents_a, start) if orbit is None else orbit
        true = orbit[:, self._bpms].flatten(1)
        probe = [self.probe_response_m] if self.config.probe_a else []
        alive = self.bpm_gain * self.bpm_stuck_m.isnan()
        parts = [self._read(orbit), currents_a, self.target_m, *probe, applied_a, true, self.gain, alive, self.offset_m]
        return Obs(torch.cat(parts, 1), self.layout)

    def advance(self, currents_a: Tensor, start: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Envelope and the supplies' limits, then drift: currents, what was applied, start, orbit."""
        most = self.config.step_max_a
        after = torch.minimum(torch.maximum(currents_a + action.clamp(-most, most), -self._limit), self._limit)
        if self.config.drift_m:
            walk = torch.randn(self.num_envs, 2, generator=self._generator, device=self.device) * self.config.drift_m
            start = start + torch.stack([walk, torch.zeros_like(walk)], -1).flatten(1)
        return after, after - currents_a, start, self.orbit(after, start)

    def reward_terms(self, orbit: Tensor, before: Tensor, applied_a: Tensor) -> dict[str, Tensor]:
        """Of the orbit after a step, and the one before it."""
        rms, c = self.rms_m(orbit), self.config.costs
        if self.config.reward == "tbsac":
            off, was = (o[:, self._bpms].flatten(1) - self.target_m for o in (orbit, before))
            trend = torch.where(off.abs() < was.abs(), 1.0, -4.0).mean(1)
            left = self.config.steps - self.episode_length_buf
            done = torch.where(rms < TBSAC_DONE_M, 50.0 + 3.0 * left, 0.0)
            return {"orbit": -PER_MM * rms, "trend": 0.4 * trend, "done": done}
        beyond = (self.peak_m(orbit) - c.free_excursion_m).clamp(min=0.0)
        outside = torch.sigmoid((rms / self.config.success_m - 0.9) / 0.1)
        travel = (self._corrector_weights * (applied_a.square() + 1e-6).sqrt()).mean(1)
        return {
            "orbit": -c.orbit * PER_MM * rms,
            "outside": -c.outside * outside,
            "excursion": -c.excursion * PER_MM * beyond,
            "travel": -c.travel * travel,
        }

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        before = self.orbit(self.currents_a, self.start)
        self.currents_a, self.applied_a, self.start, orbit = self.advance(self.currents_a, self.start, action)
        self.episode_length_buf += 1
        terms, rms = self.reward_terms(orbit, before, self.applied_a), self.rms_m(orbit)
        lost = self.lost(orbit)
        corrected = (rms < TBSAC_DONE_M) & ~lost if self.config.reward == "tbsac" else torch.zeros_like(lost)
        terminated = lost | corrected
        truncated = (self.episode_length_buf >= self.max_episode_length) & ~terminated
        final = self.sense(self.currents_a, self.applied_a, self.start, orbit)
        extras: dict[str, Any] = {
            "reward_terms": terms,
            "success": corrected | (truncated & (rms < self.config.success_m)),
            "final_obs": final,
            "rms_m": rms,
            "rms_all_m": self.rms_m(orbit, live=False),
            "peak_m": self.peak_m(orbit),
            "travel_a": self.applied_a.abs().sum(1),
        }
        reward, done = torch.stack([*terms.values()]).sum(0), terminated | truncated
        obs = final
        if done.any():
            self.restart(done)
            obs = Obs(torch.where(done[:, None], self.observe().flat, final.flat), self.layout)
        return obs, reward, terminated, truncated, extras

    def draw_parameters_from(self, source: ParameterSource) -> None:
        self._source = source

    def qualification(self) -> Sequence[Bar]:
        return orbit_bars()

    def scenarios(self) -> Sequence[Scenario]:
        from robostack_sim.beam.scenarios import scenarios

        return scenarios(self.config)

    def judge_flights(self, flights: Sequence[Flight]) -> list[dict[str, Any]]:
        from robostack_sim.beam.scenarios import judge_flights

        return judge_flights(flights, self.config.success_m)

    def judge_episodes(self, ends: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A dead BPM is not corrected by what it shows; the beam passes it all the same, so both are said."""
        figures = {"at the BPMs that live": "rms_m", "at all BPMs, dead ones too": "rms_all_m"}
        return [
            {
                "what": f"true orbit, RMS {where}, {rank} of machines",
                "value": PER_MM * float(np.nanquantile(ends[name], share)),
                "unit": "mm",
                "bar": None,
                "better": "lower",
            }
            for where, name in figures.items()
            for rank, share in (("half", 0.5), ("95 %", 0.95))
        ]

    def evaluation(self, num_envs: int) -> BeamOrbit:
        """As many steps as the orbit must be right within."""
        return type(self)(replace(self.config, num_envs=num_envs, steps=self.config.judged_steps))

    def unroll(self, horizon: int) -> BeamOrbitUnroll:
        if self.config.reward != "smooth":
            raise TypeError(f"reward = {self.config.reward!r} has no gradient; take smooth, or another algorithm")
        return BeamOrbitUnroll(self)

    def snapshot(self) -> Mapping[str, Tensor]:
        orbit = self.orbit(self.currents_a, self.start)
        return {
            "orbit": orbit[:, self._bpms].flatten(1),
            "corrector_current": self.currents_a,
            "rms": self.rms_m(orbit)[:, None],
            "peak_orbit": self.peak_m(orbit)[:, None],
        }

    def snapshot_units(self) -> Mapping[str, str]:
        return {"orbit": "m", "corrector_current": "A", "rms": "m", "peak_orbit": "m"}


class BeamOrbitUnroll(Unroll):
    """Machines whose beam is lost or whose episode is over are drawn anew at `begin` only."""

    def __init__(self, task: BeamOrbit) -> None:
        self.task = task
        self.restarted = torch.zeros(task.num_envs, dtype=torch.bool, device=task.device)
        self.success = torch.zeros_like(self.restarted)

    def begin(self) -> Obs:
        task = self.task
        over = task.episode_length_buf >= task.max_episode_length
        orbit = task.orbit(task.currents_a, task.start)
        lost = task.lost(orbit)
        self.restarted, self.success = over | lost, over & ~lost & (task.rms_m(orbit) < task.config.success_m)
        task.restart(self.restarted)
        self._currents, self._applied, self._start = task.currents_a, task.applied_a, task.start
        self._alive, self._count = torch.ones_like(self.restarted), 0
        return task.observe()

    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor]:
        task = self.task
        self._count += 1
        self._currents, self._applied, self._start, orbit = task.advance(self._currents, self._start, action)
        self._alive = self._alive & ~task.lost(orbit)
        terms = task.reward_terms(orbit, orbit, self._applied)
        obs = task.sense(self._currents, self._applied, self._start, orbit)
        return obs, torch.stack([*terms.values()]).sum(0), self._alive

    def commit(self) -> None:
        task = self.task
        task.currents_a, task.applied_a = self._currents.detach(), self._applied.detach()
        task.start = self._start.detach()
        task.episode_length_buf += self._count
