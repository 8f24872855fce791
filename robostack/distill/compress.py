"""A policy for a smaller board: students of several shapes learn from it, the better half goes on, the best that fits
the budget stays.

Every student learns by DAgger from the policy's own actions. Successive halving (Jamieson and Talwalkar 2016): after a
quarter of the training and after half of it they fly the task's evaluation, and those that are larger than another and
no better go first. Flash and instructions are an export's own (robostack.export.target): counted on the emulated board.
An int16 student is flown as the C that a board would run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robostack.distill.dagger import Cloning, ImitationLearner
from robostack.distill.teacher import Teacher
from robostack.export.calibration import calibrated
from robostack.export.firmware import Precision, generate_firmware
from robostack.export.host import HostPolicy
from robostack.export.onnx import LoadedPolicy
from robostack.export.target import measure
from robostack.learn import checkpoint
from robostack.learn.flown import observed_in_flight
from robostack.learn.judge import Judgement, judge
from robostack.learn.trained import export_actor, keep_settings
from robostack.learn.trainer import EVALUATION_ENVS, EVALUATION_SEED
from robostack.nets.actor import Actor, ActorConfig
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack.task import Layout, Obs, Task

SHARES = (0.25, 0.5, 1.0)
"""of the training, at which students are judged"""
PRECISIONS: tuple[Precision, ...] = ("float32", "int16")
CODE_BYTES = 5000
PERIOD_INSTRUCTIONS: dict[Precision, tuple[float, float]] = {"float32": (2700.0, 4.0), "int16": (4000.0, 1.7)}
"""of a control period without a network, and for a multiply-add: fitted to networks of 8 to 64x64x64 units and GRUs on
the emulated board, which they miss by up to two fifths; flash by a tenth"""


@dataclass(frozen=True)
class Size:
    """What a policy takes of a Cortex-M4F with its envelope: as `TargetReport`, or modelled where tools are missing."""

    flash_bytes: int
    instructions: int
    """of a control period"""
    modelled: bool = False

    def __str__(self) -> str:
        about = "about " if self.modelled else ""
        return f"{about}{self.flash_bytes / 1024:.1f} kB and {self.instructions:,} instructions"


@dataclass(frozen=True)
class Budget:
    """What a board has left; None is no limit."""

    max_flash_kb: float | None = None
    """of 1024 bytes"""
    max_instructions: int | None = None

    def allows(self, size: Size) -> bool:
        flash = self.max_flash_kb is None or size.flash_bytes <= 1024 * self.max_flash_kb
        return flash and (self.max_instructions is None or size.instructions <= self.max_instructions)

    def __str__(self) -> str:
        flash = [] if self.max_flash_kb is None else [f"{self.max_flash_kb:g} kB of flash"]
        time = [] if self.max_instructions is None else [f"{self.max_instructions:,} instructions"]
        return " and ".join(flash + time) or "no limit"


@dataclass(frozen=True)
class Candidate:
    """A network in a precision: what it takes, and how it flew after so many iterations."""

    actor: ActorConfig
    precision: Precision
    size: Size
    iterations: int = 0
    judged: Judgement | None = None
    """None: over the budget, so that nobody taught it"""

    @property
    def name(self) -> str:
        return f"{'x'.join(map(str, self.actor.hidden))}{'+GRU' if self.actor.recurrent else ''} {self.precision}"

    @property
    def score(self) -> float:
        return self.judged.score if self.judged else -float("inf")

    def beats(self, other: Candidate) -> bool:
        """No worse in anything, better in something."""
        ours = (self.score, -self.size.flash_bytes, -self.size.instructions)
        theirs = (other.score, -other.size.flash_bytes, -other.size.instructions)
        return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))


@dataclass(frozen=True)
class Compressed:
    """What a search found."""

    candidates: tuple[Candidate, ...]
    best: Candidate
    """the best under the budget, its size measured with its own weights"""
    actor: Actor
    """its network, on the CPU"""


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats, the smallest first."""
    flown = [c for c in candidates if c.judged]
    kept = [c for c in flown if not any(other.beats(c) for other in flown)]
    return sorted(kept, key=lambda c: c.size.flash_bytes)


