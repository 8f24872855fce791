"""Claims: a clone does what its teacher does where the teacher goes; DAgger where the student goes."""

import pytest
import torch
from _ridge import SLOPE_S2, Ridge, RidgeConfig
from ball import Ball, BallConfig

from robostack.distill.dagger import Cloning, DAgger, ImitationLearner, imitation_loss
from robostack.distill.teacher import Teacher, TeacherRun
from robostack.learn.judge import judge
from robostack.learn.shac import SHAC
from robostack.nets.actor import Actor, ActorConfig

STUDENT = ActorConfig(hidden=(16,), recurrent=16)
NOWHERE = TeacherRun("in memory", "")


def teacher_of(task, recurrent=0):
    """Weights of no special value, that want something else in every state."""
    torch.manual_seed(5)
    actor = Actor(task, ActorConfig(hidden=(8,), recurrent=recurrent))
    with torch.no_grad():
        actor.head.weight.mul_(60.0)
    return Teacher(actor, SHAC())


def learner(kind=Cloning, num_envs=32, recurrent=0, teacher=0, **settings):
    task = Ball(BallConfig(num_envs=num_envs))
    taught_by = teacher_of(task, teacher)
    torch.manual_seed(0)
    actor = ActorConfig(hidden=(16,), recurrent=recurrent)
    return ImitationLearner(task, kind(NOWHERE, horizon=16, actor=actor, **settings), taught_by)


def iterated(learner, count):
    return [learner.iterate() for _ in range(count)]


@pytest.mark.parametrize("recurrent", [0, 6])
def test_a_clones_loss_falls_and_it_acts_as_its_teacher_on_the_teachers_states(recurrent):
    student = learner(iterations=40, recurrent=recurrent, teacher=recurrent)
    losses = [scalars["loss"] for scalars in iterated(student, 40)]
    assert losses[-1] < 0.05 * losses[0]
    window = student.drive(beta=1.0)
    with torch.no_grad():
        square = imitation_loss(student.actor, window, torch.arange(32)).item()
    assert window.target.std() > 0.1
    assert square < 0.05 * window.target.var()


def test_the_teachers_share_falls_linearly_to_nothing_and_a_clones_never():
    dagger = DAgger(NOWHERE, beta_until=0.4)
    assert [dagger.beta(p) for p in (0.0, 0.1, 0.2, 0.4, 1.0)] == pytest.approx([1.0, 0.75, 0.5, 0.0, 0.0])
    assert DAgger(NOWHERE, beta_until=0.0).beta(0.0) == 0.0
    assert {Cloning(NOWHERE).beta(p) for p in (0.0, 0.5, 1.0)} == {1.0}


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_who_drives_is_who_acts(beta, monkeypatch):
    student = learner()
    acted = []
    step = student.task.step
    monkeypatch.setattr(student.task, "step", lambda action: (acted.append(action), step(action))[1])
    window = student.drive(beta)
    done = student.actor.share(torch.stack(acted))
    assert torch.allclose(done, window.target, atol=1e-6) == (beta == 1.0)
    with torch.no_grad():
        own = torch.tanh(student.actor.head(student.actor.unroll(window.features, window.hidden, window.begins)))
    assert torch.allclose(done, own, atol=1e-6) == (beta == 0.0)


def test_a_memory_begins_anew_with_every_episode():
    student = learner(recurrent=4, teacher=4)
    student.task.episode_length_buf[::2] = student.task.max_episode_length - 3
    window = student.drive(beta=0.0)
    assert window.begins[3, ::2].all() and not window.begins[:3].any()
    units = student.actor.unroll(window.features, window.hidden, window.begins)
    fresh = student.actor.latent(window.features[3, ::2], torch.zeros(16, 4))
    assert torch.allclose(units[3, ::2], fresh, atol=1e-6)
    assert torch.allclose(student.state[:, -4:], units[-1], atol=1e-6)  # unless the last step ended an episode


def test_what_is_not_finite_teaches_nothing(monkeypatch):
    student = learner()
    monkeypatch.setattr(student.teacher, "share", lambda action: action * float("nan"))
    before = {k: v.clone() for k, v in student.actor.state_dict().items()}
    student.iterate()
    after = student.actor.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("normaliser"))
    assert student.bad_updates == 8


def test_dagger_holds_a_cart_on_its_ridge_where_a_clone_falls_off():
    """The expert is the closed form: it cancels slope and wind, and a PD law on top, small weights for tanh's sake."""
    task = Ridge(RidgeConfig(num_envs=64))
    expert = Actor(task, ActorConfig(hidden=(1,), normalise=False, privileged=True))
    assert [c.name for c in expert.channels] == ["setpoint", "true_state"]
    stiff, damped, small = 12.0, 6.0, 1e-2
    with torch.no_grad():
        expert.hidden[0].weight.copy_(small * torch.tensor([[stiff, -stiff - SLOPE_S2, -damped, -1.0]]))
        expert.hidden[0].bias.zero_()
        expert.head.weight.fill_(1.0 / (4.0 * small))  # the push's range is four to either side
    evaluation = task.evaluation(256)
    assert judge(expert, evaluation, 1).success_rate > 0.95
    found = {}
    for kind in (Cloning, DAgger):
        torch.manual_seed(0)
        config = kind(NOWHERE, iterations=40, horizon=20, actor=STUDENT)
        student = ImitationLearner(Ridge(RidgeConfig(num_envs=64)), config, Teacher(expert, SHAC()))
        iterated(student, 40)
        found[kind] = judge(student.actor, evaluation, 1).success_rate
    assert found[DAgger] > found[Cloning] + 0.3
