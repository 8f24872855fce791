"""Claims: episodes start on what a curriculum says, by steps and by windows; it is told what they came to; a run under
one resumes to the bit.
"""

import math
import signal
from dataclasses import dataclass

import pytest
import torch
from ball import Ball, BallConfig
from resuming import assert_equal

from robostack import cli
from robostack.learn import ADR, PLR, PPO, SAC, SHAC, TD3, AlpGmm, Uniform, checkpoint, curriculum
from robostack.learn.curriculum.curriculum import Curriculum
from robostack.learn.curriculum.episodes import CurriculumTask, mean_advantage
from robostack.learn.trainer import train
from robostack.nets.actor import ActorConfig
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P
from robostack_sim.quadrotor.task import Quadrotor

METHODS = [Uniform(), ADR(episodes=4), AlpGmm(fit_every=20, most_components=3), PLR(levels=10)]
SMALL = ActorConfig(hidden=(8,))
SHORT = SHAC(iterations=12, horizon=5, critic=True, critic_warmup=2, gamma=0.95, actor=SMALL)
REPLAYED = SAC(iterations=12, steps=5, updates=2, batch_size=16, warmup=60, gamma=0.95, actor=SMALL)


@dataclass(frozen=True)
class Counting:
    """The next episode is on the next of 0.001, 0.002, ...; keeps what it is told."""

    parameters: tuple = ()

    def curriculum(self, parameters, seed):
        return Counted(parameters, seed)


class Counted(Curriculum):
    WANTS_VALUE_ERROR = True

    def __init__(self, parameters, seed):
        super().__init__(parameters, seed)
        self.next, self.told = 0, []

    def propose(self, n):
        self.next += n
        points = torch.arange(self.next - n + 1, self.next + 1, dtype=torch.float64) / 1000
        return points[:, None].expand(n, len(self.parameters)).clone()

    def learn(self, points, returns, value_error, solved):
        self.told += zip(points[:, 0].tolist(), returns.tolist(), value_error.tolist(), solved.tolist(), strict=True)


def ball(num_envs=4, settings=None, episode_s=0.5):
    return CurriculumTask(Ball(BallConfig(num_envs=num_envs, episode_s=episode_s)), settings or Counting())


def wind(task):
    """The ordinal of each environment's episode."""
    return ((task.task.state[:, 2] / task.task.config.wind_m_s2 + 1.0) / 2.0 * 1000).round().long().tolist()


def test_by_steps_every_episode_is_on_the_next_parameters_and_its_end_is_told():
    task = ball(episode_s=2.0)
    assert wind(task) == [1, 2, 3, 4]
    expected, returns = [], torch.zeros(4)
    for _ in range(200):
        playing = wind(task)
        x, v, _, target, _ = task.task.state.split(1, 1)
        push = 10.0 * (target - x) - 5.0 * v  # gets there
        push[1:] = torch.tensor([[0.5], [3.0], [-3.0]])
        _, reward, terminated, truncated, extras = task.step(push)
        returns += reward
        for i in (terminated | truncated).nonzero().flatten().tolist():
            expected.append((playing[i], returns[i].item(), extras["success"][i].item()))
            returns[i] = 0.0
    told = task.curriculum.told
    assert len(told) > 24 and {s for *_, s in told} == {False, True}
    assert [(round(1000 * p), s) for p, _, _, s in told] == [(p, s) for p, _, s in expected]
    assert [r for _, r, _, _ in told] == pytest.approx([r for _, r, _ in expected], rel=1e-5)
    assert sorted({*wind(task), *(p for p, *_ in expected)}) == list(range(1, task.curriculum.next + 1))