def compress(
    task: Task,
    teacher: Teacher,
    method: Cloning,
    shapes: Sequence[ActorConfig],
    budget: Budget,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Compressed:
    """The best student of `shapes` under `budget`; `say` takes a line for every judgement.

    Raises ContractError, naming the smallest candidate, when none fits; ToolMissingError without a C compiler.
    """
    torch.set_num_threads(1)
    students = [_Student(task, teacher, replace(method, actor=shape), budget, seed) for shape in shapes]
    every = [c for s in students for c in s.candidates]
    alive = [s for s in students if s.fitting]
    if not alive:
        least = min(every, key=lambda c: (c.size.flash_bytes, c.size.instructions))
        raise ContractError(
            f"nothing fits {budget}: the smallest of {len(every)} candidates, {least.name}, takes {least.size}; "
            "allow more, or give smaller --shapes"
        )
    evaluation = task.evaluation(EVALUATION_ENVS)
    own = judge(teacher.actor, evaluation, EVALUATION_SEED)
    say(f"the policy itself: {100 * own.success_rate:.1f} %, reward {own.step_reward:.4f} a step")
    for share in SHARES:
        for student in alive:
            student.advance(share)
            student.judge(evaluation)
            say(f"{student.fitting[0].name}: {student.said}")
        if share < 1.0:
            alive = _better_half(alive)
    for student in students:
        student.judge_ports(evaluation)
    found = [c for s in students for c in s.candidates]
    for candidate in sorted((c for s in students for c in s.fitting), key=lambda c: (-c.score, c.size.flash_bytes)):
        actor = next(s.actor for s in students if candidate in s.candidates)
        size = size_of(exported(task, actor, candidate.precision), candidate.precision)
        if budget.allows(size):
            return Compressed(tuple(found), replace(candidate, size=size), actor)
    raise ContractError(f"nothing fits {budget} once it has learned; allow a little more")


def keep(found: Compressed, task: Task, method: Cloning, budget: Budget, run: RunFolder, seed: int) -> None:
    """Writes the best student as a run like any other, and the whole table into its metrics."""
    assert found.best.judged
    keep_settings(run, task, replace(method, actor=found.best.actor), seed)
    judged = asdict(found.best.judged)
    checkpoint.save(run.checkpoints / "best.pt", {"actor": found.actor.state_dict(), "judged": judged})
    best = found.best.iterations
    run.record(
        train={
            "iterations": best,
            "env_steps": best * method.horizon * task.num_envs,
            "best_iteration": best,
            "best_score": found.best.score,
            "seed": seed,
        },
        compress={
            "budget": asdict(budget),
            "best": found.best.name,
            "candidates": [{"name": c.name, **asdict(c.size), **(asdict(c.judged) if c.judged else {})}
                           for c in found.candidates],
            "pareto": [c.name for c in pareto(found.candidates)],
        },
    )  # fmt: skip


def _better_half(students: list[_Student]) -> list[_Student]:
    """Those that the fewest others beat, the higher score first."""
    flown = [s.fitting[0] for s in students]
    beaten = [sum(other.beats(c) for other in flown) for c in flown]
    ranked = sorted(range(len(flown)), key=lambda k: (beaten[k], -flown[k].score))
    return [students[k] for k in sorted(ranked[: -(-len(flown) // 2)])]


class _Student:
    """One shape while it learns, and its candidates: one a precision."""

    def __init__(self, task: Task, teacher: Teacher, method: Cloning, budget: Budget, seed: int) -> None:
        torch.manual_seed(seed)
        kind: Any = type(task)
        own: Task = kind(task.config)
        own.reset(seed)
        self.task, self.budget = own, budget
        self.learner = ImitationLearner(own, method, teacher)
        self.candidates = [
            Candidate(method.actor, p, size_of(exported(own, self.actor, p, flown=False), p)) for p in PRECISIONS
        ]

    @property
    def fitting(self) -> list[Candidate]:
        return [c for c in self.candidates if self.budget.allows(c.size)]

    @property
    def actor(self) -> Actor:
        return deepcopy(self.learner.actor).cpu().eval()

    @property
    def said(self) -> str:
        judged = self.fitting[0].judged
        assert judged
        what = f"{100 * judged.success_rate:.1f} %, reward {judged.step_reward:.4f} a step"
        return f"{what}, after {self.learner.iteration} iterations"

    def advance(self, share: float) -> None:
        while self.learner.iteration < round(share * self.learner.config.iterations):
            self.learner.iterate()

    def judge(self, evaluation: Task) -> None:
        """As torch computes it, whatever the precision: which half goes on is decided by that."""
        verdict = judge(self.learner.actor, evaluation, EVALUATION_SEED)
        self.candidates = [
            replace(c, judged=verdict, iterations=self.learner.iteration) if c in self.fitting else c
            for c in self.candidates
        ]

    def judge_ports(self, evaluation: Task) -> None:
        """Those that compute otherwise, as the C that a board runs."""
        for k, candidate in enumerate(self.candidates):
            if candidate.judged and candidate.precision != "float32":
                port = _Port(exported(self.task, self.actor, candidate.precision), candidate.precision, evaluation)
                self.candidates[k] = replace(candidate, judged=judge(port, evaluation, EVALUATION_SEED))


def exported(task: Task, actor: Actor, precision: Precision, *, flown: bool = True) -> LoadedPolicy:
    """The actor's file, for int16 with the ranges that it meets, in flight too where it has been `flown`."""
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        policy = export_actor(task, actor, Path(folder) / "policy.onnx")
    if precision == "float32":
        return policy
    return calibrated(policy, observed_in_flight(policy, task) if flown else None)


def size_of(policy: LoadedPolicy, precision: Precision) -> Size:
    """What the policy takes, measured where the cross compiler and the emulator are installed."""
    report = measure(policy, "stm32f405", precision)
    if report.flash_bytes is not None and report.instructions is not None:
        return Size(report.flash_bytes, report.instructions)
    with tempfile.TemporaryDirectory(prefix="robostack-") as folder:
        made = generate_firmware(policy, folder, precision)
    test = policy.spec.self_test
    vectors = 4 * sum(np.asarray(rows).size for rows in (test.inputs, test.outputs)) if test else 0
    fixed, each = PERIOD_INSTRUCTIONS[precision]
    return Size(CODE_BYTES + vectors + made.constant_bytes, round(fixed + each * made.multiply_adds), modelled=True)


class _Port:
    """The generated C, asked as the judge asks an actor."""

    def __init__(self, policy: LoadedPolicy, precision: Precision, task: Task) -> None:
        self.port, self.layout, self.device = HostPolicy(policy, precision), Layout(task.channels), task.device
        self.reset = torch.tensor(policy.spec.state.reset, dtype=torch.float32)

    def initial_state(self, num_envs: int) -> Tensor:
        return self.reset.expand(num_envs, -1)

    def __call__(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        obs = {name: value.numpy() for name, value in Obs(x.cpu(), self.layout).items()}
        applied = obs["applied_action"].reshape(len(x), -1)
        action, following = self.port.infer(obs, applied, state.numpy() if len(self.reset) else None)
        return torch.from_numpy(action).to(self.device), state if following is None else torch.from_numpy(following)
