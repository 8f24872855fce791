"""Everything about the avatar task that can be set; the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from robostack.spec import ContractError
from robostack_sim.physics import Physics


@dataclass(frozen=True)
class AvatarConfig:
    """What an episode may look like: a stretch of a motion, from anywhere in it on."""

    num_envs: int = 256
    device: str = "cpu"
    character: str = "human"
    """one of ours, or a folder of yours with a character.toml"""
    clips: tuple[str, ...] = ("punch",)
    """recorded motions: files, folders, or punch, which comes along; of a folder what keeps its feet where they are"""
    without: tuple[str, ...] = ()
    """recordings, by name, that are left out: those to judge by"""
    synthetic: int = 48
    """made-up motions of ten seconds beside them"""
    mirror: bool = True
    """recordings and their mirror images"""
    seconds: float = 5.0
    """of an episode at most; it ends with the motion, too"""
    kinematic: bool = True
    """drives follow the pose that inverse kinematics makes of head and hands, and the policy adds to it; without, they
    follow rest, and the policy does it all"""
    offset_rad: float = 0.8
    """that the policy may add to each drive's angle; without kinematics twice as much"""
    push_m_s: float = 0.35
    """pushes at the chest change the body's speed by up to this, for a tenth of a second every two"""
    latency_s: tuple[float, float] = (0.0, 0.034)
    """of the trackers, an episode's own, in whole control periods"""
    jitter: float = 0.05
    """share of samples that come a period later still"""
    tracker_noise_m: float = 1e-3
    """standard deviation"""
    gaps_per_s: float = 0.1
    """of each hand's tracker, which then stays where it was"""
    gap_s: tuple[float, float] = (0.05, 0.5)
    threads: int = 1
    """that step the physics"""
    physics: Physics = field(default_factory=Physics)
    """other than the character's own, for a policy to be tried in"""

    def __post_init__(self) -> None:
        for name in ("seconds", "offset_rad"):
            if not getattr(self, name) > 0.0:
                raise ContractError(f"{name} = {getattr(self, name)}: must be positive")
        for name in ("latency_s", "gap_s"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high:
                raise ContractError(f"{name} = {low}, {high}: two rising times, none negative")
        if self.synthetic < 0 or self.threads < 1 or self.push_m_s < 0.0 or not 0.0 <= self.jitter <= 1.0:
            raise ContractError("synthetic and push_m_s must not be negative, threads at least 1, jitter a share")