def test_by_windows_too_and_a_reward_after_the_end_does_not_count():
    task = ball(num_envs=3)
    window = task.unroll(6)
    for k in range(6):
        window.begin()
        before = wind(task)
        for _ in range(6):
            _, reward, _ = window.step(torch.tensor([[0.0], [3.0], [-3.0]]).requires_grad_())
            assert reward.requires_grad
        window.commit()
        if k == 0:
            assert before == [1, 2, 3]
    assert task.curriculum.next > 3
    told = {round(1000 * p): (r, s) for p, r, _, s in task.curriculum.told}
    assert set(told) | set(wind(task)) == set(range(1, task.curriculum.next + 1))
    # the first lasted two windows, 12 steps of at most 1 each; those that were pushed off the rail less
    assert 0.0 < told[1][0] <= 12.0
    assert not told[2][1]


def test_a_return_by_windows_is_the_sum_until_an_episode_is_over():
    task = ball(num_envs=3)
    window, returns, lasting = task.unroll(10), torch.zeros(3), torch.ones(3, dtype=torch.bool)
    window.begin()
    for _ in range(10):
        _, reward, alive = window.step(torch.tensor([[0.0], [3.0], [-3.0]]))
        returns += torch.where(lasting, reward, 0.0)
        lasting &= alive
    window.commit()
    window.begin()
    assert window.restarted.all()
    assert torch.equal(window.success, window.window.success)
    assert [r for _, r, _, _ in task.curriculum.told] == pytest.approx(returns.tolist(), rel=1e-5)


def reference_advantage(rewards, values, last, gamma):
    """By the textbook's backward recursion, mean of |A_t|."""
    ahead, advantage, total = last, 0.0, 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        advantage = reward + gamma * ahead - value + gamma * 0.95 * advantage
        ahead, total = value, total + abs(advantage)
    return total / len(rewards)


def test_the_errors_of_a_critic_are_its_mean_absolute_advantages():
    def value(obs):
        return obs[:, -3] + 2.0 * obs[:, -2]  # of position and velocity

    task = ball(num_envs=4)
    task.follow(value, 0.9)
    obs = task.observe()
    rewards, values, expected = [[] for _ in range(4)], [[] for _ in range(4)], []
    for _ in range(40):
        now = value(obs.flat)
        obs, reward, terminated, truncated, extras = task.step(torch.tensor([[0.0], [0.5], [3.0], [-2.0]]))
        after = torch.where(terminated, 0.0, value(extras["final_obs"].flat))
        for i in range(4):
            rewards[i].append(reward[i].item())
            values[i].append(now[i].item())
            if terminated[i] or truncated[i]:
                expected.append(reference_advantage(rewards[i], values[i], after[i].item(), 0.9))
                rewards[i], values[i] = [], []
    assert [e for *_, e, _ in task.curriculum.told] == pytest.approx(expected, rel=1e-3)
    assert len(expected) > 12


def test_advantages_by_doubling_are_those_by_recursion():
    error = torch.randn(37, 5, dtype=torch.float64)
    length = torch.tensor([37, 1, 20, 36, 8])
    expected = []
    for column, n in zip(error.T.tolist(), length.tolist(), strict=True):
        expected.append(reference_advantage(column[:n], [0.0] * n, 0.0, 0.8))
    assert mean_advantage(error, length, 0.8 * 0.95).tolist() == pytest.approx(expected)


def test_without_a_critic_there_is_no_error():
    task = ball()
    for _ in range(12):
        task.step(torch.zeros(4, 1))
    assert task.curriculum.told and all(math.isnan(e) for *_, e, _ in task.curriculum.told)


@pytest.mark.parametrize("action", ["rotor_speed", "thrust_and_rates"])
def test_a_quadrotor_starts_on_the_machine_that_it_is_told(action):
    task = CurriculumTask(Quadrotor(QuadrotorConfig(num_envs=200, action=action)), Counting())
    window = task.unroll(2)
    task.task.state[:50, 0] = 50.0
    window.begin()
    params, vehicle = task.task.params.double(), task.task.vehicle
    share = torch.arange(1, 201, dtype=torch.float64) / 1000
    share[:50] = torch.arange(201, 251, dtype=torch.float64) / 1000
    assert torch.allclose(params[:, P.MASS] / vehicle.mass, 0.8 + 0.4 * share, rtol=1e-5)
    assert torch.allclose(params[:, P.THRUST_2] / vehicle.thrust_curve[2], 0.9 + 0.2 * share, rtol=1e-5)
    assert torch.allclose(params[:, P.RISE], 0.05 * 5.0**share, rtol=1e-5)
    assert torch.allclose(params[:, P.OBS_DELAY] + params[:, P.ACTION_DELAY], 0.024 * share, atol=1e-7)
    force = params[:, P.FORCE : P.FORCE + 3].abs().mean()
    assert 0.02 < force / (params[:, P.MASS].mean() * 9.81) < 0.06  # a disturbance stays a share of the weight
    assert len(task.curriculum.told) == 50


