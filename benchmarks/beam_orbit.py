"""Orbit correction on unseen machines: a trained policy beside every classical controller, in one run.

    python benchmarks/beam_orbit.py [--quick] [--run RUN_FOLDER]

Machines are drawn from `robostack_sim.beam.trials.SETTINGS`, the same ones for everybody. Classical controllers with
something to choose get the best of a small grid, for each setting anew, on machines of another seed. A move is a change
of all correctors and a reading; moves that measure a matrix count, but for "measured before". The policy is trained
here, once for all settings, or is the one of a run folder; what corrects is its exported file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _results import row, write

from robostack.learn.shac import SHAC
from robostack.learn.trained import export_policy
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder
from robostack.runtime.runner import Runner
from robostack_real.beam.orbit_control import (
    Broyden,
    GainFilter,
    MatrixCorrection,
    MeasuredCorrection,
    RecursiveLeastSquares,
)
from robostack_sim.beam.orbit import BeamOrbit
from robostack_sim.beam.trials import SETTINGS, Controller, Correction, Setting, correct

LEARNER = SHAC(iterations=3600, horizon=10, learning_rate=3e-3, gradient_clip=0.5, actor=ActorConfig(hidden=(192, 128)))
MOVES = 20
STEP_A, NOISE_M = 3.0, 1e-4
PROBES_A = (1.0, 3.0)
TUNED_ON, JUDGED_ON = 7, 99
POLICY = "policy, SHAC"
RLS = "recursive least squares, tuned"
BARS = {
    "offsets alone (TBSAC's)": 98.0,
    "20 % optics, 30 % gain, 0.1 mm noise": 97.0,
    "two polarities of ten, 30 % gain": 95.0,
    "one dead BPM, 30 % gain": 90.0,
}

Made = tuple[Controller, np.ndarray]


def nominal(task: BeamOrbit) -> np.ndarray:
    """(R, C) m/A of the design, as a policy's file carries it."""
    return np.array(task.machine["response_m_per_a"]).reshape(len(task.line.readings), len(task.line.correctors))


def classical(response: np.ndarray) -> dict[str, list[Made]]:
    """Controllers by name, and what is to be chosen from."""
    size = float(np.sqrt(np.square(response).mean()))

    def grid(make: Callable[..., Controller], *choices: tuple[float, ...]) -> list[Made]:
        found = [make(*choice) for choice in choices]
        return [(c, c.reset) for c in found]  # type: ignore[attr-defined]

    errors = (0.05, 0.1, 0.2, 0.4)
    return {
        "SVD, nominal matrix, tuned": grid(
            lambda e: MatrixCorrection(response, STEP_A, e * size), *((e,) for e in errors)
        ),
        "SVD, measured first": grid(
            lambda a: MeasuredCorrection(response, STEP_A, a, NOISE_M), *((a,) for a in PROBES_A)
        ),
        "Broyden, tuned": grid(
            lambda e, r: Broyden(response, STEP_A, e * size, r), *((e, r) for e in errors for r in (1.2, 2.0))
        ),
        RLS: grid(
            lambda e, c: RecursiveLeastSquares(response, STEP_A, e * size, NOISE_M, caution=c),
            *((e, c) for e in (0.2, 0.4, 0.8, 1.6) for c in (0.03, 0.1, 0.3, 1.0)),
        ),
        "gain filter": grid(lambda: GainFilter(response, STEP_A, NOISE_M), ()),
    }


def best(choices: list[Made], setting: Setting, machines: int) -> Made:
    """The one that most often is below the bar after so many moves, on machines kept for this."""
    if len(choices) == 1:
        return choices[0]
    task = BeamOrbit(replace(setting.config, num_envs=machines))
    tried = [(correct(*made, task, seed=TUNED_ON, steps=MOVES), made) for made in choices]
    return max(tried, key=lambda t: t[0].within(setting.moves) + 0.1 * t[0].held(MOVES))[1]


