"""What both manipulations have that can be set: how many, how the peg is gripped, how long, and how well things are
known."""

from __future__ import annotations

from dataclasses import dataclass, field

from robostack.spec import ContractError
from robostack_sim.physics import Physics
from robostack_sim.tactile.gripper import Bushing, Grasp, Impedance
from robostack_sim.tactile.sensor.anyskin import MagneticSkin
from robostack_sim.tactile.sensor.readings import SensorModel

TAXELS = SensorModel(noise=0.005, gain_std=0.1, drift=0.002, hysteresis=0.1, dead=0.01, limit=2.0)


@dataclass(frozen=True)
class ManipulationConfig:
    """Every episode is another grip, another pair of sensors and another place. Numbers of TacSL's tasks (Akinola et
    al. 2024) where they have them; `_rad`, `_m` are half-widths of uniform distributions unless said otherwise."""

    num_envs: int = 256
    device: str = "cpu"
    threads: int = 0
    """that step the physics; 0: one a core. Results do not depend on it"""
    physics: Physics = field(default_factory=Physics)
    """other than the model's own, for a policy to be tried in"""
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
    sensor: SensorModel = TAXELS
    skin: MagneticSkin = field(default_factory=MagneticSkin)
    arm: Impedance = field(default_factory=Impedance)
    bushing: Bushing = field(default_factory=Bushing)

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
