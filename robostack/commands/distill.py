"""`robostack distill`"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from robostack.commands.answer import answer
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

if TYPE_CHECKING:
    from robostack.distill.compress import Budget, Compressed
    from robostack.nets.actor import ActorConfig


@dataclass(frozen=True)
class Command:
    """Teach a student by the policy of a run. The student is a run of its own: export, verify and fly it as any other.

    An expert of simulation, trained with --learner.actor.privileged, sees what no machine measures, so its student is
    what is exported. cloning regresses to the expert's actions where the expert goes, dagger where the student goes,
    aacd lets a new policy learn by PPO under the expert's critic (--learner.imitation: and from its actions too).

    With a budget (--max-flash-kb, --max-instructions) students of several shapes learn from the run by dagger, and the
    best that fits is exported, in float32 or int16. Without a budget it runs under torchrun too, as train does.

    Settings follow: --student.channels, --student.hidden, --student.recurrent, --learner..., and those of the task; see
    them with --settings-help. Where a task names what a student may sense, --student NAME chooses the channels.

    Example: robostack distill logs/quadrotor/latest --student.hidden 32 32
    Example: robostack distill quadrotor --max-flash-kb 20 --max-instructions 15000
    """

    TAKES_REST: ClassVar[bool] = True

    teacher: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """Who teaches: a run folder, or a task (its newest run). Default: the newest run."""
    method: Literal["cloning", "dagger", "aacd"] = "dagger"
    """How the student learns."""
    student: str | None = None
    """What the student senses, by a name that the task gives to some of its channels: of tactile_placement force_field,
    anyskin, image or blind. What follows as --student.channels says it one by one."""
    max_flash_kb: float | None = None
    """Flash that the policy may take of a board, its envelope and constants among it, in kB of 1024 bytes."""
    max_instructions: int | None = None
    """Instructions that a control period may take."""
    shapes: tuple[str, ...] = ("8", "8x8", "16x16", "32x32", "64x64", "32x32x32")
    """With a budget: widths of the layers that are tried. A GRU, where the student has one, is as wide as the last."""
    seed: int = 0
    """Makes the run reproducible to the bit on one machine."""
    name: str | None = None
    """Added to the student's run folder's name."""
    run_folder: Path | None = None
    """The folder to write in. Default: a new one under --root."""
    root: Path = Path("logs")
    """Where new run folders go: root/task/time."""
    quick: bool = False
    """A much shorter training, to see that everything works."""
    json: bool = False
    """Print the result as JSON for a script; progress goes to standard error."""
    settings_help: bool = False
    """Show the settings of the student, of how it learns and of the task, and stop."""

    def run(self, rest: list[str]) -> int:
        from robostack import team
        from robostack.commands.train import new_run, trained

        budget = self.max_flash_kb is not None or self.max_instructions is not None
        if budget and self.method != "dagger":
            raise ContractError(f"a budget's students learn by dagger; leave out --method {self.method}")
        expert = RunFolder.find(self.teacher, self.root)
        kind, chosen = self._settings(expert, rest)
        team.join()
        if budget and team.size() > 1:
            if team.rank() == 0:
                what = "one process looks for the student that fits a budget: start this without torchrun"
                print(f"robostack distill: {what}", file=sys.stderr)
            team.wait()
            return 1
        config = replace(chosen.learner, actor=chosen.student)
        task = kind(replace(chosen.task, device=team.device(chosen.task.device)))
        config.learner(task)  # what cannot be is refused before there is a folder
        if team.rank() == 0:
            print(f"teaching a student of {expert.path}", file=sys.stderr)
        if budget:
            return self._compress(task, config)
        run = team.first(lambda: new_run(task.name, self.run_folder, self.name, self.root))
        return trained(task, config, run, verb="distill", as_json=self.json, seed=self.seed, quick=self.quick)

    def _compress(self, task: Any, config: Any) -> int:
        from robostack.commands import export
        from robostack.commands.train import new_run
        from robostack.distill.compress import Budget, compress, keep

        if self.quick:
            config = replace(config, iterations=max(4, config.iterations // 20))
        if self.run_folder and (held := sorted(self.run_folder.glob("checkpoints/*.pt"))):
            raise ContractError(f"{held[0]}: this folder holds a run already; give another folder")
        budget = Budget(self.max_flash_kb, self.max_instructions)
        shapes = [_shape(word, config.actor) for word in self.shapes]
        found = compress(
            task, config.teacher.load(task), config, shapes, budget, seed=self.seed,
            say=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
        run = new_run(task.name, self.run_folder, self.name, self.root)
        with run.stage("compress"):
            keep(found, task, config, budget, run, self.seed)
        run.make_latest()
        if not self.json:
            _print(found, budget)
        status = export.Command(run_folder=str(run.path), precision=found.best.precision).run()
        if self.json:
            shown = {k: v for k, v in run.metrics().items() if k in ("compress", "export")}
            answer({"run": str(run.path), **shown})
        return status

    def _settings(self, expert: RunFolder, rest: list[str]) -> tuple[Any, Any]:
        """The task's class, and `.task`, `.student` and `.learner` as the command line says, else as the expert's."""
        from robostack.distill.teacher import TeacherRun
        from robostack.learn.algorithms import settings_of
        from robostack.learn.trained import RunSettings
        from robostack.nets.actor import ActorConfig

        before = RunSettings.of(expert)
        theirs = before.learner.actor
        learner = settings_of(self.method)(teacher=TeacherRun.of(expert))
        student = ActorConfig() if theirs.privileged else theirs
        if self.student is not None:
            student = replace(student, channels=self._modality(before.kind))
        settings = make_dataclass(
            "Settings",
            [
                ("task", Annotated[type(before.task), tyro.conf.arg(name="")], field(default=before.task)),
                ("student", ActorConfig, field(default=student)),
                ("learner", type(learner), field(default=learner)),
            ],
        )
        chosen: Any = tyro.cli(
            settings,
            args=["--help"] if self.settings_help else rest,
            prog="robostack distill RUN",
            description="Settings of the student, of how it learns, and of the task.",
        )
        return before.kind, chosen

    def _modality(self, kind: Any) -> tuple[str, ...]:
        """Channels of `--student NAME`."""
        name = (self.student or "").replace("-", "_")
        if name not in kind.modalities:
            known = ", ".join(kind.modalities) or "none; name its channels: --student.channels"
            raise LookupError(f"no student of {kind.name} is called {self.student!r}; there are: {known}")
        channels: tuple[str, ...] = kind.modalities[name]
        return channels


def _shape(word: str, student: ActorConfig) -> ActorConfig:
    """64x32 -> a student of these widths."""
    try:
        hidden = tuple(int(width) for width in word.split("x"))
    except ValueError:
        hidden = ()
    if not hidden or min(hidden) < 1:
        raise ContractError(f"--shapes {word}: widths of layers with x between them, such as 64x64 or 32")
    return replace(student, hidden=hidden, recurrent=hidden[-1] if student.recurrent else 0)


def _print(found: Compressed, budget: Budget) -> None:
    """The Pareto set, and what was chosen of it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from robostack.distill.compress import pareto

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("candidate", "flash, kB", "instructions", "iterations", "success, %", "reward"):
        table.add_column(title, justify="left" if title == "candidate" else "right")
    for c in pareto(found.candidates):
        assert c.judged
        table.add_row(
            c.name, f"{c.size.flash_bytes / 1024:.1f}", f"{c.size.instructions:,}", str(c.iterations),
            f"{100 * c.judged.success_rate:.1f}", f"{c.judged.step_reward:.4f}",
        )  # fmt: skip
    Console().print(table)
    print(f"of {len(found.candidates)} candidates, those that no other beats; flash and instructions of a Cortex-M4F")
    if found.best.size.modelled:
        print("modelled, instructions to two fifths: no cross compiler or no emulator (robostack list)")
    print(f"best within {budget}: {found.best.name}, {found.best.size}")