def measured_before(task: BeamOrbit, seed: int, probe_a: float) -> MatrixCorrection:
    """SVD with the matrix of each machine of `task`, measured before by a move of every corrector."""
    measuring = MeasuredCorrection(nominal(task), STEP_A, probe_a, NOISE_M)
    obs, _ = task.reset(seed)
    state: np.ndarray | None = np.tile(measuring.reset, (task.num_envs, 1))
    for _ in range(task.action_size + 1):
        channels = {n: obs[n].numpy() for n in ("bpm_position", "target_orbit", "corrector_current")}
        action, state = measuring.infer(channels, obs["applied_action"].numpy(), state)
        obs, *_ = task.step(torch.from_numpy(action))
    return MatrixCorrection(measuring.measured(state), STEP_A, 2**0.5 * NOISE_M / probe_a)


def policy_of(run: Path | None, quick: bool, folder: Path) -> tuple[Runner, float]:
    """The exported policy, and the seconds of one core that its training took (0: of another run)."""
    if run:
        found = RunFolder.at(run)
        return Runner(export_policy(found, folder / "policy.onnx")), 0.0
    task = BeamOrbit()
    learner = replace(LEARNER, iterations=40) if quick else LEARNER
    here = RunFolder.at(folder / "run")
    start = time.process_time()
    train(task, learner, here)
    return Runner(export_policy(here, folder / "policy.onnx")), time.process_time() - start


def corrections(setting: Setting, policy: Runner, machines: int, tuning: int) -> Iterator[tuple[str, Correction]]:
    task = BeamOrbit(replace(setting.config, num_envs=machines))
    for name, choices in classical(nominal(task)).items():
        yield name, correct(*best(choices, setting, tuning), task, seed=JUDGED_ON, steps=MOVES)
    once = measured_before(task, JUDGED_ON, max(PROBES_A))
    yield "SVD, measured before", correct(once, once.reset, task, seed=JUDGED_ON, steps=MOVES)
    yield POLICY, correct(policy, np.array(policy.spec.state.reset), task, seed=JUDGED_ON, steps=MOVES)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 machines, a policy that is hardly trained")
    parser.add_argument("--run", type=Path, help="folder of a training of beam_orbit; its policy is judged")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    machines, tuning = (100, 50) if options.quick else (2000, 500)
    rows = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        policy, seconds = policy_of(options.run, options.quick, Path(folder))
    if seconds:
        rows.append(row("training of the policy, all settings at once, one core", seconds, "s", 600.0))
    for title, setting in SETTINGS.items():
        found = dict(corrections(setting, policy, machines, tuning))
        for name, c in found.items():
            bar = BARS.get(title) if name == POLICY else None
            what = f"{title}: {name}, under 1 mm within {setting.moves} moves"
            rows.append(row(what, 100 * c.within(setting.moves), "%", bar, better="higher", reference=about(c)))
        mine, peer = found[POLICY], found[RLS]
        median_mm = 1e3 * mine.rms_m[setting.moves].median().item()
        bar = 0.5 if title.startswith("offsets alone") else None
        rows.append(row(f"{title}: {POLICY}, median RMS after {setting.moves} moves", median_mm, "mm", bar))
        if title.startswith("two polarities"):
            peaks = [1e3 * c.peak_m.quantile(0.95).item() for c in (mine, peer)]
            what = f"{title}: {POLICY}, peak orbit, 95 % of machines"
            rows.append(row(what, peaks[0], "mm", round(peaks[1], 2), reference=RLS, reference_value=peaks[1]))
        if title.startswith("one dead"):
            true_mm = 1e3 * mine.rms_all_m[setting.moves].median().item()
            rows.append(row(f"{title}: {POLICY}, median RMS of the true orbit, dead BPM too", true_mm, "mm"))
    write("beam_orbit", rows, options.out)


def about(c: Correction) -> str:
    """What else there is to know of a controller's corrections."""
    first = c.steps.median().item()
    steps = f"median {first:.0f} moves" if np.isfinite(first) else "most never"
    peak, travel = 1e3 * c.peak_m.quantile(0.95).item(), c.travel_a.median().item()
    lost = f", {100 * c.lost.float().mean().item():.1f} % lost" if c.lost.any() else ""
    live, every = (1e3 * rms[MOVES].median().item() for rms in (c.rms_m, c.rms_all_m))
    dead = f", RMS {live:.2f} mm, at the dead BPM too {every:.2f} mm" if every != live else ""
    return f"{steps}; after {MOVES} {100 * c.held(MOVES):.1f} %{dead}; peak {peak:.1f} mm; travel {travel:.0f} A{lost}"


if __name__ == "__main__":
    main()
