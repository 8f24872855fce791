"""A hole for a peg, of convex pieces: MuJoCo makes whatever it is given convex, so a hole is what walls leave free.

Each wall is a wedge of the ring, in the frame of the wall at +x (z up, from the table):

      h |        .-------.        h depth, c chamfer, a apothem, w wall; the wedge widens with x as a sector does,
    h-c |      .'        |        so walls meet without a gap and without one reaching into the hole.
      0 '------'---------'--- x
             a  a+c     a+w
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Socket:
    """A hole of `sides` flat walls with one towards +x, through a ring that stands on the table. Eight are exact for an
    octagonal peg; for a round one the hole is the circle inside them, and at sixteen the corners lie 2 % outside it."""

    apothem_m: float
    """from the middle to each wall: the peg's and half of the clearance"""
    sides: int
    depth_m: float
    """the table is its floor"""
    chamfer_m: float = 0.0
    """at 45 degrees, around the mouth"""
    wall_m: float = 0.015

    @property
    def mesh(self) -> str:
        a, h, c = self.apothem_m, self.depth_m, self.chamfer_m
        outline = {(a, 0.0), (a, h - c), (a + c, h), (a + self.wall_m, h), (a + self.wall_m, 0.0)}
        half = math.tan(math.pi / self.sides)
        wedge = [(x, y * half * x, z) for x, z in sorted(outline) for y in (-1.0, 1.0)]
        return f'<mesh name="wall" vertex="{vertices(np.array(wedge))}"/>'

    @property
    def body(self) -> str:
        """As MuJoCo's; where it stands is an environment's own, `mocap_pos`."""
        walls = "".join(
            f'<geom type="mesh" mesh="wall" euler="0 0 {2.0 * math.pi * k / self.sides}" contype="1" conaffinity="0"/>'
            for k in range(self.sides)
        )
        return f'<body name="socket" mocap="true">{walls}</body>'


def octagon(apothem_m: float, height_m: float) -> Array:
    """(8, 3) m: corners of a regular one about the z axis, with a side towards +x."""
    angle = math.pi * (np.arange(8) + 0.5) / 4.0
    around = apothem_m / math.cos(math.pi / 8.0) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.column_stack([around, np.full(8, height_m)])


def vertices(points_m: Array) -> str:
    """(n, 3) m, as MuJoCo reads them."""
    return " ".join(f"{v:.9g}" for v in points_m.ravel())
