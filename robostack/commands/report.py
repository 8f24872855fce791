"""`robostack report`"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Command:
    """Put everything about a run on one page, report.html, and its figures on one screen.

    The page needs nothing else: no network, no script; it prints, and follows light and dark.

    Example: robostack report logs/quadrotor/latest
    """

    run_folder: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder, or a task (its newest run). Default: the newest run."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print metrics.json and the page's path for a script."""

    def run(self) -> int:
        from robostack.evaluate.material import figures
        from robostack.evaluate.report import write_report

        run = RunFolder.find(self.run_folder, self.root)
        with run.locked():
            page = write_report(run)
        metrics = run.metrics()
        if self.json:
            answer({"report": str(page), "metrics": metrics})
            return 0
        print_rows(figures(metrics))
        print(f"report: {page}")
        return 0


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Figures as a table, one line a row at 100 columns: what, measured, bar, reference."""
    from rich import box
    from rich.table import Table

    from robostack.evaluate.html import meets, number, reference

    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("bar", justify="right", no_wrap=True)
    table.add_column("")
    console = table_console()
    table.add_column("reference", max_width=max(24, console.width - 76))  # it wraps before the others do
    marks = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}
    for row in rows:
        sign = "" if row.get("bar") is None else f"{'≤' if row.get('better') == 'lower' else '≥'} {number(row['bar'])}"
        table.add_row(
            str(row["what"]),
            f"{number(row['value'])} {row.get('unit', '')}",
            sign,
            marks[meets(row)],
            reference(row),
        )
    console.print(table)


def table_console() -> Console:
    """Standard output as wide as the terminal; 100 columns into a file or a log, where rich would take 80."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=100)
