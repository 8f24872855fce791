"""How well an orbit controller corrects, asked of any: torch actor, ONNX file, or classical (robostack_real.beam)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from robostack_sim.beam.config import TBSAC, BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit


class Controller(Protocol):
    """`robostack.runtime.controller.Policy`, by rows; a Runner of an exported file is one."""

    def infer(
        self, observation: Mapping[str, Any], applied_action: Any, state: Any, /
    ) -> tuple[np.ndarray, np.ndarray | None]: ...


@dataclass(frozen=True)
class Correction:
    """One episode in each of N machines; a row a machine."""

    rms_m: Tensor
    """(steps + 1, N) true RMS about the target over the BPMs that live; row 0 is before the first move"""
    rms_all_m: Tensor
    """(steps + 1, N) over all BPMs, dead ones too"""
    peak_m: Tensor
    """(N,) furthest that the beam was from the axis"""
    travel_a: Tensor
    """(N,) sum over correctors and moves"""
    lost: Tensor
    """(N,) bool: met the pipe"""
    success_m: float

    def within(self, steps: int) -> float:
        """Share of machines whose RMS was below success_m after at most so many moves."""
        return self._good[: steps + 1].any(0).float().mean().item()

    def held(self, steps: int) -> float:
        """Share that is below it after exactly so many."""
        return self._good[steps].float().mean().item()

    @property
    def steps(self) -> Tensor:
        """(N,) moves until it was first below; infinite where it never was."""
        first = self._good.float().argmax(0).float()
        return torch.where(self._good.any(0), first, torch.inf)

    @property
    def _good(self) -> Tensor:
        return (self.rms_m < self.success_m) & ~self.lost


@torch.no_grad()
def correct(controller: Controller, reset: np.ndarray, task: BeamOrbit, *, seed: int, steps: int) -> Correction:
    """Corrects every machine of `task`, from `seed`, for so many steps; `reset` is the controller's state then, (S,).

    The task's own episodes must be longer. A beam that is lost stays lost, and a machine whose episode ended in success
    stays as it is. Channels are those of the controller's contract where it has one, else all that are measured.
    """
    spec = getattr(controller, "spec", None)
    names = [c.name for c in (spec.observations if spec else task.actor_channels)]
    obs, _ = task.reset(seed)
    orbit = task.orbit(task.currents_a, task.start)
    state = np.tile(np.asarray(reset, np.float32), (task.num_envs, 1))
    rms, rms_all = [task.rms_m(orbit)], [task.rms_m(orbit, live=False)]
    lost, peak, travel = task.lost(orbit), task.peak_m(orbit), task.currents_a.abs().sum(1)
    corrected = torch.zeros_like(lost)
    for _ in range(steps):
        channels = {n: obs[n].numpy() for n in names}
        action, following = controller.infer(channels, obs["applied_action"].numpy(), state if state.shape[1] else None)
        obs, _, terminated, _, extras = task.step(torch.from_numpy(action))
        state = state if following is None else following
        lost = lost | (terminated & ~extras["success"] & ~corrected)
        rms.append(torch.where(corrected, rms[-1], extras["rms_m"]))
        rms_all.append(torch.where(corrected, rms_all[-1], extras["rms_all_m"]))
        over = lost | corrected
        peak = torch.maximum(peak, torch.where(over, peak, extras["peak_m"]))
        travel = travel + torch.where(over, 0.0, extras["travel_a"])
        corrected = corrected | (terminated & extras["success"])
    return Correction(torch.stack(rms), torch.stack(rms_all), peak, travel, lost, task.config.success_m)


@dataclass(frozen=True)
class Setting:
    """Machines to be judged on, and after how many moves."""

    config: BeamOrbitConfig
    moves: int


_DESIGN = BeamOrbitConfig(
    steps=1000,
    optics_error=0.0,
    gain_error=0.0,
    flipped_correctors=0,
    dead_share=0.0,
    bpm_noise_m=0.0,
    drift_m=0.0,
    target_m=0.0,
)
_GAINS = replace(_DESIGN, optics_error=0.05, gain_error=0.3, bpm_noise_m=1e-4)
SETTINGS = {
    "TBSAC's own setting": Setting(TBSAC, 10),
    "offsets alone (TBSAC's)": Setting(_DESIGN, 10),
    "20 % optics, 30 % gain, 0.1 mm noise": Setting(replace(_GAINS, optics_error=0.2), 10),
    "two polarities of ten, 30 % gain": Setting(replace(_GAINS, flipped_correctors=2, all_flips=True), 8),
    "one dead BPM, 30 % gain": Setting(replace(_GAINS, dead_share=1.0), 10),
    "all of it, drift, a golden orbit": Setting(
        replace(
            _GAINS, optics_error=0.2, flipped_correctors=2, all_flips=True, dead_share=1.0, drift_m=3e-5, target_m=1e-3
        ),
        10,
    ),
}
"""what the controller is not told; solenoids are off by 3 mm in all of them. In the first, the reference, a move is 1 A
at most, a probe of 0.3 A comes before, and below 0.5 mm all is left as it is"""
