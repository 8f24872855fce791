"""Machines that differ from their vehicle file, identified from simulated flights: how far off, and how sure.

    python benchmarks/identify.py [--quick]

Every machine has its own mass, thrust, rotor lag up and down, torque and delay, a wind and a centre of mass off the
middle; it flies 30 s of steps under an attitude controller that sees its noisy sensors. What flies is our simulator,
and MuJoCo with a step and an integrator of its own. Errors are the worst of all machines.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _identify_flights import VEHICLE, Truth, steps
from _results import row, write

from robostack_sim.quadrotor.identify.fit import Estimate, fit
from robostack_sim.quadrotor.identify.log import Log, pieces
from robostack_sim.quadrotor.identify.machine import Machine
from robostack_sim.quadrotor.identify.names import Name
from robostack_sim.quadrotor.identify.windows import Windows
from robostack_sim.quadrotor.mujoco_plant import MujocoPlant
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import Plant
from robostack_sim.quadrotor.vehicle import load_vehicle, parameters_text

NAMES: tuple[Name, ...] = ("mass", "thrust", "curve", "rise", "fall", "delay", "torque")
WEIGHED: tuple[Name, ...] = ("thrust", "curve", "rise", "fall", "delay", "torque", "inertia")
SPEEDS = (0.85, 1.0, 1.15)
"""of hover's, at which thrust is compared"""
BARS = {"rise": 10.0, "fall": 10.0, "thrust": 3.0}


@dataclass(frozen=True)
class Case:
    title: str
    noise: float
    plant: Plant
    names: tuple[Name, ...] = NAMES
    late_sensors: bool = True


CASES = (
    Case("our simulator, sensors on time", 1.0, Quadrotor, late_sensors=False),
    Case("MuJoCo", 1.0, MujocoPlant),
    Case("MuJoCo, noise x10", 10.0, MujocoPlant),
    Case("MuJoCo, weighed, inertia unknown", 1.0, MujocoPlant, WEIGHED),
)


def identified(log: Log, machine: Machine) -> Estimate:
    whole = pieces(log)
    return fit(Windows(whole.found, whole.dt_s, machine))


def weighed(truth: Truth, folder: Path) -> str:
    """A vehicle file that is right about the mass, and wrong about all else."""
    before = f"mass = {{ value = {load_vehicle(VEHICLE).mass},"
    text = parameters_text("vehicle", VEHICLE, "parameters")
    assert before in text
    path = folder / "weighed.toml"
    path.write_text(text.replace(before, f"mass = {{ value = {truth.vehicle.mass},"))
    return str(path)


def off(truth: Truth, estimate: Estimate) -> dict[str, float]:
    """Relative errors, of the delay in s; of thrust the largest at SPEEDS."""
    true, found = truth.vehicle, estimate.vehicle
    speeds = [s * true.hover_speed_rad_s for s in SPEEDS]
    return {
        "mass": found.mass / true.mass - 1.0,
        "thrust": max((found.thrust_n(s) / true.thrust_n(s) - 1.0 for s in speeds), key=abs),
        "rise": found.rotor_rise_time / true.rotor_rise_time - 1.0,
        "fall": found.rotor_fall_time / true.rotor_fall_time - 1.0,
        "inertia": found.inertia[0] / true.inertia[0] - 1.0,
        "torque": found.torque_to_thrust / true.torque_to_thrust - 1.0,
        "delay": estimate.delay_s - truth.delay_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 machines, 15 s each")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count, seconds = (2, 15.0) if options.quick else (8, 30.0)
    rows = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        for case in CASES:
            rows += judged(case, count, seconds, Path(folder))
    write("identify", rows, options.out)


def judged(case: Case, count: int, seconds: float, folder: Path) -> list[dict[str, Any]]:
    errors: dict[str, list[float]] = {}
    sure, took = [], []
    for seed in range(count):
        truth, file = Truth.drawn(seed), VEHICLE
        if not case.late_sensors:
            truth = replace(truth, sensing_s=0.0)
        if "inertia" in case.names:
            truth = replace(truth, inertia=(0.8, 1.25)[seed % 2])
            file = weighed(truth, folder)
        log = steps(truth, seconds, noise=case.noise, seed=seed, plant=case.plant)
        begun = time.process_time()
        estimate = identified(log, Machine(file, case.names))
        took.append(time.process_time() - begun)
        found = {what: error for what, error in off(truth, estimate).items() if what in case.names}
        for what, error in found.items():
            errors.setdefault(what, []).append(error)
            if what != "thrust":  # whose error is taken at several speeds
                sure.append(abs(error) <= 2.0 * estimate.std(what))
        print(case.title, seed, {n: round(e, 4) for n, e in found.items()}, f"{took[-1]:.1f} s")
    rows = []
    for number, each in errors.items():
        factor, unit = (1e3, "ms") if number == "delay" else (100.0, "%")
        worst = factor * float(np.abs(each).max())
        rows.append(row(f"{case.title}: {number}, worst error of {count}", worst, unit, BARS.get(number)))
    rows.append(row(f"{case.title}: within two deviations", 100 * float(np.mean(sure)), "%", better="higher"))
    rows.append(row(f"{case.title}: a fit, one core, median", float(np.median(took)), "s"))
    return rows


if __name__ == "__main__":
    main()
