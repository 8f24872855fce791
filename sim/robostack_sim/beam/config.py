"""Everything about the orbit-correction task that can be set; the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robostack.spec import ContractError


@dataclass(frozen=True)
class Costs:
    """Weights of the smooth reward, which is minus their sum."""

    orbit: float = 1.0
    """of the weighted RMS, in mm"""
    outside: float = 1.0
    """of how surely the RMS is above `success_m`"""
    excursion: float = 0.2
    """a mm of peak orbit beyond `free_excursion_m`"""
    travel: float = 0.01
    """an ampere of corrector travel, mean over the correctors"""
    free_excursion_m: float = 8e-3


@dataclass(frozen=True)
class BeamOrbitConfig:
    """What an episode may look like. `_m`, `_a` are half-widths of uniform distributions unless said otherwise; every
    episode is another machine."""

    num_envs: int = 384
    device: str = "cpu"
    lattice: str = "cafe2_cm1"
    """a shipped name or the path of a TOML file"""
    masked: tuple[str, ...] = ()
    """BPMs and correctors that are not in the contract, by name: bpm_2, solenoid_1_h"""
    bpm_weights: tuple[float, ...] = ()
    """of each BPM that is read in orbit and success; () is 1 for all"""
    corrector_weights: tuple[float, ...] = ()
    """cost of each corrector's travel; () is 1 for all"""
    step_dt: float = 1.0
    """s: set, settle, read"""
    steps: int = 30
    """of an episode, long enough to learn to hold what was reached"""
    judged_steps: int = 8
    """of an evaluation's episode: within them the orbit must be right"""
    step_max_a: float = 3.0
    """what a corrector may move at once"""
    success_m: float = 1e-3
    """RMS of the orbit about its target"""
    magnet_offset_m: float = 3e-3
    """of each solenoid and quadrupole, in both planes"""
    entrance_offset_m: float = 0.6e-3
    """TBSAC: a fifth of the magnets'"""
    optics_error: float = 0.2
    """of each magnet's field, relative"""
    gain_error: float = 0.3
    """of each corrector, relative"""
    flipped_correctors: int = 2
    """up to so many have the wrong polarity"""
    all_flips: bool = False
    """so many in every episode, rather than up to"""
    bpm_noise_m: float = 1e-4
    """standard deviation of a reading"""
    bpm_offset_m: float = 0.0
    bpm_scale_error: float = 0.0
    flipped_bpms: int = 0
    """up to so many planes of BPMs have the wrong polarity"""
    dead_share: float = 0.25
    """of episodes, in which one BPM sticks at what it happens to show"""
    dead_reading_m: float = 3e-3
    drift_m: float = 3e-5
    """standard deviation of the beam's walk at the entrance, each step and plane"""
    target_m: float = 1e-3
    """golden orbit, each BPM and plane; 0: through the middle"""
    probe_a: float = 0.0
    """moves all correctors at once when an episode starts, and keeps what it did in `probe_response`; 0: no probe"""
    probe_excursion_m: float = 4e-3
    """the probe is made smaller until its predicted excursion, whatever the polarities, is within this"""
    reward: Literal["smooth", "tbsac"] = "smooth"
    """smooth has gradients; tbsac ends an episode once the RMS is below 0.5 mm"""
    costs: Costs = Costs()

    def __post_init__(self) -> None:
        if not 1 <= self.judged_steps <= self.steps:
            raise ContractError(f"judged_steps = {self.judged_steps}: must lie in [1, steps = {self.steps}]")
        for name in ("step_dt", "step_max_a", "success_m"):
            if not getattr(self, name) > 0.0:
                raise ContractError(f"{name} = {getattr(self, name)}: must be positive")
        if not 0.0 <= self.dead_share <= 1.0:
            raise ContractError(f"dead_share = {self.dead_share}: must lie in [0, 1]")


TBSAC = BeamOrbitConfig(
    optics_error=0.0,
    gain_error=0.0,
    flipped_correctors=0,
    bpm_noise_m=0.0,
    dead_share=0.0,
    drift_m=0.0,
    target_m=0.0,
    steps=50,
    judged_steps=10,
    step_max_a=1.0,
    probe_a=0.3,
    probe_excursion_m=1.0,
    reward="tbsac",
)
"""the reference: offsets alone, a probe of 0.3 on every corrector however far it takes the beam, at most 50 steps"""
