"""`robostack explain`"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robostack.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robostack.export.onnx import LoadedPolicy


@dataclass(frozen=True)
class Command:
    """Show the contract inside a policy.onnx: what a machine measures and accepts, its limits, its fallback.

    Nothing of the policy is run, so it is safe with a file from a stranger.

    Example: robostack explain policy.onnx
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the whole contract as JSON, with its digests."""

    def run(self) -> int:
        from robostack.export.onnx import load_policy
        from robostack.qualify.record import record_of

        policy = load_policy(RunFolder.find_policy(self.policy, self.root))
        if self.json:
            print(
                json.dumps(
                    {
                        "spec": policy.spec.model_dump(mode="json"),
                        "interface_hash": policy.spec.interface_hash,
                        "section_digests": policy.spec.section_digests(),
                        "policy_hash": policy.policy_hash,
                        "file_sha256": policy.file_sha256,
                        "signature": _signature(policy),
                        "qualification": asdict(record) if (record := record_of(policy)) else None,
                    },
                    indent=2,
                )
            )
        else:
            _print(policy)
        return 0


def _signature(policy: LoadedPolicy) -> str:
    """Whose, in words. A genuine one is not yet a trusted one: that is for whoever knows the key to say."""
    from robostack import signature
    from robostack.registry import MissingExtraError
    from robostack.spec import ContractError

    if not signature.signature_path(policy.origin).exists():
        return "none"
    try:
        return signature.signer_of(policy).fingerprint
    except MissingExtraError as error:
        return f"not checked: {error}"
    except ContractError as error:
        return f"BAD: {error}"


def _print(policy: LoadedPolicy) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from robostack.evaluate.contract_words import limits, milliseconds, rung_in_words
    from robostack.qualify.record import state

    spec, console = policy.spec, Console()

    def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)

    console.print(
        f"[bold]{spec.task}[/bold], one action every {milliseconds(spec.control_dt_s)}"
        + (f", {spec.state.size} values of memory" if spec.state.size else "")
    )
    console.print(
        f"trained for delays: observation {milliseconds(*spec.obs_delay_s)}, action "
        f"{milliseconds(*spec.action_delay_s)}, jitter {milliseconds(spec.jitter_s)}\n"
    )
    show(
        "In: what the machine measures",
        ("channel", "elements", "unit", "frame", "low", "high", "oldest", "held"),
        [
            (
                c.name,
                ", ".join(c.element_names[:12]) + (" ..." if c.size > 12 else ""),
                c.unit,
                c.frame,
                limits(c.low),
                limits(c.high),
                milliseconds(c.max_age_s),
                f"{c.hold_periods} periods",
            )
            for c in spec.observations
        ],
    )
    show(
        "Out: what the actuator takes",
        ("action", "elements", "unit", "low", "high", "neutral", "slew a second"),
        [
            (
                a.name,
                ", ".join(a.elements),
                a.unit,
                limits(a.low),
                limits(a.high),
                limits(a.neutral),
                "not limited" if a.slew_per_s is None else limits(a.slew_per_s),
            )
            for a in spec.actions
        ],
    )
    console.print("[bold]When something is wrong[/bold]")
    for i, rung in enumerate(spec.envelope.fallback, 1):
        console.print(f"  {i}. {rung_in_words(rung)}")
    if spec.envelope.tumble:
        console.print(
            f"  tilted past {spec.envelope.tumble.max_tilt_rad:.2f} rad for "
            f"{milliseconds(spec.envelope.tumble.for_s)}: the last of these at once"
        )
    console.print("\n[bold]Digests[/bold]")
    for name, digest in (
        ("policy", policy.policy_hash),
        ("interface", spec.interface_hash),
        ("file", policy.file_sha256),
        ("signed by", _signature(policy)),
        ("release", state(policy)),
    ):
        console.print(f"  {name:<10}{digest}", highlight=False, markup=False)
