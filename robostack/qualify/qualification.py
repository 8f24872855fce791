"""All probes in their order, and what they come to: released when every bar of the task is met."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robostack.evaluate.html import meets
from robostack.qualify.bench import Bench
from robostack.qualify.condition import Case
from robostack.qualify.finding import Finding, Probe
from robostack.qualify.probes import (
    latency,
    nominal,
    packet_loss,
    parameters,
    ports,
    rate,
    repeat,
    sensors,
    spare_channel,
    worst_case,
)
from robostack.spec import ContractError
from robostack.task import Task

if TYPE_CHECKING:
    from rich.progress import Progress

PROBES: Mapping[str, Probe] = {
    "nominal": nominal.probe,
    "parameters": parameters.probe,
    "worst_case": worst_case.probe,
    "rate": rate.probe,
    "repeat": repeat.probe,
    "latency": latency.probe,
    "sensors": sensors.probe,
    "packet_loss": packet_loss.probe,
    "spare_channel": spare_channel.probe,
    "ports": ports.probe,
}
FIGURES = frozenset((
    "nominal", "envelope_off", "worst_case", "rate", "repeat", "fas", "latency", "delay", "noise", "bias", "outage",
    "loss", "message",
))  # fmt: skip
"""that a Bar may name, beside the task's parameters"""


@dataclass(frozen=True)
class Qualification:
    """Of one policy; not complete when it was stopped."""

    bench: Bench
    findings: Mapping[str, Finding]
    seconds: Mapping[str, float]
    """that each probe took"""
    complete: bool

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [r for finding in self.findings.values() for r in finding.rows]

    @property
    def missed(self) -> list[dict[str, Any]]:
        """Rows whose bar is not met."""
        return [r for r in self.rows if meets(r) is False]

    @property
    def passed(self) -> bool:
        return self.complete and not self.missed

    @property
    def cases(self) -> list[Case]:
        return [finding.worst[0] for finding in self.findings.values() if finding.worst]

    @property
    def verdict(self) -> str:
        if not self.complete:
            return "stopped"
        return "passed" if self.passed else "failed"


def check_bars(task: Task) -> None:
    """Raises ContractError for a task that asks for nothing, or for a figure that there is not."""
    bars = task.qualification()
    if not bars:
        raise ContractError(
            f"task {task.name!r} says nothing of what a policy must reach to be released, so nothing can be judged; "
            "return Bars from its qualification(), as robostack_sim/quadrotor/qualification.py does"
        )
    known = FIGURES | {p.name for p in task.parameters}
    if unknown := [b.figure for b in bars if b.figure not in known]:
        raise ContractError(f"task {task.name!r}: a bar for {unknown[0]!r}; there are {', '.join(sorted(known))}")


def qualify(bench: Bench, progress: Progress, probes: Sequence[str] = tuple(PROBES)) -> Qualification:
    """Runs the probes. Ctrl-C keeps those that are done."""
    check_bars(bench.task)
    findings: dict[str, Finding] = {}
    seconds: dict[str, float] = {}
    shown = progress.add_task("qualify", total=len(probes))
    try:
        for name in probes:
            progress.update(shown, description=f"qualify: {name.replace('_', ' ')}")
            start = time.perf_counter()
            findings[name] = PROBES[name](bench)
            seconds[name] = time.perf_counter() - start
            progress.advance(shown)
    except KeyboardInterrupt:
        pass
    return Qualification(bench, findings, seconds, complete=len(findings) == len(PROBES))
