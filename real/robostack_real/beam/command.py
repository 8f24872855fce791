"""`robostack trial`: correct the orbits of unknown machines live, beside classical controllers"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack.evaluate.flight import Flight
    from robostack_real.beam.trial import Trial


@dataclass(frozen=True)
class Command:
    """Correct the orbits of unknown machines live, by a policy and by classical controllers, and compare.

    Each machine is drawn by a seed: offsets, gains, polarities, perhaps a dead BPM, which nobody is told. It is an
    EPICS IOC in a process of its own at a private port (`robostack twin beam`), new for each controller, and corrected
    over Channel Access by `robostack run --live`, several at a time. Figures are the true orbit's. A run keeps them in
    its metrics.json and the orbits in flights/, and `robostack report` shows them.

    Example: robostack trial logs/beam_orbit/latest --machines 10
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    machines: int = 10
    """How many."""
    seed: int = 1
    """Of the first machine; the next ones have the next."""
    steps: int = 10
    """Moves."""
    controllers: tuple[Literal["policy", "gain_filter", "svd"], ...] = ("policy", "gain_filter", "svd")
    """Who corrects."""
    at_once: int = 3 * (os.cpu_count() or 1)
    """Corrections at a time; most of one is waiting for magnets to settle."""
    config: Path | None = None
    """The machine's file. Default: the one of cafe2_cm1 that comes along."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the figures as JSON for a script."""

    def run(self) -> int:
        for option in ("machines", "steps", "at_once"):
            if (value := getattr(self, option)) < 1:
                raise ContractError(f"--{option.replace('_', '-')} {value}: must be 1 at least")
        if not self.controllers:
            raise ContractError("--controllers: name one at least")
        path = RunFolder.find_policy(self.policy, self.root)
        from robostack.export.onnx import load_policy

        policy, run = load_policy(path), RunFolder.of_policy(path)
        from robostack_real.beam.corrections import KIND, machines, rows
        from robostack_real.beam.trial import Trial

        shipped = files("robostack_real.devices.epics").joinpath("cafe2_cm1.toml")
        with run.stage("trial") if run else nullcontext(), as_file(shipped) as usual:
            flights = self._correct(Trial(policy, path, self.config or usual, self.steps))
            result = {"policy_hash": policy.policy_hash, "rows": rows(flights), "machines": machines(flights)}
            if run:
                for old in run.flights.glob(f"{KIND}_*.npz"):
                    old.unlink()
                for flight in flights:
                    flight.save(run.flights / f"{flight.name}.npz")
                run.record(trial=result)
        if self.json:
            answer(result)
        else:
            _print(result)
        return 0

    def _correct(self, trial: Trial) -> list[Flight]:
        from rich.console import Console
        from rich.progress import track

        seeds, controllers = range(self.seed, self.seed + self.machines), tuple(dict.fromkeys(self.controllers))
        ending = trial.corrections(seeds, controllers, self.at_once)
        total = len(seeds) * len(controllers)
        return list(track(ending, "correct", total=total, console=Console(stderr=True)))


def _print(result: dict[str, Any]) -> None:
    """A line a machine: RMS before, and by controller the RMS after and the moves until it was first below 1 mm."""
    from rich import box
    from rich.table import Table

    from robostack.commands.report import print_rows, table_console
    from robostack_real.beam.corrections import CONTROLLERS, PER_MM

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    own = [c for c in CONTROLLERS if any(c in m["controllers"] for m in result["machines"])]
    for column in ("machine", "reversed", "dead", "before", *(CONTROLLERS[c] for c in own)):
        table.add_column(column, justify="left" if column == "dead" else "right", no_wrap=True)
    for m in result["machines"]:
        ends = (m["controllers"].get(c) for c in own)
        table.add_row(
            str(m["machine"]),
            str(len(m["flipped"]) or ""),
            ", ".join(m["dead"]),
            f"{PER_MM * m['before_m']:.2f}",
            *("" if e is None else f"{PER_MM * e['after_m']:.2f} {_moves(e)}" for e in ends),
        )
    table_console().print(table)
    print("RMS of the true orbit at the BPMs that live, mm, and after how many moves it was first below 1 mm;")
    print("reversed: correctors whose polarity is the other one, which nobody was told")
    print_rows(result["rows"])


def _moves(end: dict[str, Any]) -> str:
    if end["held"]:
        return "(held)"
    return "(never)" if end["moves"] is None else f"({end['moves']})"
