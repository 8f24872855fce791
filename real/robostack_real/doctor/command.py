"""`robostack doctor`: check a policy's contract against what is on the wire"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack_real.doctor.diagnosis import diagnose
from robostack_real.doctor.finding import Finding
from robostack_real.doctor.quality import judge


@dataclass(frozen=True)
class Command:
    """Check a policy's contract against what is on the wire, and say what to change.

    Listens to the topics that the contract asks for: types, senders, rates and gaps, stamps and latency against what
    the policy was trained with, element names, frames, numbers and limits, and whether rates are the rates of what they
    claim to be, which shows a wrong unit as soon as something moves. Finds qualities of service that keep a sender and
    a listener apart, on `action` and `estop` too. Sends nothing. Run it beside your drivers before the policy flies,
    and move the machine by hand meanwhile.

    With --stack it also looks for the nodes of a running one: which tell their state, in which they are, and whether
    they were started from this file.

    Exit status 1 when something is wrong, 0 otherwise.

    Example: robostack doctor policy.onnx --seconds 10
    Example: robostack doctor policy.onnx --stack quadrotor
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")] = None
    """A policy.onnx, a run folder or a task (its newest run). Default: the newest run."""
    seconds: float = 5.0
    """How long to listen."""
    stack: str | None = None
    """Of whose nodes each has to be there."""
    json: bool = False
    """Print the findings as JSON for a script."""
    root: Path = Path("logs")
    """Folder with the runs."""

    def run(self) -> int:
        from rich.console import Console
        from rich.progress import Progress

        from robostack import registry
        from robostack.export.onnx import load_policy
        from robostack.messages import observation_topics
        from robostack_real.doctor.listening import listen
        from robostack_real.doctor.presence import present
        from robostack_real.stacks.stack import Request, Stack

        if not 1.0 <= self.seconds <= 3600.0:
            raise ContractError(f"--seconds {self.seconds:g}: must lie in [1, 3600]")
        path = RunFolder.find_policy(self.policy, self.root)
        policy = load_policy(path)
        spec, roles = policy.spec, []
        if self.stack is not None:
            stack: Stack = registry.load("stack", self.stack)
            roles = [n.told_as for n in stack.describe(Request(path, view_port=0))]
        with Progress(console=Console(stderr=True), transient=True) as bar:
            work = bar.add_task("listening", total=1.0)
            heard, ends, reports = listen(
                observation_topics(spec), self.seconds, lambda s: bar.update(work, completed=s), roles
            )
        findings = [*present(policy, roles, reports), *diagnose(spec, heard), *judge(ends)]
        if self.json:
            answer(findings)
        else:
            _show(findings)
        return int(any(f.level == "error" for f in findings))


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "topic", "what", "found", "what to do")
    marks = {"ok": "[green]ok[/]", "warning": "[yellow]look[/]", "error": "[red]wrong[/]"}
    for f in findings:
        table.add_row(marks[f.level], f.topic, f.what, f.found, f.remedy)
    Console().print(table)
