"""`robostack explain`"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from robostack.export.onnx import LoadedPolicy
    from robostack.spec import ActionChannel, Channel

MANY, FEW = 16, 6
"""A channel of more elements than so many is shown by so few."""
NUMBERS = ("#", "low", "high", "noise", "neutral")


@dataclass(frozen=True)
class Command:
    """Show the contract inside a policy.onnx: what a machine measures and accepts, its limits, its fallback.

    A row an element, in the order of the packed vectors, to be ticked off beside the machine. Nothing of the
    policy is run, so it is safe with a file from a stranger.

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
            answer(
                {
                    "spec": policy.spec,
                    "interface_hash": policy.spec.interface_hash,
                    "section_digests": policy.spec.section_digests(),
                    "policy_hash": policy.policy_hash,
                    "file_sha256": policy.file_sha256,
                    "signature": _signature(policy),
                    "qualification": record_of(policy),
                }
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
    from rich.table import Table

    from robostack.commands.report import table_console
    from robostack.evaluate.contract_words import milliseconds, rung_in_words
    from robostack.qualify.record import state

    spec, console = policy.spec, table_console()

    def show(title: str, columns: Sequence[str], channels: Iterable[Sequence[Sequence[str]]]) -> None:
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            right = column in NUMBERS
            table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
        for rows in channels:
            for row in rows:
                table.add_row(*row)
            table.add_section()
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
        "In: what the machine measures, and what it is told",
        ("#", "channel", "element", "unit", "frame", "low", "high", "noise", "oldest", "held"),
        _numbered((c, _measured(c)) for c in spec.observations),
    )
    show(
        "Out: what the actuator takes",
        ("#", "action", "element", "unit", "low", "high", "neutral", "slew a second"),
        _numbered((a, _taken(a)) for a in spec.actions),
    )
    console.print("[bold]When something is wrong[/bold]")
    for i, rung in enumerate(spec.envelope.fallback, 1):
        console.print(f"  {i}. {rung_in_words(rung)}")
    if spec.envelope.tumble:
        console.print(
            f"  tilted past {spec.envelope.tumble.max_tilt_rad:.2f} rad for "
            f"{milliseconds(spec.envelope.tumble.for_s)}: the last of these at once"
        )
    vectors = f"{len(spec.self_test.inputs)} vectors" if spec.self_test else "none"
    console.print("\n[bold]Whose it is[/bold]")
    for name, value in (
        ("policy", policy.policy_hash),
        ("interface", spec.interface_hash),
        ("file", policy.file_sha256),
        ("signed by", _signature(policy)),
        ("self-test", vectors),
        *((k, spec.provenance[k]) for k in ("algorithm", "seed", "commit") if k in spec.provenance),
        ("release", state(policy)),
    ):
        console.print(f"  {name:<10}{value}", highlight=False, markup=False)


def _numbered(channels: Iterable[tuple[Channel | ActionChannel, list[list[str]]]]) -> Iterator[list[list[str]]]:
    """Rows an element behind its place in what is packed; of a channel of many the first ones and the last."""
    first = 0
    for channel, rows in channels:
        numbered = [[str(first + k), channel.name if k == 0 else "", *row] for k, row in enumerate(rows)]
        first += channel.size
        if len(rows) > MANY:
            numbered[FEW:-1] = [["", "", f"… {len(rows) - FEW - 1} more"]]
        yield numbered


def _measured(c: Channel) -> list[list[str]]:
    """A row an element; what is one for all of them in the first, what there is to say of the frame from there on."""
    from robostack.evaluate.contract_words import milliseconds
    from robostack.evaluate.html import number

    of_all = [milliseconds(c.max_age_s), f"{c.hold_periods} periods"]
    told = [word for word in (c.frame, c.sign, "commanded" * (c.source == "command")) if word]
    notes = [*told, *[""] * c.size] if len(told) <= c.size else [", ".join(told), *[""] * c.size]
    spread = (c.per_element(f) for f in ("low", "high", "noise_std"))
    each = zip(c.element_names, _units(c), notes, *spread, strict=False)
    return [
        [name, unit, note, number(low), number(high), number(std), *(of_all if k == 0 else [])]
        for k, (name, unit, note, low, high, std) in enumerate(each)
    ]


def _units(c: Channel) -> list[str]:
    """Of each element: `m, m/s` is shared out to equal parts of them."""
    units = c.unit.split(", ")
    return [units[k * len(units) // c.size] for k in range(c.size)] if c.size % len(units) == 0 else [c.unit] * c.size


def _taken(a: ActionChannel) -> list[list[str]]:
    from robostack.evaluate.html import number

    slew = [number(v) for v in a.slew_per_s] if a.slew_per_s else ["not limited"] * a.size
    figures = zip(*([number(v) for v in f] for f in (a.low, a.high, a.neutral)), slew, strict=True)
    return [[name, a.unit, *row] for name, row in zip(a.elements, figures, strict=True)]
