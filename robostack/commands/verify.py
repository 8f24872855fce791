"""`robostack verify`"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robostack.run_folder import RunFolder


@dataclass(frozen=True)
class Command:
    """Compute the self-test vectors of a policy.onnx with every port, and compare.

    Ports: ONNX Runtime, C on this machine, C on the emulated board. Exit status 1 when one differs. A port
    whose tools are not installed is named and left out; --all makes that a failure.

    Example: robostack verify policy.onnx
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    root: Path = Path("logs")
    """Folder with the runs."""
    all: bool = False
    """A port that cannot be run is a failure."""
    json: bool = False
    """Print the table as JSON for a script."""

    def run(self) -> int:
        path = RunFolder.find_policy(self.policy, self.root)
        from robostack.export.verify import verify

        folder = path.resolve().parent.parent
        if path.name == "policy.onnx" and (folder / "checkpoints").is_dir():
            with RunFolder.open(folder).stage("verify") as run:
                ports = [asdict(p) for p in verify(path)]
                run.record(verify={"ports": ports})
        else:
            ports = [asdict(p) for p in verify(path)]
        print(json.dumps(ports, indent=2)) if self.json else _print(ports)
        bad = [p for p in ports if p["passed"] is False or (self.all and p["passed"] is None)]
        return int(bool(bad))


def _print(ports: list[dict[str, object]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("port", "", "worst error", "tolerance", "note"):
        table.add_column(column, justify="right" if column in ("worst error", "tolerance") else "left")
    verdicts = {True: "[green]agrees[/]", False: "[red]differs[/]", None: "[dim]not run[/]"}
    for p in ports:
        worst, tolerance = ("" if p[k] is None else f"{p[k]:.1e}" for k in ("worst", "tolerance"))
        verdict = verdicts[p["passed"]]  # type: ignore[index]
        table.add_row(str(p["port"]), verdict, worst, tolerance, str(p.get("note") or ""))
    Console().print(table)
