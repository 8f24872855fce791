"""A magnetised skin over five magnetometers, as AnySkin and ReSkin have it (Bhirangi et al. 2024, 2021).

A dipole over each taxel of a force field's pad goes with the gel; the magnetometers below feel all of them together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import warp as wp
from torch import Tensor

from robostack import warp_start
from robostack.lanes import as_lanes, num_threads
from robostack.recorded import current_stream
from robostack_sim.tactile.sensor.force_field import ForceField, Penalty
from robostack_sim.tactile.sensor.magnetic import magnetic_kernel

warp_start.start()


@dataclass(frozen=True)
class MagneticSkin:
    """Four magnetometers `spacing_m` from a fifth in the middle, along the pad's axes; distances and strengths are of
    the order of the real ones, and measured on none.

    `gap_m` is between magnetometers and gel; `remanence_t` the gel's, magnetised outwards. `noise_ut` is a reading's
    standard deviation, `drift_ut` that of a random walk after a second, `gain_std` that of the magnetometers' gains. A
    share `hysteresis` of each reading follows the field only with a time constant, as of a gel that creeps. A reading
    ends at `limit_ut`, before a tare; a share `dead` of the magnetometers read 0.
    """

    spacing_m: float = 0.007
    gap_m: float = 0.001
    remanence_t: float = 0.01
    noise_ut: float = 0.5
    drift_ut: float = 0.05
    gain_std: float = 0.0
    hysteresis: float = 0.0
    hysteresis_s: float = 1.0
    dead: float = 0.0
    limit_ut: float = 5.0e4

    def __post_init__(self) -> None:
        highest = {"gain_std": 0.5, "hysteresis": 1.0, "dead": 1.0}
        for name, value in vars(self).items():
            may_be_zero = name in ("noise_ut", "drift_ut", *highest)
            positive = value > 0.0 or (may_be_zero and value == 0.0)
            if not positive or math.isinf(value):
                raise ValueError(f"MagneticSkin: {name} = {value!r}: must be more than 0")
            if value > highest.get(name, math.inf):
                raise ValueError(f"MagneticSkin: {name} = {value!r}: must be at most {highest[name]}")


class AnySkin:
    """What the magnetometers under each pad of `field` read, every `dt` s.

    Each one's own numbers, drawn by `reset`, may be edited in place: `gain` and `alive` (num_envs, num_pads, 5, 1), of
    which the last is 0 or 1.
    """

    def __init__(self, field: ForceField, skin: MagneticSkin, dt: float, seed: int = 0) -> None:
        if isinstance(field.law, Penalty):
            raise ValueError("AnySkin: TacSL's law does not say how far the skin goes; use Bristle")
        self.force_field, self.skin, self.dt, self.device = field, skin, dt, field.device
        num_envs, num_pads = field.shape[:2]
        d = skin.spacing_m
        places = torch.tensor([[0.0, 0.0], [d, 0.0], [0.0, d], [-d, 0.0], [0.0, -d]], device=self.device)
        self.field_ut = torch.zeros(num_envs, num_pads, len(places), 3, device=self.device)
        self._drift, self._baseline, self._lagged, self._raw = (torch.zeros_like(self.field_ut) for _ in range(4))
        self.gain, self.alive = (torch.ones_like(self.field_ut[..., :1]) for _ in range(2))
        self._rested = torch.zeros(num_envs, 1, 1, 1, dtype=torch.bool, device=self.device)
        self._draw = torch.Generator(self.device).manual_seed(seed)
        thickness = field.law.thickness_m
        moment = skin.remanence_t / (4e-7 * math.pi) * thickness  # A m2 of each m2
        blocks = num_threads(field.pad.num_taxels, self.device)
        self._kept = (places, field.pad.taxels(self.device))
        self._launch = wp.launch(
            magnetic_kernel,
            (num_envs * num_pads, len(places)),
            [
                wp.from_torch(field.material.flatten(0, 1)), moment, skin.gap_m + 0.5 * thickness, blocks,
                wp.from_torch(places), as_lanes(self._kept[1]), as_lanes(field.forces),
                wp.from_torch(self.field_ut.flatten(0, 1)),
            ],
            device=wp.device_from_torch(self.device),
            record_cmd=True,
        )  # fmt: skip
        self.reset()

    def read(self) -> Tensor:
        """(num_envs, num_pads, 5, 3) uT along the pad's axes, of the field as its last `step` left it, less the
        baseline. Each call is `dt` later than the one before."""
        self._launch.launch(current_stream(self.device))
        skin, field_ut = self.skin, self.field_ut
        if skin.hysteresis:
            lagged = self._lagged + (1.0 - math.exp(-self.dt / skin.hysteresis_s)) * (field_ut - self._lagged)
            self._lagged = torch.where(self._rested, lagged, field_ut)  # a skin that has lain there for long
            self._rested.fill_(True)
            field_ut = field_ut + skin.hysteresis * (self._lagged - field_ut)
        self._drift += skin.drift_ut * math.sqrt(self.dt) * self._noise()
        self._raw = self.gain * field_ut + self._drift + skin.noise_ut * self._noise()
        self._raw = self.alive * self._raw.clamp(-skin.limit_ut, skin.limit_ut)
        return self._raw - self._baseline

    @property
    def valid(self) -> Tensor:
        """(num_envs, num_pads, 5) bool: the magnetometer lives, and its last reading was below the limit."""
        return (self.alive[..., 0] > 0.5) & (self._raw.abs() < self.skin.limit_ut).all(-1)

    def tare(self, readings: Tensor, env_ids: Tensor | slice = slice(None)) -> None:
        """From now on the readings of these environments (all by default) are relative to these, which `read` gave, or
        to the mean of several that it gave."""
        self._baseline[env_ids] += readings[env_ids]

    def reset(self, env_ids: Tensor | slice = slice(None)) -> None:
        """Other magnetometers in these environments (all by default), fresh: no drift, no lag, baseline 0."""
        self._drift[env_ids] = 0.0
        self._baseline[env_ids] = 0.0
        self._rested[env_ids] = False
        skin, shape = self.skin, self.gain[env_ids].shape
        if skin.gain_std:
            drawn = torch.randn(shape, generator=self._draw, device=self.device)
            self.gain[env_ids] = (1.0 + skin.gain_std * drawn).clamp(min=0.0)
        if skin.dead:
            chance = torch.rand(shape, generator=self._draw, device=self.device)
            self.alive[env_ids] = (chance >= skin.dead).float()

    def seed(self, seed: int) -> None:
        """What is drawn from now on is that of this seed."""
        self._draw.manual_seed(seed)

    def state_dict(self) -> dict[str, Tensor]:
        """What the readings to come depend on; all but the generator's state alias internal buffers."""
        return {
            "drift": self._drift, "baseline": self._baseline, "lagged": self._lagged, "rested": self._rested,
            "gain": self.gain, "alive": self.alive, "draw": self._draw.get_state(),
        }  # fmt: skip

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self._draw.set_state(kept["draw"])
        for name, value in self.state_dict().items():
            value.copy_(kept[name])

    def _noise(self) -> Tensor:
        return torch.randn(self.field_ut.shape, generator=self._draw, device=self.device)
