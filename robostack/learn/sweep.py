"""Many trainings of one task: every combination of settings with every seed, each a `train` in a folder of its own.

Ray places them: on this machine's cores, or on a cluster's. A training is a process of its own there, so one that
fails takes no other with it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robostack.registry import MissingExtraError
from robostack.spec import ContractError

STOP_S = 30.0
"""for trainings to save their checkpoints after Ctrl-C"""

Setting = Mapping[str, str]
"""option of `train`, without its dashes -> what stands after it"""


@dataclass(frozen=True)
class Training:
    """One cell of a sweep."""

    setting: Setting
    seed: int
    folder: Path

    def command(self, task: str, settings: Sequence[str]) -> list[str]:
        """Arguments of `python -m`."""
        own = [word for name, value in self.setting.items() for word in (f"--{name}", *value.split())]
        where = ["--seed", str(self.seed), "--run-folder", str(self.folder), "--json"]
        return ["robostack", "train", task, *where, *settings, *own]


@dataclass(frozen=True)
class Outcome:
    """`result` is what `train --json` prints; `error` says why there is none, or that it was stopped."""

    training: Training
    result: Mapping[str, Any] | None
    error: str | None = None


def combinations(grid: Sequence[str]) -> list[Setting]:
    """["a=1,2", "b=x,y"] -> the four of them. Raises ContractError for what is no `option=value,...`."""
    axes: list[list[tuple[str, str]]] = []
    for words in grid:
        name, equals, values = words.partition("=")
        name = name.strip().lstrip("-")
        listed = [value.strip() for value in values.split(",")]
        if not (name and equals and all(listed)):
            raise ContractError(f"--grid {words!r}: write option=value,value, such as learner.iterations=40,80")
        if name in [axis[0][0] for axis in axes]:
            raise ContractError(f"--grid names {name} twice; list all its values once")
        axes.append([(name, value) for value in listed])
    return [dict(cell) for cell in itertools.product(*axes)]


def trainings(folder: Path, grid: Sequence[str], seeds: Sequence[int]) -> list[Training]:
    """Every combination with every seed, in `folder`, named by what they are."""
    found = []
    for number, setting in enumerate(combinations(grid)):
        label = re.sub(r"[^A-Za-z0-9._=-]+", "_", "_".join(f"{k}={v}" for k, v in setting.items()))[:100]
        for seed in seeds:
            found.append(Training(setting, seed, folder / "_".join(filter(None, (f"{number}", label, f"seed{seed}")))))
    return found


def sweep(
    todo: Sequence[Training],
    task: str,
    settings: Sequence[str],
    *,
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    done: Callable[[Outcome], None],
) -> bool:
    """Trains them all and calls `done` with each as it ends. False after Ctrl-C: the ones that ran have saved what
    they had by then, and `done` was called with the others too.

    Raises MissingExtraError without Ray, ContractError where there is no such cluster or this machine has too little
    for one training.
    """
    ray = _connected(address, cpus, gpus)
    train = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_train)
    running = {train.remote(one.command(task, settings)): one for one in todo}
    try:
        while running:
            for ref in ray.wait(list(running))[0]:
                done(_outcome(ray, ref, running[ref]))
                del running[ref]
    except KeyboardInterrupt:
        for ref in running:
            ray.cancel(ref)
        ray.wait(list(running), num_returns=len(running), timeout=STOP_S)
        for one in running.values():
            done(Outcome(one, None, "stopped" if one.folder.exists() else "not begun"))
        return False
    finally:
        ray.shutdown()
    return True


def _connected(address: str | None, cpus: float, gpus: float) -> Any:
    """Ray. A cluster of its own on this machine, which tells nobody that it is used, or the one at `address`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "a sweep needs Ray, which the 'sweep' extra installs: pip install 'robostack[sweep]'", name="ray"
        ) from error
    if address is not None:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level="error")
        return ray
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="error")
    has = ray.cluster_resources()
    for what, wanted in (("CPU", cpus), ("GPU", gpus)):
        if wanted > has.get(what, 0.0):
            ray.shutdown()
            raise ContractError(
                f"--{what.lower()}s-per-run {wanted:g}: this machine has {has.get(what, 0.0):g}; ask for less, or "
                "name a cluster with --address"
            )
    return ray


def _knock(address: str) -> None:
    """Raises ContractError when nobody listens there: Ray would try for two minutes, and then end the process."""
    host, colon, port = address.rpartition(":")
    try:
        if colon:
            socket.create_connection((host, int(port)), timeout=10.0).close()
    except (OSError, ValueError) as error:
        raise ContractError(f"--address {address}: no Ray cluster answers there: {error}") from error


def _train(command: Sequence[str]) -> tuple[int, str, str]:
    """In a Ray worker: exit status, standard output and error of a training. Cancelled, it is asked to save.

    A session of its own keeps the terminal's Ctrl-C away from it, which would be a second one; Ray blocks that signal
    in its workers, and what they start would inherit that.
    """
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return _end(process, timeout=0.2)  # a cancellation comes between two waits, not within one
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        return _end(process)


def _end(process: subprocess.Popen[str], timeout: float | None = None) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def _outcome(ray: Any, ref: Any, one: Training) -> Outcome:
    try:
        status, out, err = ray.get(ref)
    except ray.exceptions.RayError as error:  # its machine was lost, or has no robostack
        return Outcome(one, None, f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}")
    if status == 0:
        return Outcome(one, json.loads(out))
    return Outcome(one, None, _why(status, err))


def _why(status: int, err: str) -> str:
    """The one line of a failed training's standard error that says most."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    lines = [line for line in (line.strip("│╭╮╰╯─ ") for line in err.splitlines()) if line]
    if status == 2:  # wrong usage, in a box with a title
        return lines[min(1, len(lines) - 1)]
    return next((line for line in reversed(lines) if line.startswith("robostack")), lines[-1])


def table(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """One row a setting, in the order they come: mean and standard deviation over the seeds that ended well, and
    every failure by its seed. A deviation of one seed is None."""
    rows: dict[tuple[tuple[str, str], ...], list[Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(tuple(outcome.training.setting.items()), []).append(outcome)
    return [_row(dict(key), of) for key, of in rows.items()]


def _row(setting: Setting, of: Sequence[Outcome]) -> dict[str, Any]:
    well = [o.result for o in of if o.result is not None]
    row: dict[str, Any] = {"setting": setting, "runs": len(of), "trained": len(well)}
    for name in ("best_score", "wall_s"):
        values = [float(result[name]) for result in well]
        row[name] = statistics.fmean(values) if values else None
        row[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else None
    row["best_run"] = max(well, key=lambda result: result["best_score"])["run"] if well else None
    row["failures"] = {str(o.training.seed): o.error for o in of if o.error}
    return row
