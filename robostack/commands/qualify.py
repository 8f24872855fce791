"""`robostack qualify`"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder, to_json, write_atomic
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack.export.onnx import LoadedPolicy
    from robostack.qualify.qualification import Qualification


@dataclass(frozen=True)
class Command:
    """The release gate: put an exported policy through all that its machine may do to it, and say pass or fail.

    The file itself flies in ONNX Runtime behind its envelope: nominal; every parameter of the task swept, and the worst
    case of all searched; other control rates, held actions, latency; worse sensors, lost packets, a lying channel; and
    every port must compute the same. The bars are in the task's own file. The verdict is written into the policy's
    file: sign it afterwards. Exit status 1 when a bar is missed. Ctrl-C keeps what is done, and gives no verdict.

    Example: robostack qualify policy.onnx
    Example: robostack qualify policy.onnx --replay qualification/worst_case.json
    """

    policy: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")] = None
    """A policy.onnx, a run folder, or a task (its newest run). Default: the newest run."""
    out: Path | None = None
    """Folder for report.html, result.json and the worst cases; must not exist yet. Default: qualification/ in the run,
    or beside the policy."""
    overwrite: bool = False
    """Write into a folder that exists."""
    replay: Path | None = None
    """Fly the episodes of this case again and print how they went."""
    episodes: int = 128
    """Of every condition."""
    generations: int = 12
    """Of every search."""
    seed: int = 0
    """Of the episodes and searches; no seed is one that a training draws from."""
    root: Path = Path("logs")
    """Folder with the runs."""
    json: bool = False
    """Print the result as JSON for a script."""

    def run(self) -> int:
        for name in ("episodes", "generations"):
            if getattr(self, name) < 1:
                raise ContractError(f"--{name} {getattr(self, name)}: must be 1 at least")
        path = RunFolder.find_policy(self.policy, self.root)
        from robostack.export.onnx import load_policy

        policy, run = (
            load_policy(path),
            RunFolder.of_policy(path),
        )  # what is no policy is refused before torch is loaded
        if self.replay is not None:
            return _replay(policy, self.replay, self.json)
        folder = self.out or (run.path if run else path.parent) / "qualification"
        if folder.exists() and not self.overwrite:
            raise ContractError(f"{folder} exists; give --out another folder, or --overwrite")
        from rich.console import Console
        from rich.progress import Progress

        from robostack.learn.trained import task_of_policy
        from robostack.qualify.bench import Bench
        from robostack.qualify.qualification import check_bars, qualify

        task = task_of_policy(policy)
        check_bars(task)
        bench = Bench(policy, task, self.episodes, self.generations, self.seed)
        with run.stage("qualify") if run else nullcontext():
            with Progress(console=Console(stderr=True)) as progress:
                found = qualify(bench, progress)
            result = _write(found, folder, path)
            if run and found.complete:
                run.record(qualify=result)
        if self.json:
            answer(result)
        else:
            _print(found, folder, path)
        return int(not found.passed) if found.complete else 130


def _again(policy: Path, case: str) -> str:
    return f"robostack qualify {policy} --replay {case}"


def _write(found: Qualification, folder: Path, path: Path) -> dict[str, Any]:
    """The report and what goes with it, then the verdict into the policy's file; returns the result."""
    from importlib import metadata

    from robostack.qualify.page import qualification_page
    from robostack.qualify.record import Record, subject_of, with_record

    bench = found.bench
    asked = {"episodes": bench.episodes, "generations": bench.generations, "seed": bench.seed}
    result = {
        "policy": str(path),
        "policy_hash": bench.policy.policy_hash,
        "verdict": found.verdict,
        **asked,
        "rows": found.rows,
        "seconds": {name: round(seconds, 2) for name, seconds in found.seconds.items()},
        "report": str(folder / "report.html"),
        "cases": [str(folder / f"{case.name}.json") for case in found.cases],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for case in found.cases:
        write_atomic(folder / f"{case.name}.json", to_json(case))
    write_atomic(folder / "result.json", to_json(result))
    page = qualification_page(found, _again(path, str(folder / "CASE.json")))
    write_atomic(folder / "report.html", page.encode())
    if found.complete:
        by, rows = metadata.version("robostack"), json.loads(to_json(found.rows))
        record = Record(subject_of(bench.policy), found.passed, by, **asked, rows=tuple(rows))
        write_atomic(path, with_record(bench.policy, record).data)
    return result


def _print(found: Qualification, folder: Path, path: Path) -> None:
    from robostack.commands.report import print_rows
    from robostack.signature import signature_path

    print_rows(found.rows)
    barred = sum(r["bar"] is not None for r in found.rows)
    print(f"{found.verdict}: {barred - len(found.missed)} of {barred} bars, {sum(found.seconds.values()):.0f} s")
    print(f"report: {folder / 'report.html'}")
    for case in found.cases:
        print(f"{case.name.replace('_', ' ')}, again: {_again(path, str(folder / f'{case.name}.json'))}")
    if not found.complete:
        print(f"{path} is as it was: nothing is judged until all of it is")
    elif signature_path(path).exists():
        print(f"{signature_path(path)} is of the file as it was; sign it again: robostack sign {path} --key KEY")


def _replay(policy: LoadedPolicy, path: Path, as_json: bool) -> int:
    """A case again; 0 whatever came of it, as it is a case to look at."""
    from pydantic import TypeAdapter, ValidationError

    from robostack.learn.trained import task_of_policy
    from robostack.qualify.bench import Bench
    from robostack.qualify.condition import Case

    try:
        case = TypeAdapter(Case).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ContractError(f"{path}: not a case of robostack qualify: {error.errors()[0]['msg']}") from error
    if case.policy_hash != policy.policy_hash:
        raise ContractError(
            f"{path}: a case of policy {case.policy_hash[:16]}, and {policy.origin} is {policy.policy_hash[:16]}; "
            "give the policy that was qualified"
        )
    bench = Bench(policy, task_of_policy(policy), case.episodes)
    outcome = bench.flown([case.condition] * case.episodes, case.seed).outcome(slice(None))
    if as_json:
        answer({"case": case.name, "then": case.outcome, "now": outcome})
        return 0
    for name, value in case.condition.parameters.items():
        print(f"{name} = {value:.6g}")
    if case.condition.message:
        print(f"an adversary on {case.condition.message.channel}")
    for what, now, then in zip(
        ("episodes that succeed", "share of an episode that it lasts", "reward a step", "envelope took over"),
        astuple(outcome), astuple(case.outcome), strict=True,
    ):  # fmt: skip
        print(f"{what}: {now:.4g} ({'as it was' if now == then else f'it was {then:.4g}'})")
    return 0
