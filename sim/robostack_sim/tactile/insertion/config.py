"""Everything about the insertion task that can be set; the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from robostack.spec import ContractError
from robostack_sim.tactile.config import ManipulationConfig
from robostack_sim.tactile.gripper import Peg, PegShape, PressedBushing
from robostack_sim.tactile.socket import Socket


@dataclass(frozen=True)
class Costs:
    """Weights of the reward, which is `inserted` less all others, each about 1 where an episode begins."""

    centre: float = 1.0
    """of the distance of the peg's foot from the hole's middle, in tenths of a metre"""
    near: float = 0.5
    """of the same within a centimetre, in centimetres"""
    upright: float = 1.0
    """of the tilt, in half radians"""
    height: float = 1.0
    """of the foot's height above the table, in tenths of a metre"""
    inserted: float = 2.0
    """of how far the foot is in the hole, as a share of its depth"""
    press: float = 0.3
    """of what the peg is pushed along its axis beyond `free_n`, in tens of newtons"""
    free_n: float = 4.0
    effort: float = 0.5
    """of the mean square of the action, as a share of its limits: an expert that trembles cannot be imitated"""


@dataclass(frozen=True)
class InsertionConfig(ManipulationConfig):
    """What an episode may look like, which hole it is, and which peg is in it at its end."""

    steps: int = 120
    peg: PegShape = "round"
    """20 mm in diameter or across flats"""
    clearance_m: float = 0.005
    """by how much the hole is wider than the peg; that of TacSL's real one"""
    chamfer_m: float = 0.0
    """at 45 degrees, around the mouth"""
    round_sides: int = 16
    """flat walls of a round hole, all of which touch the circle that is `clearance_m` wider than the peg"""
    depth_m: float = 0.015
    """of the hole: a pad as low as it can come just clears it"""
    inserted_m: float = 0.012
    """how deep the middle of a peg's foot is at least, that is in"""
    keypoints_m: float = 0.0045
    """TacSL's own measure, reported beside it: mean distance of points on the peg's axis from where they belong"""
    bushing: PressedBushing = field(default_factory=PressedBushing)
    costs: Costs = Costs()

    @property
    def socket(self) -> Socket:
        sides = 8 if self.peg == "octagonal" else self.round_sides
        return Socket(Peg().radius_m + 0.5 * self.clearance_m, sides, self.depth_m, self.chamfer_m)

    def is_in(self, foot_m: Any, off_centre_m: Any) -> Any:
        """Whether pegs are in, of arrays or tensors of one shape: height of the middle of their feet above the hole's
        floor, and its distance from the hole's axis: bool."""
        return (foot_m < self.depth_m - self.inserted_m) & (off_centre_m < self.socket.apothem_m)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0002 <= self.clearance_m <= 0.02:
            raise ContractError(f"clearance_m = {self.clearance_m}: must lie in [0.0002, 0.02]")
        if not 0.0 < self.inserted_m < self.depth_m <= 0.015:
            what = f"inserted_m = {self.inserted_m}, depth_m = {self.depth_m}"
            raise ContractError(f"{what}: must be positive, rising, and at most 0.015, or pads reach the socket")
        if not 0.0 <= self.chamfer_m <= 0.8 * self.depth_m:
            raise ContractError(f"chamfer_m = {self.chamfer_m}: must lie in [0, {0.8 * self.depth_m:g}]")
        if not 6 <= self.round_sides <= 64:
            raise ContractError(f"round_sides = {self.round_sides}: must lie in [6, 64]")
