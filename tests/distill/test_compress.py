"""Claims: of the students that fit a board the best is kept; where none fits, it is said what the smallest takes."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from ball import Ball, BallConfig

from robostack.distill import compress as search
from robostack.distill.compress import Budget, Candidate, Size, compress, exported, pareto, size_of
from robostack.distill.dagger import DAgger
from robostack.distill.teacher import Teacher, TeacherRun
from robostack.export.target import measure
from robostack.learn.judge import Judgement, judge
from robostack.learn.shac import SHAC
from robostack.nets.actor import Actor, ActorConfig
from robostack.spec import ContractError

METHOD = DAgger(TeacherRun("in memory", ""), iterations=8, horizon=8)
SHAPES = [ActorConfig(hidden=hidden) for hidden in ((4,), (8,), (24, 24))]


@pytest.fixture
def modelled(monkeypatch):
    """Sizes as where neither cross compiler nor emulator is installed."""

    def without_tools(policy, target, precision):
        return replace(measure_nothing, target=target, precision=precision)

    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        task = Ball(BallConfig(num_envs=2))
        measure_nothing = measure(exported(task, Actor(task, SHAPES[0]), "float32"), "stm32f405", "float32")
    assert measure_nothing.flash_bytes is None
    monkeypatch.setattr(search, "measure", without_tools)


def found(score, flash, instructions=1000, hidden=(8,)):
    size = Size(flash, instructions)
    return Candidate(ActorConfig(hidden=hidden), "float32", size, 1, Judgement(score, 0.0))


def searched(budget, said=None):
    torch.manual_seed(0)
    task = Ball(BallConfig(num_envs=16))
    teacher = Teacher(Actor(task, ActorConfig(hidden=(16,))), SHAC())
    with torch.no_grad():
        teacher.actor.head.weight.mul_(20.0)
    return compress(task, teacher, METHOD, SHAPES, budget, say=(said if said is not None else []).append), task


def test_the_best_that_fits_is_found_and_flies_as_it_was_judged(modelled):
    said = []
    result, task = searched(Budget(max_flash_kb=12.0), said)
    fitting = [c for c in result.candidates if c.size.flash_bytes <= 12 * 1024]
    assert {c.name for c in result.candidates if c.judged} == {c.name for c in fitting}
    assert "24x24 float32" not in {c.name for c in fitting}
    assert result.best.score == max(c.score for c in fitting)
    assert result.best.size.modelled and result.best.size.flash_bytes <= 12 * 1024
    assert result.actor.config == result.best.actor
    if result.best.precision == "float32":
        assert judge(result.actor, task.evaluation(256), 1_000_003) == result.best.judged
    assert said[0].startswith("the policy itself") and len(said) == 1 + 2 + 1 + 1
    assert sorted({c.iterations for c in result.candidates}) == [0, 2, 8]


def test_where_nothing_fits_it_says_what_the_smallest_takes(modelled):
    with pytest.raises(
        ContractError, match=r"nothing fits 2 kB of flash and 10 instructions: .* 6 candidates, 4 .* kB"
    ):
        searched(Budget(2.0, 10))


def test_a_limit_in_one_does_not_limit_the_other():
    size = Size(10 * 1024, 5000)
    assert Budget().allows(size) and Budget(10.0).allows(size) and Budget(None, 5000).allows(size)
    assert not Budget(9.99).allows(size) and not Budget(None, 4999).allows(size) and not Budget(9.0, 9000).allows(size)


def test_no_other_is_better_and_smaller_than_one_of_the_pareto_set():
    small, middling, large = found(0.5, 10), found(0.8, 20), found(0.9, 30)
    worse, slower = found(0.7, 25), found(0.8, 20, instructions=2000)
    over = Candidate(ActorConfig(), "float32", Size(1, 1))
    assert pareto([large, worse, slower, over, small, middling]) == [small, middling, large]
    assert pareto([small, small]) == [small, small]


def test_the_half_that_goes_is_what_others_beat_and_then_what_flies_worst():
    students = [SimpleNamespace(fitting=[c]) for c in (found(0.5, 10), found(0.4, 20), found(0.9, 30), found(0.6, 40))]
    assert search._better_half(students) == [students[0], students[2]]


def test_the_model_of_size_is_what_it_claims_to_be(monkeypatch, need_tool):
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_tool(tool)
    task = Ball(BallConfig(num_envs=2))
    for precision, config in {"float32": ActorConfig(hidden=(32, 32)), "int16": ActorConfig((16,), 16)}.items():
        policy = exported(task, Actor(task, config), precision, flown=False)
        report = measure(policy, "stm32f405", precision)
        monkeypatch.setattr(search, "measure", lambda *_, r=report: replace(r, flash_bytes=None, missing="a tool"))
        about = size_of(policy, precision)
        assert about.modelled
        assert about.flash_bytes == pytest.approx(report.flash_bytes, rel=0.1)
        assert about.instructions == pytest.approx(report.instructions, rel=0.4)
