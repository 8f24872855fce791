"""One exported policy in other people's simulators: MuJoCo, and PyPI's l2f and crazyflow where they are installed.

    python benchmarks/quadrotor_transfer.py [--policy policy.onnx] [--quick]

Every plant gets the same 1000 starts, disturbances, delays, noise and references (foreign_plant.py), so that a gap is a
gap in physics. Each row stands beside its reference: a flight that differs in what the two names say, so that where
they agree, that explains the gap. A policy is trained with the defaults for each machine that is flown as its own.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _results import row, write
from torch import Tensor

from robostack.learn.trainer import export_policy, train
from robostack.run_folder import RunFolder
from robostack.runtime.runner import Runner
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.mujoco_plant import MujocoPlant
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.trials import (
    FIGURE_EIGHT_PERIODS_S,
    Plant,
    Policy,
    exported,
    figure_eight_rmse_m,
    survival,
)
from robostack_sim.quadrotor.vehicle import FIELDS, Vehicle, load_vehicle

OURS = load_vehicle("crazyflie_2_1")
SURVIVAL, RMS = "survival", "RMS error, last 2 s"
EIGHTS = {f"figure-eight {period:g} s, 3-D RMSE": period for period in FIGURE_EIGHT_PERIODS_S}


@dataclass(frozen=True)
class Trial:
    """A policy over a plant; `beside` is the trial that its figures stand next to."""

    trained_for: Vehicle
    vehicle: Vehicle
    plant: Plant
    beside: str | None = None
    eights: bool = True
    seed: int = 99


def peer(module: str, package: str) -> Any:
    """A plant's module, or None, which is said, when its simulator is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        print(f"{package} is not installed, its rows are left out ({error}); ./setup.sh bench installs it")
        return None


def trials() -> dict[str, Trial]:
    """In the order of the table; those without `beside` are there to stand beside."""
    calm = replace(OURS, name="no_drag", drag=(0.0, 0.0, 0.0))
    found = {
        "ours, other starts": Trial(OURS, OURS, Quadrotor, eights=False, seed=100),
        "ours": Trial(OURS, OURS, Quadrotor, "ours, other starts"),
        "ours, no drag": Trial(OURS, calm, Quadrotor),
        "MuJoCo": Trial(OURS, OURS, MujocoPlant, "ours"),
        "MuJoCo, no drag": Trial(OURS, calm, MujocoPlant, "ours, no drag"),
        "MuJoCo, Euler of 10 ms": Trial(
            OURS, OURS, partial(MujocoPlant, timestep_s=0.01, integrator="Euler"), "MuJoCo"
        ),
    }
    l2f, flow = peer("_plant_l2f", "l2f"), peer("_plant_crazyflow", "crazyflow")
    if l2f:
        found["l2f, which has no drag"] = Trial(OURS, OURS, l2f.L2fPlant, "ours, no drag")
    if flow:
        made = flow.CrazyflowPlant
        found["crazyflow, Euler of 2 ms"] = Trial(OURS, OURS, made, "ours")
        found["crazyflow, Runge-Kutta"] = Trial(OURS, OURS, partial(made, integrator="rk4"), "MuJoCo")
    if l2f:
        paper = load_vehicle("crazyflie_l2f")
        found |= {
            "L2F's machine, ours": Trial(paper, paper, Quadrotor),
            "L2F's machine, l2f": Trial(paper, paper, l2f.L2fPlant, "L2F's machine, ours"),
            **strange("l2f", paper, l2f.shipped(paper), l2f.L2fPlant),
        }
    if flow:
        own, terms = flow.shipped(OURS), flow.Terms
        whole = partial(made, terms=terms(rotor_law=True, torque_curve=True, spin=True))
        found |= strange("crazyflow", OURS, own, whole)
        found |= {
            "crazyflow's machine, ours": Trial(own, own, Quadrotor),
            "crazyflow's machine, our terms": Trial(own, own, made, "crazyflow's machine, ours"),
            "crazyflow's machine, as shipped": Trial(own, own, whole, "crazyflow's machine, ours"),
        }
        for name, one in {
            "rotors' law": terms(rotor_law=True),
            "torque curve": terms(torque_curve=True),
            "rotors' angular momentum": terms(spin=True),
        }.items():
            plant = partial(made, terms=one)
            found[f"crazyflow's machine, {name}"] = Trial(own, own, plant, "crazyflow's machine, as shipped", False)
    return found


