"""`robostack sweep`"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from robostack import registry
from robostack.commands.answer import answer
from robostack.run_folder import RunFolderError, to_json, write_atomic

if TYPE_CHECKING:
    from robostack.learn.sweep import Outcome


@dataclass(frozen=True)
class Command:
    """Train every combination of settings with every seed, through Ray, and show one table.

    Each is a `train` in its own folder, so a failure is one row's and the others go on. What follows -- are settings
    of all of them, as `train` takes them. The cluster of --address needs robostack on its machines, and a file system
    they share for --root. Ctrl-C keeps what is done, and the trainings under way save and can be resumed.

    Example: robostack sweep quadrotor --seeds 0 1 2 --grid learner.iterations=120,240 -- --num-envs 128
    """

    TAKES_REST: ClassVar[bool] = True

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """A task by its name; `robostack list` shows them."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each setting is trained with each of them."""
    grid: tuple[str, ...] = ()
    """Options of `train` and their values: learner.horizon=16,32. A value of several words: 'a b,c d'."""
    address: str | None = None
    """A Ray cluster that this machine belongs to: HEAD:6379, or auto. Default: this machine alone."""
    cpus_per_run: float = 1.0
    """Cores that one training is given; it uses one."""
    gpus_per_run: float = 0.0
    """GPUs, or shares of one, that a training is given; say --device cuda after -- too."""
    root: Path = Path("logs")
    """The sweep's folder is root/task/time_sweep."""
    json: bool = False
    """Print the table as JSON for a script; progress goes to standard error."""

    def run(self, rest: list[str]) -> int:
        from robostack.learn.sweep import sweep, table, trainings

        registry.load("task", self.task)
        folder = self._folder()
        todo = trainings(folder, self.grid, self.seeds)
        ended: dict[str, Outcome] = {}

        def rows() -> list[dict[str, Any]]:
            return table(ended[str(one.folder)] for one in todo if str(one.folder) in ended)

        print(f"sweep of {len(todo)} trainings in {folder}", file=sys.stderr)
        with _progress(len(todo)) as show:

            def done(outcome: Outcome) -> None:
                ended[str(outcome.training.folder)] = outcome
                write_atomic(folder / "sweep.json", to_json(rows()))
                show(outcome)

            settings = [word for word in rest if word != "--"]
            whole = sweep(
                todo,
                self.task,
                settings,
                address=self.address,
                cpus=self.cpus_per_run,
                gpus=self.gpus_per_run,
                done=done,
            )
        if self.json:
            answer({"sweep": str(folder), "rows": rows()})
        else:
            _print(rows())
        if not whole:
            return 130
        return int(any(outcome.error for outcome in ended.values()))

    def _folder(self) -> Path:
        folder = (self.root / self.task / time.strftime("%Y-%m-%d_%H-%M-%S_sweep")).resolve()
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise RunFolderError(f"cannot make the sweep's folder {folder}: {error.strerror}") from error
        return folder


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """Each training as it ends, over a bar of all."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("sweep"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        job = bar.add_task("sweep", total=total)

        def show(outcome: Outcome) -> None:
            said = outcome.error or f"score {outcome.result['best_score']:.3f}"  # type: ignore[index]
            bar.console.print(f"{outcome.training.folder.name}: {said}", markup=False, highlight=False)
            bar.advance(job)

        yield show


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from robostack.commands.report import table_console
    from robostack.evaluate.html import number

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("setting", "trained", "score", "±", "seconds", "±"):
        shown.add_column(column, justify="left" if column == "setting" else "right", no_wrap=column != "setting")
    for row in rows:
        setting = " ".join(f"{name}={value}" for name, value in row["setting"].items()) or "defaults"
        figures = [number(row[name]) for name in ("best_score", "best_score_std", "wall_s", "wall_s_std")]
        shown.add_row(setting, f"{row['trained']} of {row['runs']}", *figures)
        for seed, error in row["failures"].items():
            shown.add_row(f"[red]  seed {seed}: {escape(error)}[/]")
    table_console().print(shown)
    if best := max((row for row in rows if row["best_run"]), key=lambda row: row["best_score"], default=None):
        print(f"best of the best setting; next: robostack export {best['best_run']}")
