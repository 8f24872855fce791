"""An indenter on a pad, for the tests here. Pads lie in the world as their own frames do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from robostack_sim.tactile.sensor.force_field import ForceField, Law
from robostack_sim.tactile.sensor.mesh import Mesh
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Indenters, Solid

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
LYING = (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0)  # a solid's axis along the pad's y


def about(axis: Sequence[float], angle_rad: float) -> tuple[float, float, float, float]:
    """quat_wxyz"""
    s = math.sin(0.5 * angle_rad)
    return (math.cos(0.5 * angle_rad), *(s * a for a in axis))  # type: ignore[return-value]


def times(a: Sequence[float], b: Sequence[float]) -> tuple[float, ...]:
    """Product of two quat_wxyz."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


class Press:
    """`num_envs` pads, one each, and the same solid above all of them."""

    def __init__(self, solid: Solid | Mesh, law: Law, pad: Pad | None = None, num_envs: int = 1) -> None:
        self.grip = Grip(num_envs, num_pads=1)
        self.indenters = Indenters([solid], num_envs)
        self.field = ForceField(pad or Pad(), self.grip, self.indenters, law)
        self.num_envs = num_envs

    def __call__(
        self,
        position_m: Sequence[float],
        quat_wxyz: Sequence[float] = UPRIGHT,
        velocity_m_s: Sequence[float] = (0.0, 0.0, 0.0),
        spin_rad_s: Sequence[float] = (0.0, 0.0, 0.0),
        load_n: Sequence[float] | None = None,
    ) -> Tensor:
        """(num_envs, 3, rows, columns), a copy: shear x, shear y, pressing."""
        n = self.num_envs
        pads = torch.tensor([0.0, 0.0, 0.0, *UPRIGHT]).expand(n, 1, 7)
        pose = torch.tensor([*position_m, *quat_wxyz]).expand(n, 7)
        twist = torch.tensor([*velocity_m_s, *spin_rad_s]).expand(n, 6)
        self.grip.update(pads, pose, None, twist)
        load = None if load_n is None else torch.tensor(load_n).expand(n, 1, 3)
        return self.field.step(load)[:, 0].clone()
