"""A Crazyflie within its stock firmware's limits: what can be learned with a thrust of one and a half times its weight,
and what the policy makes of a battery that sags and empties.

    python benchmarks/crazyflie_stock.py [--seeds 3] [--quick]

As quadrotor_training.py, with the vehicle crazyflie_2_1_stock and three times the default's iterations; the open-loop
optimum is quadrotor_vehicles.py's. Each policy then flies a minute in a virtual Crazyflie, by the app's very C, while
the battery goes from 4.2 V to 3.5 V without load and sags with thrust as the vehicle's file says: hovering and on a
figure-eight of 5.5 s, by both of the app's ways from rotor speed to motor. The simulator flies the same beside it, its
battery compensated or not. With --quick the minute is ten seconds.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write
from _seeds import worst_of_seeds
from quadrotor_vehicles import flown, open_loop, trained
from torch import Tensor

from robostack.evaluate.trajectory import FigureEight, Hover, Trajectory
from robostack.export.firmware import export_firmware
from robostack.learn.shac import SHAC
from robostack.runtime.runner import Runner
from robostack_real.twins.crazyflie import FULL_V, STEP_S, VirtualCrazyflie
from robostack_real.twins.crazyflie_app import build_app, position_setpoint
from robostack_sim.quadrotor import trials
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P, S

CONFIG = QuadrotorConfig(vehicle="crazyflie_2_1_stock")
LEARNER = SHAC(iterations=3 * SHAC().iterations)
FLOWN = replace(CONFIG, delay_s=(0.0, 0.02))
EMPTY_V, NOMINAL_V, SETTLE_S = 3.5, 3.7, 3.0
HOME = np.array([0.0, 0.0, 1.0])
EIGHT = FigureEight(period_s=5.5)
PATHS = {0: "compensated (`rsp.path` 0)", 1: "not compensated (`rsp.path` 1)"}
FLIGHTS = {f"{way.name}, {battery}": (way, path) for way in (Hover(), EIGHT) for path, battery in PATHS.items()}


def judge(runner: Runner, episodes: int) -> dict[str, float]:
    policy, reset = trials.exported(runner)
    judged, seconds = replace(FLOWN, num_envs=episodes), 60.0 if episodes >= 1000 else 10.0
    tilted = trials.survival(policy, reset, judged)
    figures = {
        "lost": 1.0 - tilted.survived,
        "lost 45": 1.0 - trials.survival(policy, reset, replace(judged, angle_max_rad=math.pi / 4)).survived,
        "lost level": 1.0 - trials.survival(policy, reset, replace(judged, origin_share=1.0)).survived,
        "rms": tilted.rms_m,
    }
    eights = replace(judged, num_envs=16)
    for period in trials.FIGURE_EIGHT_PERIODS_S:
        figures[f"eight {period:g}"] = trials.figure_eight_rmse_m(policy, reset, eights, period)
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        export_firmware(runner.policy, Path(folder) / "app", target="crazyflie")
        library = build_app(Path(folder) / "app" / "generated", Path(folder))
        for name, (way, path) in FLIGHTS.items():
            figures[name], left_s = in_the_twin(library, path, way, seconds)
            figures["ended"] = figures.get("ended", 0.0) + (left_s > 0.0)
            figures[f"{name}, simulator"] = in_the_simulator(policy, reset, path, way, seconds)
    return figures


def in_the_twin(library: Path, path: int, way: Trajectory, seconds: float) -> tuple[float, float]:
    """Takes off under the stand-in for the stock PID, hands over, and flies: RMSE (m), and what was left of `seconds`
    when something took the policy off."""
    machine = VirtualCrazyflie(library, CONFIG.vehicle)
    machine.params["rsp.path"].value, machine.params["rsp.nominalV"].value = path, NOMINAL_V
    machine.arm(True)
    machine.commander.go(HOME, 0.0, 2.0, machine.position_m, machine.time_ms)
    for _ in range(4000):
        machine.step()
    machine.params["rsp.enable"].value = 1
    squared, left_s = [], 0.0
    for t in np.arange(0.0, seconds, STEP_S).tolist():
        position, velocity, acceleration = way.at(t)
        setpoint = position_setpoint(*(HOME + position).tolist())
        for field, value in ((setpoint.velocity, velocity), (setpoint.acceleration, acceleration)):
            field.x, field.y, field.z = value.tolist()
        machine.commander.take_low_level(setpoint, machine.time_ms)
        machine.airframe.charge = 1.0 - (1.0 - EMPTY_V / FULL_V) * t / seconds
        machine.step()
        if t > 0.1 and not machine.logs["rsp.active"].value:
            left_s = seconds - t
            break
        if t > SETTLE_S:
            squared.append(float(np.square(machine.position_m - HOME - position).sum()))
    machine.close()
    return math.sqrt(np.mean(squared)) if squared else math.inf, left_s


@torch.no_grad()
def in_the_simulator(policy: trials.Policy, reset: Tensor, path: int, way: Trajectory, seconds: float) -> float:
    """RMSE (m) of the same flight in the task's own plant, without delay."""
    task = trials.figure_eight(replace(CONFIG, num_envs=16, delay_s=(0.0, 0.0)), EIGHT.period_s)
    if isinstance(way, Hover):
        task.params[:, P.REF_AMPLITUDE : P.REF_AMPLITUDE + 3] = 0.0
    if path == 1:
        task.params[:, P.SAG] = task.vehicle.battery_sag
        task.params[:, P.DISCHARGE] = (FULL_V - EMPTY_V) / NOMINAL_V / seconds
        task.state[:, S.BATTERY] = FULL_V / NOMINAL_V
    obs, state, squared = task.observe(), reset.expand(task.num_envs, -1), []
    for t in range(round(seconds / task.step_dt)):
        action, state = policy(obs, state)
        obs, *_ = task.step(action)
        if t * task.step_dt > SETTLE_S:
            squared.append((obs["true_state"][:, :3] - obs["setpoint"][:, :3]).square().sum(1))
    return torch.stack(squared).mean().sqrt().item()


