"""Claims: AACD starts from the expert's critic as it was; frozen, nothing of it moves by a bit."""

from dataclasses import replace

import pytest
import torch
from ball import Ball, BallConfig

from robostack.distill.aacd import AACD
from robostack.distill.dagger import DAgger
from robostack.distill.teacher import TeacherRun
from robostack.learn import checkpoint
from robostack.learn.curriculum.episodes import CurriculumTask
from robostack.learn.curriculum.plr import PLR
from robostack.learn.shac import SHAC
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder
from robostack.spec import ContractError

STUDENT = ActorConfig(hidden=(8,), recurrent=4, channels=("velocity", "setpoint"))


@pytest.fixture
def learner(expert):
    def make(**settings):
        torch.manual_seed(0)
        config = AACD(teacher=TeacherRun.of(expert), iterations=10, steps=8, actor=STUDENT, **settings)
        return config.learner(Ball(BallConfig(num_envs=16)))

    return make


def weights(critic):
    return {name: value.clone() for name, value in critic.state_dict().items()}


def test_the_critic_is_the_experts_and_what_it_says_is_under_the_experts_discount(learner, expert):
    student = learner()
    kept = checkpoint.load(expert.checkpoints / "best.pt")["critic"]
    assert all(torch.equal(value, kept[name]) for name, value in student.critic.state_dict().items())
    assert student.config.gamma == 0.97
    assert student.config.critic.channels == ("true_state", "setpoint")


def test_a_curriculum_too_discounts_as_the_expert(expert, tmp_path, monkeypatch):
    discounts = []
    monkeypatch.setattr(CurriculumTask, "follow", lambda self, value, gamma: discounts.append(gamma))
    config = AACD(teacher=TeacherRun.of(expert), iterations=1, steps=4, actor=STUDENT)
    train(Ball(BallConfig(num_envs=4)), config, RunFolder.at(tmp_path / "student"), curriculum=PLR())
    assert discounts == [0.97]


def test_a_frozen_critic_and_its_normalisers_do_not_move_by_a_bit(learner):
    student = learner(freeze_critic=True)
    before, actor = weights(student.critic), weights(student.actor)
    for _ in range(4):
        assert "value_loss" in student.iterate() or student.iteration == 1
    after = student.critic.state_dict()
    assert {"normaliser.mean", "normaliser.var", "normaliser.count", "mean", "std", "updates"} <= before.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(actor["head.weight"], student.actor.head.weight)


def test_a_critic_that_is_fine_tuned_moves_in_all_of_its_parts(learner):
    student = learner()
    before = weights(student.critic)
    for _ in range(4):
        student.iterate()
    after = student.critic.state_dict()
    assert not [name for name in before if torch.equal(before[name], after[name])]


def test_the_experts_actions_weigh_less_and_less(learner):
    student = learner(imitation=2.0, imitation_until=0.5)
    weighed = []
    for _ in range(8):
        weighed.append(student.guided)
        student.iterate()
    assert weighed == pytest.approx([2.0, 1.6, 1.2, 0.8, 0.4, 0.0, 0.0, 0.0])


def test_imitation_is_added_to_the_loss_as_written(learner):
    student = learner(imitation=2.0)
    student.iterate()
    right = student.labels()[0]
    mean = torch.randn_like(right)
    wanted = student.guided * (torch.tanh(mean) - right).square().mean()
    assert student.guidance(mean, right) == pytest.approx(wanted.item())
    assert learner().labels() == () and learner().guidance(mean) == 0.0


def test_a_rollout_is_labelled_with_what_the_expert_would_do(learner, monkeypatch):
    student = learner(imitation=1.0)
    teacher, seen, step = student.taught.teacher, [student.rollout.obs.clone()], student.task.step
    monkeypatch.setattr(student.task, "step", lambda action: (out := step(action), seen.append(out[0].flat.clone()))[0])
    student.iterate()
    wanted = [teacher.share(teacher(x, teacher.initial_state(16))[0]) for x in seen[:-1]]
    assert torch.allclose(student.labels()[0], torch.stack(wanted))


def test_imitation_leads_to_the_expert_faster_than_reward_alone(learner):
    def distance(weight):
        student = learner(imitation=weight, imitation_until=100.0)
        for _ in range(8):
            student.iterate()
        rollout = student.rollout
        with torch.no_grad():
            mean = student.actor.head(student.actor.unroll(rollout.features, rollout.units, rollout.begins))
            action, _ = student.taught.teacher(rollout.obs, student.taught.teacher_state)
            assert action.isfinite().all()
            return (torch.tanh(mean) - student.taught.right).square().mean().item()

    assert distance(10.0) < 0.9 * distance(1e-6)


def test_an_expert_without_such_a_critic_is_refused(expert):
    config = expert.config()
    teacher = TeacherRun.of(expert)
    expert.write_config({**config, "algorithm": "shac", "learner": SHAC(actor=ActorConfig((16,), privileged=True))})
    with pytest.raises(ContractError, match="train the expert with --algorithm ppo, or distil by dagger"):
        AACD(teacher=teacher, actor=STUDENT).learner(Ball())
    assert DAgger(teacher, actor=STUDENT).learner(Ball()).actor.config == STUDENT


def test_a_critic_of_other_channels_is_refused_by_name_of_what_differs(expert):
    config = expert.config()
    config["learner"]["critic"]["channels"] = ["velocity"]
    expert.write_config(config)
    with pytest.raises(ContractError, match="expert's critic does not fit"):
        replace(AACD(teacher=TeacherRun.of(expert)), actor=STUDENT).learner(Ball())
