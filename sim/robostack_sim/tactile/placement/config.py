"""Everything about the placement task that can be set; the command line is made from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from robostack_sim.tactile.config import ManipulationConfig


@dataclass(frozen=True)
class Costs:
    """Weights of the reward, which is `placed` less all others, each about 1 where an episode begins."""

    centre: float = 1.0
    """of the distance from the place, in tenths of a metre"""
    upright: float = 1.0
    """of the tilt, in half radians"""
    height: float = 1.0
    """of the height above the table, in tenths of a metre"""
    placed: float = 2.0
    """of how surely the peg stands right"""
    press: float = 0.3
    """of what the peg is pushed along its axis beyond `free_n`, in tens of newtons"""
    free_n: float = 4.0
    effort: float = 0.5
    """of the mean square of the action, as a share of its limits: an expert that trembles cannot be imitated"""


@dataclass(frozen=True)
class PlacementConfig(ManipulationConfig):
    """What an episode may look like, and which peg stands right at its end."""

    upright_rad: float = math.radians(15.0)
    """a peg that stands leans less; TacSL's"""
    centred_m: float = 0.012
    """and is no further from its place: 0.6 of its diameter; TacSL's"""
    standing_m: float = 0.003
    """and its lowest point is no higher above the table"""
    costs: Costs = Costs()

    def stands(self, tilt_rad: Any, off_centre_m: Any, gap_m: Any) -> Any:
        """Whether pegs stand right, of arrays or tensors of one shape: bool."""
        return (tilt_rad < self.upright_rad) & (off_centre_m < self.centred_m) & (gap_m < self.standing_m)
