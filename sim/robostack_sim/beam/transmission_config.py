"""Everything about the transmission task that can be set; the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass

from robostack.spec import ContractError


@dataclass(frozen=True)
class TransmissionCosts:
    """Weights of the reward's terms."""

    gain: float = 5.0
    """of what a move adds to the transmission"""
    level: float = 0.5
    """of the logarithm of the transmission: a beam that is nearly gone has a slope to climb too"""
    short: float = 0.2
    """of how surely the transmission is below `success_transmission`"""
    travel: float = 0.02
    """of a move, mean over the magnets, each in shares of its largest"""


@dataclass(frozen=True)
class BeamTransmissionConfig:
    """What an episode may look like. Errors are half-widths of uniform distributions; every episode is another
    machine."""

    num_envs: int = 384
    device: str = "cpu"
    lebt: str = "proton_35kev"
    """a shipped name or the path of a TOML file"""
    step_dt: float = 4.0
    """s: set, let supplies and beam settle, average the current transformers"""
    steps: int = 30
    """of an episode: two minutes of them"""
    solenoid_step_a: float = 5.0
    """what a solenoid may move at once"""
    steerer_step_a: float = 1.5
    success_transmission: float = 0.85
    detuning: float = 0.05
    """of the solenoids where an episode starts, relative to the design"""
    steerer_start_a: float = 1.0
    emittance_error: float = 0.25
    """of each plane at the source, relative"""
    twiss_error: float = 0.2
    """of alpha and beta of each plane at the source, relative"""
    current_error: float = 0.3
    """of the beam's current, relative"""
    compensation: tuple[float, float] = (0.75, 0.97)
    """between these lies the share of its charge that the residual gas neutralises"""
    capture: tuple[float, float] = (0.94, 1.0)
    """between these lies the share of an accepted beam that the RFQ keeps"""
    optics_error: float = 0.03
    """of each solenoid's field, relative"""
    magnet_offset_m: float = 0.6e-3
    """of each solenoid, in both planes"""
    magnet_tilt_rad: float = 1e-3
    entrance_offset_m: float = 0.6e-3
    """of the beam's centre at the source, in both planes"""
    entrance_slope_rad: float = 2e-3
    gain_error: float = 0.2
    """of each steerer, relative"""
    flipped_steerers: int = 1
    """up to so many have the wrong polarity"""
    noise: float = 0.01
    """standard deviation of a reading of the transmission, and of the beam's current relative to its design"""
    costs: TransmissionCosts = TransmissionCosts()

    def __post_init__(self) -> None:
        for name in ("step_dt", "steps", "solenoid_step_a", "steerer_step_a"):
            if not getattr(self, name) > 0:
                raise ContractError(f"{name} = {getattr(self, name)}: must be positive")
        for name in ("emittance_error", "twiss_error", "current_error", "optics_error", "gain_error", "detuning"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ContractError(f"{name} = {getattr(self, name)}: a relative error must lie in [0, 1)")
        for name in ("compensation", "capture"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high <= 1.0:
                raise ContractError(f"{name} = {low}, {high}: must be two rising numbers in [0, 1]")
