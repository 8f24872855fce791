"""Transmission into an RFQ on unseen machines: a trained policy beside searches, and beside who knows the machine.

    python benchmarks/beam_transmission.py [--quick] [--run RUN_FOLDER]

All tune the same machines from the same settings. "Best" is what Adam reaches by the gradient through the very machine,
from several starts. Searches read with the same noise, may go anywhere in one move where the policy's moves are
limited, need no move back to the best they have read, and have the best of a few sizes, chosen on other machines.
The policy is trained here, or is the one of a run folder; what tunes is its exported file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _results import row, write
from _searches import Search, coordinates, held, nelder_mead

from robostack.learn.shac import SHAC
from robostack.learn.trained import export_policy
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder
from robostack.runtime.runner import Runner
from robostack_sim.beam.lebt import transmission
from robostack_sim.beam.transmission import BeamTransmission
from robostack_sim.beam.transmission_config import BeamTransmissionConfig
from robostack_sim.beam.transmission_trials import Tuning, best_known, tune

ACTOR = ActorConfig(hidden=(192, 128), normalise=False)
LEARNER = SHAC(iterations=1200, horizon=30, learning_rate=3e-3, gradient_clip=0.5, actor=ACTOR)
MOVES, HALFWAY = 30, 15
TUNED_ON, JUDGED_ON = 7, 99
SIZES = (0.5, 1.0, 1.5)
SEARCHES: dict[str, Callable[[np.ndarray, float], Search]] = {
    "magnet by magnet, parabolas": coordinates,
    "Nelder-Mead": nelder_mead,
}


def machines(count: int, seed: int) -> BeamTransmission:
    """A task whose episodes do not end while it is judged."""
    task = BeamTransmission(BeamTransmissionConfig(num_envs=count, steps=1000))
    task.reset(seed)
    return task


def searched(
    make: Callable[[np.ndarray, float], Search], size: float, task: BeamTransmission, seed: int
) -> torch.Tensor:
    """(MOVES + 1, N) true transmission of what a search holds."""
    task.reset(seed)
    noise = np.random.default_rng(seed)

    @torch.no_grad()
    def true(settings: np.ndarray) -> torch.Tensor:
        currents = torch.from_numpy(settings).float() * task.step_a
        return transmission(task.lebt, task.machines, torch.minimum(torch.maximum(currents, task.low_a), task.high_a))

    def read(settings: np.ndarray) -> np.ndarray:
        return true(settings).numpy() + task.config.noise * noise.standard_normal(len(settings))

    begun = [make(start, size) for start in (task.magnets_a / task.step_a).double().numpy()]
    return torch.stack([true(settings) for settings in held(begun, read, MOVES)])


def policy_of(run: Path | None, quick: bool, folder: Path) -> tuple[Runner, float]:
    """The exported policy, and the seconds of one core that its training took (0: of another run)."""
    if run:
        return Runner(export_policy(RunFolder.at(run), folder / "policy.onnx")), 0.0
    learner = replace(LEARNER, iterations=20) if quick else LEARNER
    here = RunFolder.at(folder / "run")
    start = time.process_time()
    train(BeamTransmission(), learner, here)
    return Runner(export_policy(here, folder / "policy.onnx")), time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 machines, a policy that is hardly trained")
    parser.add_argument("--run", type=Path, help="folder of a training of beam_transmission; its policy is judged")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count, tuning, starts = (100, 50, 2) if options.quick else (1000, 300, 6)
    rows = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        policy, seconds = policy_of(options.run, options.quick, Path(folder))
    if seconds:
        rows.append(row("training of the policy, one core", seconds, "s", 600.0))
    task, other = machines(count, JUDGED_ON), machines(tuning, TUNED_ON)
    best = best_known(task.lebt, task.machines, task.step_a, starts=starts)
    aim = task.config.success_transmission
    reached = tune(policy, np.array(policy.spec.state.reset), task, seed=JUDGED_ON, moves=MOVES)
    found = {"policy, SHAC": Tuning(reached, best, aim)}
    for name, make in SEARCHES.items():
        size = max(SIZES, key=lambda s, make=make: searched(make, s, other, TUNED_ON)[MOVES].mean().item())  # type: ignore[misc]
        found[f"{name}, tuned"] = Tuning(searched(make, size, task, JUDGED_ON), best, aim)
    rows.append(row("transmission where tuning starts, mean", 100 * reached[0].mean().item(), "%"))
    rows.append(row("transmission that is best, mean", 100 * best.mean().item(), "%",
                    reference=f"worst of {count} machines", reference_value=100 * best.min().item()))  # fmt: skip
    for name, t in found.items():
        bars = (97.0, 100.0) if name.startswith("policy") else (None, None)
        of_best = f"{name}: of the best, after"
        at_aim = f"{name}: at {100 * aim:.0f} % or more, where the best is, after"
        rows += [
            row(f"{of_best} {MOVES} moves", 100 * t.share(MOVES), "%", bars[0], better="higher", reference=about(t)),
            row(f"{of_best} {HALFWAY} moves", 100 * t.share(HALFWAY), "%", better="higher"),
            row(f"{at_aim} {MOVES} moves", 100 * t.wherever_it_can(MOVES), "%", bars[1], better="higher"),
        ]
    write("beam_transmission", rows, options.out)


def about(t: Tuning) -> str:
    """What else there is to know of a tuning."""
    worst, moves = t.transmission[MOVES].min().item(), t.moves_to(0.95).median().item()
    soon = f"median {moves:.0f} moves to 95 % of it for good" if np.isfinite(moves) else "most never at 95 % for good"
    return f"mean {100 * t.transmission[MOVES].mean().item():.1f} %, worst {100 * worst:.1f} %; {soon}"


if __name__ == "__main__":
    main()
