"""Everything about the placement task that can be set; the command line is made from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from robostack.spec import ContractError
from robostack_sim.tactile.gripper import Bushing, Grasp, Impedance
from robostack_sim.tactile.sensor.anyskin import MagneticSkin
from robostack_sim.tactile.sensor.readings import SensorModel

TAXELS = SensorModel(noise=0.005, gain_std=0.1, drift=0.002, hysteresis=0.1, dead=0.01, limit=2.0)


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
class PlacementConfig:
    """What an episode may look like; every one is another grip, another pair of sensors and another place. Numbers of
    TacSL's task (Akinola et al. 2024) where it has them; `_rad`, `_m` are half-widths of uniform distributions unless
    said otherwise."""

    num_envs: int = 256
    device: str = "cpu"
    threads: int = 0
    """that step the physics; 0: one a core. Results do not depend on it"""
    grasp: Grasp = "bushing"
    """bushing: the peg hangs in springs where it was gripped; contact: it is held by friction"""
    image: bool = False
    """the pads' images are a channel too"""
    steps: int = 80
    """of an episode, at 60 Hz"""
    tilt_rad: float = 0.628
    """of the peg in the grip, about the pads' normal"""
    along_m: float = 0.0125
    """of the peg's middle along its axis, about 10 mm below the gripper's"""
    squeeze_n: tuple[float, float] = (10.0, 20.0)
    """lowest and highest force on each pad"""
    stiffness_share: float = 0.3
    """of each gel, relative"""
    place_error_m: float = 0.005
    """of the place that is told, in x and y"""
    position_noise_m: float = 0.0005
    """standard deviation of the arm's measured position"""
    turn_noise_rad: float = 0.005
    """of its measured rotation"""
    shift_max_m: float = 0.01
    """that the arm's target moves in a step, each axis"""
    turn_max_rad: float = 0.05
    upright_rad: float = math.radians(15.0)
    """a peg that stands leans less; TacSL's"""
    centred_m: float = 0.012
    """and is no further from its place: 0.6 of its diameter; TacSL's"""
    standing_m: float = 0.003
    """and its lowest point is no higher above the table"""
    sensor: SensorModel = TAXELS
    skin: MagneticSkin = field(default_factory=MagneticSkin)
    arm: Impedance = field(default_factory=Impedance)
    bushing: Bushing = field(default_factory=Bushing)
    costs: Costs = Costs()

    def stands(self, tilt_rad: Any, off_centre_m: Any, gap_m: Any) -> Any:
        """Whether pegs stand right, of arrays or tensors of one shape: bool."""
        return (tilt_rad < self.upright_rad) & (off_centre_m < self.centred_m) & (gap_m < self.standing_m)

    def __post_init__(self) -> None:
        if self.device != "cpu":
            raise ContractError(f"device = {self.device!r}: MuJoCo's batches run on the CPU; leave it out")
        if not 0.0 <= self.tilt_rad <= 1.0:
            raise ContractError(f"tilt_rad = {self.tilt_rad}: must lie in [0, 1]: a wrist turns no further")
        if not 0.0 <= self.along_m <= 0.0125:
            raise ContractError(f"along_m = {self.along_m}: must lie in [0, 0.0125], where pads reach it")
        if not 0.0 < self.squeeze_n[0] <= self.squeeze_n[1]:
            raise ContractError(f"squeeze_n = {self.squeeze_n}: needs two rising positive forces")
        if not 0.0 <= self.stiffness_share < 1.0:
            raise ContractError(f"stiffness_share = {self.stiffness_share}: must lie in [0, 1)")
        if self.num_envs < 1 or self.steps < 1 or self.threads < 0:
            raise ContractError("num_envs and steps are at least 1, threads is not negative")
