"""Faults at random moments in flight: does the board fall back in time, whatever happens, and only then?

    python benchmarks/fault_campaign.py [--quick] [--run RUN]

Each flight has one fault: samples that are not finite or beyond their limits, a channel that stops or repeats itself,
damaged frames, control periods missed, a flood of bytes and questions, an ARM for another policy, a machine on its
back, silence, a battery that runs down. The simulator closes the loop, with the firmware's C in this process and on
emulated boards. Then ten minutes over a line that loses 5 % of the frames and delays 10 % by a period. The policy is a
quadrotor's, trained here unless a run is given, with one channel more in its contract that watches the battery.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _faults import KINDS, Fault, Flights, bad_line, draw, export_watched, flying
from _fleet import BoardFleet, Fleet, HostFleet
from _results import row, write

from robostack.boards import choose
from robostack.export.firmware import export_firmware
from robostack.export.onnx import LoadedPolicy
from robostack.learn.trainer import train
from robostack.run_folder import RunFolder
from robostack_real.link.errors import LinkLost
from robostack_real.twins.kinds import EmulatedBoard
from robostack_sim.quadrotor.task import Quadrotor

BETWEEN, PERIODS = (20, 150), 260
"""when a fault begins, and how long a flight is (control periods): the slowest cause, a setpoint, takes 50"""
LOSS, LATE = 0.05, 0.1


def campaign(fleet: Fleet, policy: LoadedPolicy, count: int, seed: int) -> list[Fault]:
    """`count` flights, the kinds of fault in turn. A board that hangs ends its flights as hung."""
    done: list[Fault] = []
    flights = Flights(fleet, flying(fleet.size), policy)
    while len(done) < count:
        numbers = range(len(done), len(done) + fleet.size)
        faults = [draw(KINDS[i % len(KINDS)], policy.spec, BETWEEN, np.random.default_rng([seed, i])) for i in numbers]
        try:
            flights.fly(faults, PERIODS, seed + len(done))
        except LinkLost as error:
            print(error)
            for fault in faults:
                fault.hung = True
            return done + faults
        done += faults
    return done


def figures(where: str, faults: Sequence[Fault], wanted: int | None) -> list[dict[str, Any]]:
    ends = [f for f in faults if f.due is not None]
    worst = max((math.inf if f.late is None else f.late for f in ends), default=math.inf)
    share = 100.0 * sum(f.held for f in faults) / len(faults)
    rows = [
        row(f"{where}: faults in flight", len(faults), "flights", wanted, better="higher"),
        row(f"{where}: held, each as its kind must be", share, "%", 100.0, better="higher"),
        row(f"{where}: latest fallback, over the declared age + 1 period", worst, "periods", 0.0),
        row(f"{where}: outputs not finite or beyond their limits", sum(f.unclamped for f in faults), "periods", 0.0),
        row(f"{where}: hangs", sum(f.hung for f in faults), "flights", 0.0),
        row(f"{where}: false trips", sum(f.false_trip for f in faults), "flights", 0.0),
    ]
    for kind in KINDS:
        of_kind = [f for f in faults if f.kind == kind]
        print(f"{where}, {kind}: {sum(f.held for f in of_kind)} of {len(of_kind)} held")
    for f in [f for f in faults if not f.held][:10]:
        print(f"{where}: NOT HELD {f}")
    return rows


def ten_minutes(where: str, fleet: Fleet, policy: LoadedPolicy, seconds: float) -> list[dict[str, Any]]:
    flights = Flights(fleet, flying(fleet.size, moving_share=0.0), policy)
    lost, tripped_at = bad_line(flights, seconds, LOSS, LATE, seed=5)
    flown, trips = fleet.size * seconds / 60.0, int((tripped_at >= 0).sum())
    print(f"{where}: {lost} frames lost; tripped in periods {tripped_at[tripped_at >= 0]}")
    return [row(f"{where}: trips in {flown:g} min, 5 % loss and 10 % late", trips, "trips", 0.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the flights and a minute of the bad line")
    parser.add_argument("--run", type=Path, help="a trained quadrotor's run folder")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    host_count, board_count, seconds = (180, 9, 60.0) if options.quick else (10_000, 500, 600.0)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="robostack-") as name:
        folder = Path(name)
        run = RunFolder.at(options.run or folder / "run")
        if options.run is None:
            with run.stage("train"):
                run.record(train=train(Quadrotor(), None, run))
        policy = export_watched(run, folder / "policy.onnx")
        export_firmware(policy, folder / "firmware")
        board = choose("netduinoplus2")
        assert isinstance(board, EmulatedBoard)

        def boards(size: int) -> BoardFleet:
            return BoardFleet(board, folder / "firmware", size)

        def host(size: int) -> HostFleet:
            return HostFleet(policy.spec, folder / "firmware", size)

        places: list[tuple[str, Callable[[int], Fleet], int, int, int]] = [
            ("host C", host, 180 if options.quick else 500, host_count, 10_000),
            ("emulated STM32F405", boards, 3, board_count, 500),
        ]
        for where, make, size, count, wanted in places:
            fleet = make(size)
            rows += figures(where, campaign(fleet, policy, count, seed=3), None if options.quick else wanted)
            fleet.close()
        for where, make, *_ in places:
            fleet = make(1)
            rows += ten_minutes(where, fleet, policy, seconds)
            fleet.close()
    write("fault_campaign", rows, options.out)


if __name__ == "__main__":
    main()
