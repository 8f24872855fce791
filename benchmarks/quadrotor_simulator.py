"""Simulator speed against PyPI l2f, on one thread, in one process: state only, and a whole step with sensors.

    python benchmarks/quadrotor_simulator.py [--quick] [--device cuda]

`state only` is physics alone (ours: many periods a launch, state in registers; l2f: its vector step). `with sensors` is
what a learner pays for a step: ours draws noise, looks the reference up, steps, and writes the actor's noisy and the
critic's true observation; l2f steps, assigns, and observes. Each side has its best batch size of a few. With a GPU the
state-only rate is measured there as well; l2f has none.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import warp as wp
from _results import row, write

from robostack.lanes import as_lanes, columns, num_threads
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import S, fly
from robostack_sim.quadrotor.task import Quadrotor

BATCHES = (64, 512, 2048)
CUDA_BATCHES = (2**18, 2**20)
PERIODS = 200
"""of one fused launch"""


def rate(call: Callable[[], Any], steps: int, seconds: float) -> float:
    """Environment steps a second: the best of five stretches, each at least a fifth of `seconds`."""
    call()
    best = 0.0
    for _ in range(5):
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / 5:
            call()
            count += steps
        best = max(best, count / (time.perf_counter() - start))
    return best


def ours_state_only(num_envs: int, seconds: float, device: str) -> float:
    task = Quadrotor(QuadrotorConfig(num_envs=num_envs, vehicle="crazyflie_l2f", device=device))
    command = columns(num_envs, 4, task.device).fill_(task.vehicle.hover_speed_rad_s)
    out = columns(num_envs, S.SIZE, task.device)
    arrays = [as_lanes(t) for t in (task.params, task.state, command, out)]
    arguments = [arrays[0], task.step_dt, PERIODS, *arrays[1:]]
    threads = num_threads(num_envs, task.device)
    launch = wp.launch(fly, threads, arguments, device=wp.device_from_torch(task.device), record_cmd=True)

    def call() -> None:
        launch.launch()
        if device != "cpu":
            wp.synchronize_device()

    return rate(call, num_envs * PERIODS, seconds)


def ours_with_sensors(num_envs: int, seconds: float) -> float:
    """The task's own launches of a step, nothing left out but what torch makes of `done`."""
    task = Quadrotor(QuadrotorConfig(num_envs=num_envs, vehicle="crazyflie_l2f"))
    action = torch.full((num_envs, 4), task.vehicle.hover_speed_rad_s)

    @torch.no_grad()
    def call() -> None:
        task.draw_noise(task._noise)
        task.look_ahead(task._reference)
        state, *_ = task._step(task.state, action)
        task.state.copy_(state)

    return rate(call, num_envs, seconds)


def l2f_rates(num_envs: int, seconds: float) -> tuple[float, float]:
    """State only, and with assign and observe."""
    l2f = importlib.import_module("l2f")
    vector = getattr(l2f, f"vector{num_envs}")
    device, rng, env = l2f.Device(), vector.VectorRng(), vector.VectorEnvironment()
    params, state, following = vector.VectorParameters(), vector.VectorState(), vector.VectorState()
    vector.initialize_rng(device, rng, 0)
    vector.initialize_environment(device, env)
    vector.sample_initial_parameters(device, env, params, rng)
    vector.sample_initial_state(device, env, params, state, rng)
    action = np.full((num_envs, 4), 0.334, np.float32)
    observation = np.zeros((num_envs, env.OBSERVATION_DIM), np.float32)

    def whole() -> None:
        vector.step(device, env, params, state, action, following, rng)
        state.assign(following)
        vector.observe(device, env, params, state, observation, rng)

    alone = rate(lambda: vector.step(device, env, params, state, action, following, rng), num_envs, seconds)
    return alone, rate(whole, num_envs, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the time")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda adds the GPU's rate")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("quadrotor_simulator: --device cuda, but torch finds no GPU here; leave the option out")
    torch.set_num_threads(1)
    seconds = 0.5 if options.quick else 2.5
    peer = [l2f_rates(n, seconds) for n in BATCHES]
    alone, whole = (max(p[k] for p in peer) for k in (0, 1))
    ours = max(ours_state_only(n, seconds, "cpu") for n in BATCHES)
    sensed = max(ours_with_sensors(n, seconds) for n in BATCHES)
    name = "PyPI l2f, same run"
    faster: dict[str, Any] = {"better": "higher"}
    rows = [
        row("state only, over l2f", ours / alone, "x", 5.0, **faster),
        row("state only", ours / 1e6, "M steps/s", **faster, reference=name, reference_value=round(alone / 1e6, 3)),
        row("with noise and both observations, over l2f", sensed / whole, "x", 1.5, **faster),
        row("with noise and both observations", sensed / 1e6, "M steps/s", **faster, reference=name,
            reference_value=round(whole / 1e6, 3)),
    ]  # fmt: skip
    if options.device == "cuda":
        best = max(ours_state_only(n, seconds, "cuda") for n in CUDA_BATCHES)
        rows.append(row("state only, one GPU", best / 1e9, "G steps/s", 10.0, **faster,
                        reference="L2F, laptop GPU", reference_value=1.28))  # fmt: skip
    write("quadrotor_simulator", rows, options.out)


if __name__ == "__main__":
    main()