def strange(name: str, known: Vehicle, own: Vehicle, plant: Plant) -> dict[str, Trial]:
    """A policy for the machine `known` in a peer with the numbers that it ships; and those with some set equal."""
    ours, theirs = f"{name}'s numbers, ours", f"{name}'s numbers, {name}"
    equal: dict[str, dict[str, Any]] = {
        "mass and thrust": {"mass": known.mass, "thrust_curve": known.thrust_curve,
                            "rotor_speed_min": known.rotor_speed_min, "rotor_speed_max": known.rotor_speed_max},
        "rotor lag": {"rotor_rise_time": known.rotor_rise_time, "rotor_fall_time": known.rotor_fall_time},
        "inertia and arms": {"inertia": known.inertia, "rotor_x": known.rotor_x, "rotor_y": known.rotor_y},
    }  # fmt: skip
    found = {
        ours: Trial(known, own, Quadrotor, eights=False),
        theirs: Trial(known, own, plant, ours, eights=False),
    }
    for k, (what, fields) in enumerate(equal.items()):
        changed = replace(own, name=f"{own.name}_{k}", **fields)
        found[f"{name}'s numbers but for {what}, ours"] = Trial(known, changed, Quadrotor, theirs, eights=False)
    return found


def vehicle_file(vehicle: Vehicle, folder: Path) -> str:
    """Writes a parameter file of what was computed here."""
    lines = [f'name = "{vehicle.name}"']
    for name, field in FIELDS.items():
        value = getattr(vehicle, name)
        shown = list(value) if isinstance(value, tuple) else value
        lines.append(f'{name} = {{ value = {shown}, unit = "{field.unit}", source = "quadrotor_transfer.py" }}')
    path = folder / f"{vehicle.name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


class Pilots:
    """Exported policies by the machine that they were trained for; each is trained when it is first asked for."""

    def __init__(self, folder: Path, given: Path | None) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Policy, Tensor]] = {}
        if given:
            self._known[OURS.name] = exported(Runner(given))

    def trained_for(self, vehicle: Vehicle) -> tuple[Policy, Tensor]:
        if vehicle.name not in self._known:
            run = RunFolder.create("quadrotor", vehicle.name, self.folder)
            train(Quadrotor(QuadrotorConfig(vehicle=vehicle_file(vehicle, self.folder))), None, run, seed=0)
            export_policy(run, run.policy)
            self._known[vehicle.name] = exported(Runner(run.policy))
        return self._known[vehicle.name]

    def fly(self, trial: Trial, episodes: int) -> dict[str, float]:
        """Figures by name."""
        policy, reset = self.trained_for(trial.trained_for)
        config = QuadrotorConfig(episodes, vehicle=vehicle_file(trial.vehicle, self.folder), delay_s=(0.0, 0.02))
        started = survival(policy, reset, config, trial.seed, trial.plant)
        found = {SURVIVAL: 100 * started.survived, RMS: started.rms_m}
        for name, period in EIGHTS.items() if trial.eights else ():
            found[name] = figure_eight_rmse_m(policy, reset, replace(config, num_envs=16), period, trial.plant)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", type=Path, help=f"instead of the one trained here for {OURS.name}")
    parser.add_argument("--quick", action="store_true", help="100 episodes")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="crazyflow")
    asked, flown = trials(), {}
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        pilots = Pilots(Path(name), options.policy)
        for what, trial in asked.items():
            flown[what] = pilots.fly(trial, 100 if options.quick else 1000)
            print(what, {figure: float(f"{value:.4g}") for figure, value in flown[what].items()})
    rows = []
    for what, trial in asked.items():
        if trial.beside is None:
            continue
        for figure, value in flown[what].items():
            of_reference = flown[trial.beside].get(figure)
            rows.append(
                row(
                    f"{what}: {figure}",
                    value,
                    "%" if figure == SURVIVAL else "m",
                    better="higher" if figure == SURVIVAL else "lower",
                    reference=trial.beside if of_reference is not None else None,
                    reference_value=None if of_reference is None else float(f"{of_reference:.4g}"),
                )
            )
    write("quadrotor_transfer", rows, options.out)


if __name__ == "__main__":
    main()