def main() -> None:
    found = worst_of_seeds(__doc__, 3, CONFIG, judge, LEARNER)
    worst = found.figures
    best, short = (trained(CONFIG, learner)[0] for learner in (LEARNER, SHAC()))
    percent: dict[str, Any] = {"unit": "%", "better": "higher"}
    rows = [
        row(f"training of {LEARNER.iterations} iterations, one CPU thread, {found.what}", worst["seconds"], "s", 40.0),
        row("survival, starts tilted up to 90 degrees", 100 * (1 - worst["lost"]), bar=90.0, **percent,
            reference="open-loop optimum at least", reference_value=100 * open_loop(FLOWN, best, 200, 40)),
        row(f"survival, after the default's {SHAC().iterations} iterations",
            100 * flown(short, FLOWN, 1000).survived, **percent),
        row("survival, starts tilted up to 45 degrees", 100 * (1 - worst["lost 45"]), **percent),
        row("survival, level starts", 100 * (1 - worst["lost level"]), bar=99.0, **percent),
        row("RMS position error, last 2 s", worst["rms"], "m", 0.04),
        *(row(f"figure-eight {p:g} s, 3-D RMSE", worst[f"eight {p:g}"], "m") for p in trials.FIGURE_EIGHT_PERIODS_S),
        *(row(f"virtual Crazyflie, {name}: RMSE", worst[name], "m", 0.1,
              reference="simulator", reference_value=float(f"{worst[f'{name}, simulator']:.2g}")) for name in FLIGHTS),
        row("of these flights, ended by the app", worst["ended"], f"of {len(FLIGHTS)}", 0.0),
    ]  # fmt: skip
    write("crazyflie_stock", rows, found.out)


if __name__ == "__main__":
    main()
