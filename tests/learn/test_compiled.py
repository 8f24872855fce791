"""Claims: a compiled update is the eager one up to rounding, a compiled training resumes to the bit, and where nothing
can be compiled a training goes on without."""

import pytest
import torch
import torch._inductor
from ball import Ball, BallConfig
from resuming import assert_resumes_to_the_bit

from robostack import team
from robostack.learn.adam import Adam
from robostack.learn.compiled import compiled
from robostack.learn.off_policy import PAYS, OffPolicyLearner
from robostack.learn.sac import SAC
from robostack.learn.td3 import TD3
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig

SMALL = {"actor": ActorConfig(hidden=(8,)), "critic": CriticConfig(hidden=(8,)), "compile": True}
SHORT = {"iterations": 8, "steps": 2, "updates": 4, "batch_size": 16, "warmup": 20, **SMALL}
TOLERANCE = 1e-5
"""of a weight, after 28 updates at a rate of 1e-3"""


def ball():
    torch.manual_seed(0)
    plant = Ball(BallConfig(num_envs=8, episode_s=0.5))
    plant.reset(0)
    return plant


def trained(kind, compile):
    """A learner after 8 iterations, 7 of them with updates; its critics' weights before; and the last scalars."""
    learner = kind(**{**SHORT, "compile": compile}).learner(ball())
    before = [p.detach().clone() for p in learner.critics.parameters()]
    for seed in range(8):
        torch.manual_seed(seed)
        scalars = learner.iterate()
    return learner, before, scalars


def assert_equals_the_eager_one(kind):
    (fast, _, found), (plain, before, wanted) = trained(kind, True), trained(kind, False)
    assert fast._round != fast.round and plain._round == plain.round
    for ours, theirs in zip(fast.changed(), plain.changed(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    moved = [(a - b).abs().max() for a, b in zip(plain.critics.parameters(), before, strict=True)]
    assert max(moved) > 100 * TOLERANCE


def test_a_compiled_update_equals_the_eager_one(monkeypatch):
    monkeypatch.setattr(torch._inductor.config.cpp, "vec_isa_ok", True)  # or some seconds go into trying instructions
    assert_equals_the_eager_one(SAC)


@pytest.fixture
def recorded_alone(monkeypatch):
    """What is compiled, as it is handed to the compiler: its seconds are spent once, above."""
    monkeypatch.setattr(torch._inductor, "compile", lambda recorded, examples, options: recorded)


def test_the_other_learners_does_so_as_it_is_handed_to_the_compiler(recorded_alone):
    assert_equals_the_eager_one(TD3)


def test_a_compiled_training_resumes_to_the_bit(tmp_path, ball_installed, monkeypatch, recorded_alone):
    assert_resumes_to_the_bit(ball, TD3(**SHORT), OffPolicyLearner, 5, tmp_path, monkeypatch)


def test_without_a_compiler_one_line_says_so_and_nothing_has_changed(capsys, monkeypatch):
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    weight = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    adam = Adam([weight], 0.1)

    def step(factor):
        adam.step([weight.detach() * factor])
        return (adam.steps.clone(),)

    assert compiled(step, adam.tensors, [torch.tensor(1.0)]) is step
    assert weight.tolist() == [1.0, -2.0, 3.0] and adam.steps == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("going on without compile: ") and "no-such-compiler" in line


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_a_training_compiles_by_itself_where_that_pays(kind, monkeypatch):
    settings = {**SHORT, "compile": None, "replay_size": 1000}
    long = {**settings, "iterations": PAYS // SHORT["updates"]}
    short = kind(**{**settings, "iterations": long["iterations"] - 1})
    assert not short.learner(ball())._compiles and kind(**long).learner(ball())._compiles
    assert not kind(**{**long, "compile": False}).learner(ball())._compiles
    assert kind().iterations * kind().updates >= PAYS, "the default is long enough"
    monkeypatch.setattr(team, "size", lambda: 2)
    assert not kind(**long).learner(ball())._compiles


def test_a_team_goes_on_without(capsys, monkeypatch):
    monkeypatch.setattr(team, "size", lambda: 2)
    learner = SAC(**SHORT).learner(ball())
    assert learner._compiled([]) == learner.round
    assert capsys.readouterr().err == "SAC: no compile in a team, which averages gradients in mid-update\n"
