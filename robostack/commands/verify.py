"""`robostack verify`"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy
    from robostack.export.verify import PortResult


@dataclass(frozen=True)
class Command:
    """Compute the self-test vectors of a policy.onnx with every port, and compare.

    Ports: ONNX Runtime; the generated C, float32 and int16, on this machine and on the emulated board, there with
    what a control period costs; the image that flies, built from the export's firmware folder and asked over its
    link. Exit status 1 when one differs. A port whose tools are not installed is named and left out; --all makes
    that a failure.

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
        from robostack.export.onnx import load_policy

        policy, run = load_policy(path), RunFolder.of_policy(path)
        if run:
            with run.stage("verify"):
                results = _verify(policy, run.exported / "firmware")
                run.record(verify={"ports": results})
        else:
            with tempfile.TemporaryDirectory(prefix="robostack-") as name:
                results = _verify(policy, _firmware(policy, Path(name) / "firmware"))
        if self.json:
            answer(results)
        else:
            _print(results)
        return int(any(r.status == "failed" or (self.all and r.status == "missing") for r in results))


def _firmware(policy: LoadedPolicy, folder: Path) -> Path:
    """The firmware of a policy that comes without its run. The folder stays away where the policy cannot become C:
    then the C ports say which node."""
    from robostack.export.firmware import export_firmware
    from robostack.spec import ContractError

    with contextlib.suppress(ContractError):
        export_firmware(policy, folder)
    return folder


def _verify(policy: LoadedPolicy, firmware: Path) -> list[PortResult]:
    from robostack.export.flight_image import flight_images
    from robostack.export.verify import verify

    return verify(policy, extra=flight_images(policy, firmware) if firmware.is_dir() else None)


def _print(results: Sequence[PortResult]) -> None:
    from rich import box
    from rich.table import Table

    from robostack.commands.report import table_console

    numbers = ("error", "allowed", "instr.", "cycles")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("port", "vectors", "", "error", "allowed", "bits", "instr.", "cycles"):
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            no_wrap=column != "port",
            min_width=13 if column == "port" else None,
        )
    table.add_column("")
    verdicts = {"passed": "[green]agrees[/]", "failed": "[red]differs[/]", "missing": "[dim]not run[/]"}
    bits = {None: "", True: "same", False: "[red]differ[/]"}
    for r in results:
        error = "" if r.error is None else f"{r.error:.1e}"
        vectors = f"{r.count} {r.vectors}".replace("_", "-")
        cost = ["" if value is None else f"{value:,}" for value in (r.instructions, r.cycles)]
        allowed, same = f"{r.tolerance:.0e}", bits[r.bit_identical]
        table.add_row(r.port, vectors, verdicts[r.status], error, allowed, same, *cost, r.note)
    table_console().print(table)
    print("errors are shares of an action's range: recorded vectors against torch, random ones against ONNX Runtime;")
    print("cycles are modelled, of a whole control period on a Cortex-M4F")
