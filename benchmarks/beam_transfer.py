"""One exported orbit policy on the same machines in our simulator and in cheetah-accelerator.

    python benchmarks/beam_transfer.py [--run RUN_FOLDER] [--quick]

Machines, noise, dead BPMs, drift and targets are the task's own, to the same random numbers (_plant_cheetah.py); what
differs is where the beam goes. A policy is trained here as in beam_orbit.py, or is that of a run.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _plant_cheetah import CheetahOrbit
from _results import row, write
from beam_orbit import JUDGED_ON, LEARNER, MOVES, OWN, policy_of

from robostack.runtime.runner import Runner
from robostack_sim.beam.orbit import BeamOrbit
from robostack_sim.beam.trials import SETTINGS, Setting, correct

OURS = "ours"
PLANTS: dict[str, Callable[..., BeamOrbit]] = {
    OURS: BeamOrbit,
    "cheetah": CheetahOrbit,
    "cheetah with its own cavities": partial(CheetahOrbit, own_cavity=True),
}


def figures(policy: Runner, setting: Setting, plant: Callable[..., BeamOrbit], machines: int) -> dict[str, float]:
    """Success in %, median moves (of all machines) and RMS in mm, by what they are."""
    task = plant(replace(setting.config, num_envs=machines))
    found = correct(policy, np.array(policy.spec.state.reset), task, seed=JUDGED_ON, steps=MOVES)
    return {
        f"under 1 mm within {setting.moves} moves": 100.0 * found.within(setting.moves),
        "median moves until then": found.steps.median().item(),
        f"median RMS after {MOVES} moves": 1e3 * found.rms_m[MOVES].median().item(),
    }


def compared(title: str, flown: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Each figure of each foreign plant beside ours."""
    rows = []
    for name, found in flown.items():
        if name == OURS:
            continue
        for what, value in found.items():
            unit = "%" if what.startswith("under") else "mm" if "RMS" in what else "moves"
            better, beside = "higher" if unit == "%" else "lower", flown[OURS][what]
            reference = OURS if math.isfinite(beside) else f"{OURS}: most never"
            rows.append(
                row(
                    f"{title}: {name}, {what}",
                    value if math.isfinite(value) else None,
                    unit,
                    better=better,
                    reference=reference,
                    reference_value=float(f"{beside:.4g}") if math.isfinite(beside) else None,
                )
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 machines, a policy that is hardly trained")
    parser.add_argument("--run", type=Path, help="folder of a training of beam_orbit; its policy is judged")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        policy, _ = policy_of(options.run, BeamOrbit(), LEARNER, options.quick, Path(folder))
        for title, setting in SETTINGS.items():
            if title == OWN:  # another contract, for which another policy is trained
                continue
            machines = 100 if options.quick else 1000
            flown = {name: figures(policy, setting, plant, machines) for name, plant in PLANTS.items()}
            print(title, {n: {w: float(f"{v:.4g}") for w, v in f.items()} for n, f in flown.items()})
            rows += compared(title, flown)
    write("beam_transfer", rows, options.out)


if __name__ == "__main__":
    main()
