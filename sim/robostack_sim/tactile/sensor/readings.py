"""From a force on a taxel to what its sensor says: gain, lag, drift, noise, limit, dead and stuck taxels; and tare."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import warp as wp
from torch import Tensor

from robostack import warp_start
from robostack.lanes import as_lanes, columns, num_threads
from robostack.recorded import current_stream
from robostack_sim.tactile.sensor.force_field import ForceField, as_rows
from robostack_sim.tactile.sensor.sensing import sensing_kernel

warp_start.start()


@dataclass(frozen=True)
class SensorModel:
    """Zero is ideal. Forces in the unit of the field's law, N for `Bristle`.

    Hysteresis is that of a gel which creeps: a share of each reading follows the force only with a time constant, so
    that loading reads less than unloading. Drift is a random walk of each channel, `drift` its standard deviation after
    a second. A dead taxel reads 0, a stuck one its limit, whatever happens.
    """

    noise: float = 0.0
    gain_std: float = 0.0
    drift: float = 0.0
    hysteresis: float = 0.0
    hysteresis_s: float = 1.0
    dead: float = 0.0
    stuck: float = 0.0
    limit: float = math.inf

    def __post_init__(self) -> None:
        highest = {"gain_std": 0.5, "hysteresis": 1.0, "dead": 1.0, "stuck": 1.0}
        for name, value in vars(self).items():
            low_ok = value > 0.0 if name in ("hysteresis_s", "limit") else value >= 0.0
            if not (low_ok and value <= highest.get(name, math.inf)):
                raise ValueError(f"SensorModel: {name} = {value!r}: out of range, see its docstring")
        if self.stuck and math.isinf(self.limit):
            raise ValueError("SensorModel: stuck taxels read the limit, and limit is not given")


class Readings:
    """What the sensors of `field`'s pads say, read every `dt` s.

    Each taxel's own numbers, drawn by `reset`, may be edited in place: `gain`, `alive` and `stuck` (num_envs, num_pads,
    rows, columns), of which the last two are 0 or 1.
    """

    def __init__(self, field: ForceField, model: SensorModel, dt: float, seed: int = 0) -> None:
        self.field, self.model, self.dt, self.device = field, model, dt, field.device
        num_envs, num_pads, _, *taxels = self.shape = field.shape
        places, rows = field.pad.num_taxels, 3 * num_envs * num_pads
        self._taxels, self._lagged, self._drift, self._baseline, self._readings = (
            columns(places, rows, self.device) for _ in range(5)
        )
        numbers = as_rows(self._taxels, (num_envs, num_pads, 3, *taxels))
        self.gain, self.alive, self.stuck = numbers.unbind(2)
        self._kept = [as_rows(t, self.shape) for t in (self._lagged, self._drift, self._baseline)]
        self._out = as_rows(self._readings, self.shape)
        self._seed = torch.tensor([seed, 0], dtype=torch.int32, device=self.device)
        self._draw = torch.Generator(self.device).manual_seed(seed)
        share = 1.0 - math.exp(-dt / model.hysteresis_s)
        limit = min(model.limit, 3.0e38)  # infinity times a stuck taxel's 0 is no number
        constants = [model.noise, model.drift * math.sqrt(dt), model.hysteresis, share, limit]
        arrays = (self._taxels, field.forces, self._lagged, self._drift, self._baseline, self._readings)
        self._launch = wp.launch(
            sensing_kernel,
            (rows, num_threads(places, self.device)),
            [wp.from_torch(self._seed), *constants, *map(as_lanes, arrays)],
            device=wp.device_from_torch(self.device),
            record_cmd=True,
        )
        self.reset()

    def read(self) -> Tensor:
        """Readings of the field as its last `step` left it, in its shape; they alias a buffer until the next `read`.
        Each call is `dt` later than the one before."""
        self._seed[1] += 1
        self._launch.launch(current_stream(self.device))
        return self._out

    def tare(self, env_ids: Tensor | slice = slice(None)) -> None:
        """From now on the readings of these environments (all by default) are relative to their last ones. A taxel that
        was at its limit then has lost that much of its range."""
        self._kept[2][env_ids] += self._out[env_ids]
        self._out[env_ids] = 0.0

    def reset(self, env_ids: Tensor | slice = slice(None)) -> None:
        """Other sensors in these environments (all by default), fresh: no drift, nothing that lags, baseline 0."""
        for kept in (*self._kept, self._out):
            kept[env_ids] = 0.0
        shape = self.gain[env_ids].shape
        chance = torch.rand(shape, generator=self._draw, device=self.device)
        gains = 1.0 + self.model.gain_std * torch.randn(shape, generator=self._draw, device=self.device)
        dead, stuck = chance < self.model.dead, chance > 1.0 - self.model.stuck
        self.gain[env_ids] = gains.clamp(min=0.0)
        self.alive[env_ids] = (~dead & ~stuck).float()
        self.stuck[env_ids] = (stuck & ~dead).float()

    def seed(self, seed: int) -> None:
        """What is drawn from now on is that of this seed."""
        self._seed.copy_(torch.tensor([seed, 0]))
        self._draw.manual_seed(seed)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that the readings to come depend on; all but the generator's state alias internal buffers."""
        names = ("_taxels", "_lagged", "_drift", "_baseline", "_readings", "_seed")
        return {**{n.strip("_"): getattr(self, n) for n in names}, "draw": self._draw.get_state()}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        self._draw.set_state(kept["draw"])
        for name, value in self.state_dict().items():
            value.copy_(kept[name])

    @property
    def valid(self) -> Tensor:
        """(num_envs, num_pads, rows, columns) bool: the taxel lives, and its last reading was below its limit."""
        raw = self._out + self._kept[2]
        return (self.alive > 0.5) & (raw.abs() < self.model.limit).all(2)
