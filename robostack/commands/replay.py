"""`robostack replay`"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack.evaluate.replay import Replay


@dataclass(frozen=True)
class Command:
    """Feed a recording to a policy behind its envelope, and show where its actions differ from those logged.

    Each period asks what this policy would have done there: what was logged is what was applied. Takes what `robostack
    record` and `ros2 bag record` wrote, and flights (.mcap or .npz). Exit status 1 where an action differs by more than
    the tolerance or the envelope would have tripped.

    Example: robostack replay run.mcap --policy new.onnx
    Example: robostack replay run.mcap --policy new.onnx --tolerance 0.02 --plot differences.html
    """

    recording: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECORDING")]
    """An .mcap file, a folder of `ros2 bag`, or a flight's .npz."""
    policy: Annotated[str | None, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    tolerance: float = 0.01
    """What each action may differ by, as a share of its range."""
    plot: Path | None = None
    """Write a page with charts there."""
    namespace: str | None = None
    """Of the topics, where several stacks were recorded."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the result as JSON for a script."""

    def run(self) -> int:
        if not self.tolerance >= 0:
            raise ContractError(f"--tolerance {self.tolerance}: give a share of the range, such as 0.01")
        from robostack.evaluate import bag
        from robostack.evaluate.flight import Flight
        from robostack.evaluate.replay import read, replay
        from robostack.runtime.runner import load

        policy = load(RunFolder.find_policy(self.policy, self.root))
        with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
            path = self.recording
            if path.suffix == ".npz":
                path = bag.save(Flight.load(path), Path(folder) / f"{path.stem}.mcap")
            recording = read(path, policy.spec, self.namespace)
        result = replay(policy, recording, _tell if sys.stderr.isatty() else lambda done, of: None)
        found = self._found(result, policy.policy_hash, recording.policy_hash)
        if self.plot is not None:
            from robostack.evaluate.replay_page import replay_page
            from robostack.run_folder import write_atomic

            text = replay_page(result, self.recording.name, _whose(found), self.tolerance)
            write_atomic(self.plot, text.encode())
        if self.json:
            answer(found)
        else:
            self._print(found)
        return 0 if found["ok"] else 1

    def _found(self, result: Replay, replayed: str, recorded: str) -> dict[str, Any]:
        elements = result.elements
        return {
            "recording": str(self.recording),
            "policy_hash": replayed,
            "recorded_policy_hash": recorded or None,
            "periods": len(result.time_s),
            "compared": int(result.compared.sum()),
            "seconds": float(result.time_s[-1]),
            "late_s": result.late_s,
            "tolerance": self.tolerance,
            "actions": [asdict(d) for d in elements],
            "trips": [asdict(t) for t in result.trips],
            "ok": not result.trips and all(d.share <= self.tolerance for d in elements),
        }

    def _print(self, found: dict[str, Any]) -> None:
        from rich import box
        from rich.table import Table

        from robostack.commands.report import table_console
        from robostack.evaluate.html import number
        from robostack.evaluate.replay_page import REASONS, percent

        print(f"{self.recording}: {_whose(found)}")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("action", "unit", "largest", "rms", "of range", "at, s", ""):
            table.add_column(column, justify="left" if column in ("action", "unit", "") else "right")
        for d in found["actions"]:
            verdict = "[green]✓[/]" if d["share"] <= self.tolerance else "[red]✗[/]"
            figures = number(d["largest"]), number(d["rms"]), percent(d["share"]), f"{d['at_s']:.2f}"
            table.add_row(d["name"], d["unit"], *figures, verdict)
        table_console().print(table)
        if found["late_s"]:
            late = f"it was recorded from {found['late_s']:.2f} s after the policy began to command"
            print(f"{late}: a policy with memory has less of it here than it had there")
        for t in found["trips"]:
            what = f"{t['reason']}{f' {channel}' if (channel := t['channel']) else ''}, {REASONS.get(t['reason'], '')}"
            print(f"would have tripped at {t['at_s']:.2f} s, for {t['periods']} periods: {what}")
        if not found["trips"]:
            print("its envelope would not have tripped")
        if self.plot is not None:
            print(f"charts: {self.plot}")


def _whose(found: dict[str, Any]) -> str:
    """Which policies, and how much of the recording."""
    recorded, replayed = found["recorded_policy_hash"], found["policy_hash"][:16]
    periods = f"{found['compared']:,} of {found['periods']:,} periods compared, {found['seconds']:.1f} s"
    if recorded == found["policy_hash"]:
        return f"the policy that was recorded, {replayed}; {periods}"
    return f"policy {replayed} on what {f'{recorded[:16]} did' if recorded else 'was logged'}; {periods}"


def _tell(done: int, of: int) -> None:
    print(f"\r\x1b[Kreplay {100 * done / of:3.0f} %\r", end="", file=sys.stderr, flush=True)
