"""The force on every taxel of a gripper's pads: two of shear and one of pressing, batched over environments."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from robostack import warp_start
from robostack.lanes import as_lanes, columns, num_threads, stored
from robostack.recorded import current_stream
from robostack_sim.tactile.sensor.bristle import bristle_kernel
from robostack_sim.tactile.sensor.heights import DEEPEST_M, heights_kernel
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.penalty import penalty_kernel
from robostack_sim.tactile.sensor.solids import Indenters

warp_start.start()


@dataclass(frozen=True)
class Penalty:
    """TacSL's law (see `penalty.py`) with the constants of its code: forces without a unit."""

    normal: float = 1.0
    shear: float = 0.1
    friction: float = 2.0

    def __post_init__(self) -> None:
        _check_law(self)


@dataclass(frozen=True)
class Bristle:
    """An elastic foundation with memory (see `bristle.py`): forces in N.

    `normal_n_m3` and `shear_n_m3` are the pressure that a metre of indentation and of shear would make: Young's modulus
    and shear modulus over the gel's thickness (0.2 MPa, incompressible, over 2 mm).
    """

    normal_n_m3: float = 1.0e8
    shear_n_m3: float = 3.3e7
    friction: float = 1.0
    thickness_m: float = 0.002

    def __post_init__(self) -> None:
        _check_law(self)


Law = Penalty | Bristle


def _check_law(law: Any) -> None:
    for name, value in vars(law).items():
        if not 0.0 < value < math.inf:
            raise ValueError(f"{type(law).__name__}: {name} = {value!r}: must be more than 0")


class ForceField:
    """What the taxels of `grip`'s pads feel of `indenters`, by `law`.

    `step` returns (num_envs, num_pads, 3, rows, columns): the force of the indenter on each taxel along the pad's x,
    along its y, and into the pad (positive when pressed). It aliases a buffer until the next step, and the bristles
    remember by it who was touched: not to be written to.

    `material` (num_envs, num_pads, 3) holds the law's first three numbers and may be edited in place. With `Bristle`,
    `step(load)` makes the field carry `load` (num_envs, num_pads, 3), N, which `Grip.load` makes of a contact solver's
    force: what it cannot carry is in `missing` (num_envs, num_pads, 3): all of it where no taxel is near the
    indenter, and the shear that the friction cone does not allow. `level_m` (num_envs, num_pads) is how much closer
    than its pose says the indenter had to come.
    """

    def __init__(self, pad: Pad, grip: Grip, indenters: Indenters, law: Law | None = None) -> None:
        if indenters.num_envs != grip.num_envs:
            raise ValueError(f"ForceField: {grip.num_envs} grips, but {indenters.num_envs} indenters: one each")
        self.pad, self.grip, self.indenters, self.law = pad, grip, indenters, law or Bristle()
        num_envs, num_pads, self.device = grip.num_envs, grip.num_pads, grip.device
        self.shape = (num_envs, num_pads, 3, pad.rows, pad.columns)
        numbers = torch.tensor(astuple(self.law)[:3], device=self.device)
        self.material = numbers.repeat(num_envs, num_pads, 1)
        self.missing = torch.zeros(num_envs, num_pads, 3, device=self.device)
        self.level_m = torch.zeros(num_envs, num_pads, device=self.device)
        self._load = torch.zeros(num_envs, num_pads, 3, device=self.device)
        self._taxels = pad.taxels(self.device)
        rows = num_envs * num_pads
        self.forces, self._anchors = (columns(pad.num_taxels, 3 * rows, self.device) for _ in range(2))
        self._heights = columns(pad.num_taxels, rows, self.device)
        self._blocks = num_threads(pad.num_taxels, self.device)
        self._launches = {loaded: self._record(loaded) for loaded in (False, True)}
        self._seen, self._tips = (as_rows(t, self.shape) for t in (self.forces, self._anchors))

    def _record(self, loaded: bool) -> list[Any]:
        per_pad = [wp.from_torch(t.flatten(0, 1)) for t in (self.grip.relative, self.material)]
        taxels, field = as_lanes(self._taxels), as_lanes(self.forces)
        pads = self.forces.shape[1] // 3
        where: dict[str, Any] = {"device": wp.device_from_torch(self.device), "record_cmd": True}
        both = (pads, self._blocks)
        if isinstance(self.law, Penalty):
            arguments = [*self.indenters.arrays(), *per_pad, taxels, field]
            return [wp.launch(penalty_kernel, both, arguments, **where)]
        reach, heights = self.law.thickness_m, as_lanes(self._heights)
        looked = [*self.indenters.arrays(), per_pad[0], DEEPEST_M, reach, taxels, heights]
        loads, missing = (wp.from_torch(t.flatten(0, 1)) for t in (self._load, self.missing))
        levels = wp.from_torch(self.level_m.flatten())
        arguments = [*per_pad, loads, int(loaded), reach, self._blocks, taxels, heights]
        arguments += [as_lanes(self._anchors), field, missing, levels]
        return [wp.launch(heights_kernel, both, looked, **where), wp.launch(bristle_kernel, pads, arguments, **where)]

    def step(self, load: Tensor | None = None) -> Tensor:
        """The field now, see the class. Raises ValueError for a load of another shape, or under TacSL's law."""
        if load is not None:
            if isinstance(self.law, Penalty):
                raise ValueError("step: TacSL's law takes no load; use Bristle")
            if load.shape != self._load.shape:
                raise ValueError(f"step: load is {tuple(load.shape)}, must be {tuple(self._load.shape)}")
            self._load.copy_(load)
        for launch in self._launches[load is not None]:
            launch.launch(current_stream(self.device))
        return self._seen

    @property
    def displacement_m(self) -> Tensor:
        """In the field's shape: how far the skin over each taxel has gone along the pad's x, along its y, and inwards.
        Raises ValueError under TacSL's law, which knows none."""
        if isinstance(self.law, Penalty):
            raise ValueError("displacement_m: TacSL's law has no stiffness in N/m; use Bristle")
        per_area = self.material[..., [1, 1, 0]] * self.pad.pitch_m**2
        return self._seen / per_area[..., None, None]

    def reset(self, env_ids: Tensor | slice = slice(None)) -> None:
        """Forgets what the taxels of these environments (all by default) were sheared by."""
        self._seen[env_ids] = 0.0
        self._tips[env_ids] = 0.0  # that are no numbers, perhaps

    def state_dict(self) -> dict[str, Tensor]:
        """What its taxels remember, and of which material they are; they alias internal buffers."""
        return {"forces": self.forces, "anchors": self._anchors, "material": self.material}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        for name, value in self.state_dict().items():
            value.copy_(kept[name])


def as_rows(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What `lanes.columns` stores as rows of places, seen as (..., rows, columns)."""
    *ahead, rows, wide = shape
    return stored(tensor)[:, : rows * wide].unflatten(1, (rows, wide)).unflatten(0, ahead)