def test_ranges_are_those_that_the_quadrotor_is_set_to_randomise_over():
    task = Quadrotor(QuadrotorConfig(num_envs=1, mass_scale=(0.5, 3.0), rotor_time_s=(0.02, 0.3), delay_s=(0.01, 0.02)))
    ends = {p.name: (p.low, p.high) for p in task.parameters}
    assert ends == {"mass_scale": (0.5, 3.0), "thrust_scale": (0.9, 1.1), "rotor_time_s": (0.02, 0.3),
                    "delay_s": (0.01, 0.02)}  # fmt: skip


def test_parameters_that_it_does_not_set_are_drawn_as_without_it():
    config = QuadrotorConfig(num_envs=50, mass_scale=(0.7, 1.3))
    alone = Quadrotor(config, seed=3)
    task = CurriculumTask(Quadrotor(config), Uniform(("thrust_scale",)), seed=3)
    for column in (P.MASS, P.FORCE, P.OBS_DELAY, P.INERTIA):
        assert torch.equal(task.task.params[:, column], alone.params[:, column])
    assert not torch.equal(task.task.params[:, P.THRUST_2], alone.params[:, P.THRUST_2])


class Stubborn(Ball):
    draw_parameters_from = Ball.__mro__[1].draw_parameters_from


def test_a_task_that_draws_its_own_parameters_only_is_named():
    with pytest.raises(TypeError, match="'ball' draws its own parameters only"):
        CurriculumTask(Stubborn(BallConfig(num_envs=2)), Uniform())
    with pytest.raises(ContractError, match="'ball' has no parameter gust; it has wind_m_s2"):
        CurriculumTask(Ball(BallConfig(num_envs=2)), Uniform(("gust",)))


@pytest.mark.parametrize(
    ("method", "learner"),
    [
        *((m, SHORT) for m in METHODS),
        (PLR(levels=10), PPO(iterations=12, steps=5, actor=SMALL)),
        (PLR(levels=10), REPLAYED),
    ],
    ids=lambda c: type(c).__name__,
)
def test_a_run_under_a_curriculum_resumes_to_the_bit_and_logs_it(
    method, learner, tmp_path, ball_installed, monkeypatch
):
    make = lambda: Ball(BallConfig(num_envs=8, episode_s=0.5))  # noqa: E731
    whole = RunFolder.at(tmp_path / "whole")
    history = train(make(), learner, whole, seed=1, curriculum=method)["history"]
    assert "curriculum/wind_m_s2_p50" in next(r for r in history if "loss" in r)

    kind = type(learner.learner(make()))
    parts, iterate = RunFolder.at(tmp_path / "parts"), kind.iterate

    def stopped(self):
        found = iterate(self)
        if self.iteration == 7:
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(kind, "iterate", stopped)
    assert train(make(), learner, parts, seed=1, curriculum=method)["interrupted"]
    train(make(), None, parts, resume=True)
    ours, theirs = (checkpoint.load(r.checkpoints / "last.pt") for r in (parts, whole))
    assert any(k.startswith("curriculum.") for k in theirs["task_state"])
    assert_equal({**ours, "history": 0, "progress": 0}, {**theirs, "history": 0, "progress": 0})


