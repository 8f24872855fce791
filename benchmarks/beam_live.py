"""The live loop of `robostack run --live` on the twin of a beam machine: what a step takes, and whose puts are whose.

    python benchmarks/beam_live.py [--quick]

The twin is an IOC in its own process, on loopback; `robostack run` another, with real libca; a third client watches
every setpoint. A put is lost when it is in the log and the third client did not see it, unlogged the other way round. A
step is from one line `orbit` of the log to the next: the controller's decision, a ramp of ten correctors, settling, and
the mean of two shots. What waits there for the machine is told apart; shots come at 30 Hz here. `max_age_s` is long, so
that a busy computer, which runs all of them, does not end it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import row, write

from robostack.learn.shac import SHAC
from robostack.learn.trained import export_actor
from robostack.nets.actor import ActorConfig
from robostack_real.devices.epics.machine_file import MachineFile
from robostack_real.devices.epics.put_log import PUTS
from robostack_real.twins.beam_machine import PACKAGE, PORT, VirtualBeamMachine, client_environment
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit

STEPS, SEED, RATE_HZ = 1000, 4, 30.0
TIMING = "[timing]\nshots = 2\nmax_age_s = 10.0\nramp_period_s = 0.05\nsettle_timeout_s = 5.0\n\n"


def contract(path: Path) -> Path:
    """A policy's file, for the response that it carries: the gain filter decides."""
    task = BeamOrbit(BeamOrbitConfig(num_envs=2))
    export_actor(task, SHAC(actor=ActorConfig(hidden=(8,))).learner(task).actor, path)
    return path


def machine_file(path: Path) -> Path:
    text = PACKAGE.joinpath("cafe2_cm1.toml").read_text(encoding="utf-8")
    path.write_text(re.sub(r"\[timing\].*?\n\n", TIMING, text, flags=re.DOTALL))
    return path


def steer(folder: Path, steps: int) -> tuple[list[dict[str, Any]], dict[str, list[float]]]:
    """Lines of the run's log, and by setpoint what the third client saw."""
    config, policy = machine_file(folder / "machine.toml"), contract(folder / "policy.onnx")
    monitor = [str(Path(__file__).with_name("_put_monitor.py"))]
    monitor += [c.setpoint for c in MachineFile.read(config).correctors]
    run = ["-m", "robostack", "run", str(policy), "--device", "epics", "--config", str(config), "--live",
           "--controller", "gain_filter", "--steps", str(steps), "--root", str(folder)]  # fmt: skip
    os.environ.update(client_environment(PORT))
    with (
        VirtualBeamMachine(folder, seed=SEED, rate_hz=RATE_HZ),
        subprocess.Popen([sys.executable, *monitor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as third,
    ):
        assert third.stdout is not None
        if third.stdout.readline() != "ready\n":
            raise SystemExit("the third client does not see the twin")
        done = subprocess.run([sys.executable, *run], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the run ended with {done.returncode}: {(done.stdout + done.stderr)[-1000:]}")
        seen = json.loads(third.communicate()[0])
    (log,) = folder.glob(f"epics/*/{PUTS}")
    return [json.loads(line) for line in log.read_text().splitlines()], seen


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50 steps")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = 50 if options.quick else STEPS
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        lines, seen = steer(Path(folder), steps)
    logged = Counter((e["put"], e["value"]) for e in lines if e.get("put") in seen)
    others = Counter((pv, value) for pv, values in seen.items() for value in values[1:])
    orbits = [e for e in lines if e.get("event") == "orbit"]
    step_ms = 1e3 * np.diff([datetime.fromisoformat(e["time"]).timestamp() for e in orbits])
    waited_ms = 1e3 * np.diff([e["waited_s"] for e in orbits])
    rows = [
        row("steps", len(step_ms), "", steps, better="higher"),
        row("puts to correctors, in the log", logged.total(), ""),
        row("lost puts: in the log, and not seen by a third client", (logged - others).total(), "", 0),
        row("unlogged puts: seen by a third client, and not in the log", (others - logged).total(), "", 0),
    ]
    for what, ms in (
        ("a step", step_ms),
        ("of it waiting for the ramp, settling and shots", waited_ms),
        ("of it robostack, Channel Access and the answers of the twin", step_ms - waited_ms),
    ):
        for q in (50, 99):
            rows.append(row(f"{what}, p{q}", float(np.percentile(ms, q)), "ms"))
    write("beam_live", rows, options.out)


if __name__ == "__main__":
    main()
