"""A trained policy flies the virtual PX4 over MAVLink, in real time, in OFFBOARD.

    python benchmarks/px4_twin.py [--quick]

Trains on one CPU thread with the defaults, exports, and flies policy.onnx by a guarded flight each: PX4's take-off, a
hover or a figure-eight, PX4's landing; over a line that loses nothing, and one that loses 5 % of the packets each way.
The virtual PX4 is a process of its own. Wants two idle cores: a flight that the machine kept from running is cut short
by its envelope, and counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from multiprocessing.synchronize import Event
from pathlib import Path

import torch
from _results import row, write

from robostack.evaluate.flight import rms_position_error
from robostack.evaluate.guarded import GuardedFlight, RefusedToFly
from robostack.evaluate.trajectory import FigureEight, Hover, Trajectory
from robostack.export.onnx import LoadedPolicy, load_policy
from robostack.learn.trainer import export_policy, train
from robostack.run_folder import RunFolder
from robostack_real.devices.mavlink import Px4
from robostack_real.twins.px4 import VirtualPx4
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.task import Quadrotor

CONFIG = QuadrotorConfig(action="thrust_and_rates")
PORT = 14601
TRIES = 10


def serve(loss: float, ready: Event, done: Event) -> None:
    with VirtualPx4(CONFIG, port=PORT, loss=loss):
        ready.set()
        done.wait()


def fly(policy: LoadedPolicy, trajectory: Trajectory, seconds: float, loss: float) -> tuple[float, int]:
    """RMS error (m) of the first flight that was not cut short, and how many were."""
    context = multiprocessing.get_context("spawn")
    for cut_short in range(TRIES):
        ready, done = context.Event(), context.Event()
        twin = context.Process(target=serve, args=(loss, ready, done), daemon=True)
        twin.start()
        ready.wait()
        try:
            with Px4(f"udpin://127.0.0.1:{PORT}") as drone:
                outcome = GuardedFlight(drone, policy, trajectory, seconds=seconds).fly()
            if not outcome.doubt and outcome.flight is not None:
                return rms_position_error(outcome.flight.under_policy()), cut_short
            print(outcome.doubt, file=sys.stderr)
        except RefusedToFly as refused:
            print(refused, file=sys.stderr)
        finally:
            done.set()
            twin.join()
    raise SystemExit(f"{TRIES} flights were cut short: this machine is too busy to fly in real time")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter flights, without loss")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, cut_short = [], 0
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        run = RunFolder.create("quadrotor", "px4", Path(name))
        train(Quadrotor(CONFIG), None, run, seed=0)
        export_policy(run, run.policy)
        policy = load_policy(run.policy)
        for loss in (0.0,) if options.quick else (0.0, 0.05):
            for trajectory in (Hover(), FigureEight(5.5)):
                seconds = 4.0 if options.quick else 13.0
                error, short = fly(policy, trajectory, seconds, loss)
                cut_short += short
                words = trajectory.name.replace("_", "-") + (" of 5.5 s" if trajectory.name != "hover" else "")
                lost = f", {100 * loss:g} % of packets lost" if loss else ""
                rows.append(row(f"{words}, RMS error{lost}", error, "m"))
    rows.append(row("flights that this machine cut short", cut_short, "flights"))
    write("px4_twin", rows, options.out)


if __name__ == "__main__":
    main()