@pytest.mark.parametrize("method", METHODS, ids=curriculum.name_of)
def test_by_steps_a_state_goes_on_to_the_bit(method):
    def go(task, steps):
        seen = []
        for k in range(steps):
            obs, reward, *_ = task.step(torch.full((6, 1), math.sin(k)))
            seen += [obs.flat.clone(), reward.clone()]
        return seen

    first, second = (ball(6, method) for _ in range(2))
    for task in (first, second):
        task.follow(lambda obs: obs[:, -3], 0.9)
    go(first, 23)
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    assert all(torch.equal(a, b) for a, b in zip(go(first, 37), go(second, 37), strict=True))
    assert first.scalars() == second.scalars()


@pytest.mark.parametrize(
    ("learner", "knows"),
    [(SHORT, True), (SHAC(), False), (PPO(), True), (PPO(terms=(("near", 1.0),)), False), (SAC(), True), (TD3(), True)],
    ids=["SHAC with a critic", "SHAC", "PPO", "PPO of terms", "SAC", "TD3"],
)
def test_a_learner_with_a_critic_of_the_reward_says_what_it_expects(learner, knows):
    task = Ball(BallConfig(num_envs=3))
    value = learner.learner(task).value(task.observe().flat)
    assert value.shape == (3,) if knows else value is None


def test_an_episode_that_began_before_there_was_a_critic_has_an_error_too():
    """Off-policy learners look at one step of the task before they are made."""
    task = ball(num_envs=8)
    learner = REPLAYED.learner(task)
    task.follow(learner.value, REPLAYED.gamma)
    for _ in range(3):
        learner.iterate()
    assert len(task.curriculum.told) >= 8
    assert all(0.0 < error < math.inf for *_, error, _ in task.curriculum.told)


def test_judging_asks_the_tasks_own_question_and_the_policy_is_the_same_kind():
    task = ball(settings=Uniform())
    assert type(task.evaluation(3)) is Ball
    assert (task.name, task.channels, task.envelope) == (Ball.name, Ball.channels, Ball.envelope)


def robostack(line, *more):
    return cli.main([*line.split(), *map(str, more)])


def test_the_command_takes_a_curriculum_keeps_it_and_refuses_another(ball_installed, tmp_path, capsys):
    folder = tmp_path / "run"
    line = "train ball --curriculum adr --num-envs 8 --episode-s 0.5 --learner.iterations 3 --learner.horizon 5"
    assert robostack(f"{line} --curriculum.episodes 7 --curriculum.start 0.25 --run-folder", folder) == 0
    config = RunFolder.open(folder).config()
    assert config["curriculum"] == "adr"
    assert (config["curriculum_settings"]["episodes"], config["curriculum_settings"]["start"]) == (7, [0.25])
    assert robostack("train ball --resume --learner.iterations 5 --run-folder", folder) == 0
    assert RunFolder.open(folder).config()["curriculum_settings"] == config["curriculum_settings"]
    assert robostack("export", folder) == 0
    assert robostack("train ball --resume --curriculum plr --run-folder", folder) == 1
    assert "is a run of adr, not of plr; resume it without --curriculum" in capsys.readouterr().err


def test_the_command_names_the_parameters_there_are(ball_installed, tmp_path, capsys):
    line = "train ball --curriculum uniform --curriculum.parameters gust --run-folder"
    assert robostack(line, tmp_path / "run") == 1
    assert "'ball' has no parameter gust; it has wind_m_s2" in capsys.readouterr().err
    assert robostack("train ball --run-folder", tmp_path / "other", "--curriculum.step", 1) == 2


def test_a_run_without_a_curriculum_is_not_resumed_with_one(ball_installed, tmp_path, capsys):
    line = "train ball --num-envs 8 --episode-s 0.5 --learner.iterations 3 --learner.horizon 5 --run-folder"
    assert robostack(line, tmp_path / "run") == 0
    assert "curriculum" not in RunFolder.open(tmp_path / "run").config()
    assert robostack("train ball --resume --curriculum plr --run-folder", tmp_path / "run") == 1
    assert "is a run of no curriculum, not of plr" in capsys.readouterr().err
