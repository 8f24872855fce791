"""Claims: PPO follows the gradient it says it follows, no unit of a reward matters, and it resumes to the bit."""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from ball import Ball, BallConfig

from robostack import cli
from robostack.export.onnx import load_policy
from robostack.export.verify import check, verify
from robostack.features import FirstOrderLag, Pick, Scale
from robostack.learn import checkpoint
from robostack.learn.judge import judge
from robostack.learn.learner import DivergedError
from robostack.learn.ppo import PPO
from robostack.nets.actor import ActorConfig
from robostack.nets.critic import CriticConfig
from robostack.run_folder import RunFolder
from robostack.spec import ContractError
from robostack.task import Obs

SMALL = PPO(steps=8, epochs=2, minibatches=2, gamma=0.95, actor=ActorConfig(hidden=(8,)), critic=CriticConfig((8,)))
GRU = replace(SMALL, actor=ActorConfig(hidden=(8,), recurrent=4))
TERMS = (("near", 1.0), ("effort", 0.1))


def learner(config=SMALL, task=Ball, **settings):
    torch.manual_seed(0)
    plant = task(BallConfig(**{"num_envs": 16, "episode_s": 0.5, **settings}))
    plant.reset(0)
    return config.learner(plant)


def first_batch(ppo):
    """What the first update of an iteration learns from: a list of arguments for `loss`."""
    ppo.iterate()
    ppo.rollout.collect(ppo.log_std.detach().exp())
    inputs = ppo.critic.see(ppo.rollout.seen)
    advantage, target = ppo._credit(inputs)
    held = ppo.rollout
    old = -0.5 * held.noise.square().sum(-1) - ppo.log_std.detach().sum()
    preference, target = ppo._preference(advantage), ppo.critic.without_unit(target)
    values = (held.features, inputs[:-1], held.explored, old, preference, target, held.begins)
    return next(iter(ppo._shuffled(values)))


@pytest.mark.parametrize("config", [SMALL, GRU], ids=["feed-forward", "GRU"])
def test_before_its_first_step_the_policy_is_the_one_that_explored(config):
    ppo = learner(config)
    batch = first_batch(ppo)
    _, (surrogate, _, kl) = ppo.loss(*batch)
    assert kl == pytest.approx(0.0, abs=1e-6)
    assert surrogate == pytest.approx(-batch[5].mean().item(), abs=1e-5)


@pytest.mark.parametrize("config", [SMALL, GRU], ids=["feed-forward", "GRU"])
def test_the_gradient_is_that_of_the_loss(config):
    """Finite differences in double precision, away from the first step, where some ratios are clipped."""
    ppo = learner(replace(config, entropy=0.01))
    batch = [v.double() if v.is_floating_point() else v for v in first_batch(ppo)]
    for module in (ppo.actor, ppo.critic):
        module.double()
    ppo.log_std.data = ppo.log_std.data.double() + 0.1
    parameters = [*ppo.actor.parameters(), *ppo.critic.parameters(), ppo.log_std]
    with torch.no_grad():
        ppo.actor.head.bias.add_(0.3)
    loss, (_, _, kl) = ppo.loss(*batch)
    assert kl > 0.01
    gradient = torch.autograd.grad(loss, parameters)
    length = math.sqrt(sum(float(g.square().sum()) for g in gradient))

    def moved(step):
        with torch.no_grad():
            for p, g in zip(parameters, gradient, strict=True):
                p.add_(g / length, alpha=step)
            value = ppo.loss(*batch)[0].item()
            for p, g in zip(parameters, gradient, strict=True):
                p.sub_(g / length, alpha=step)
        return value

    assert (moved(1e-6) - moved(-1e-6)) / 2e-6 == pytest.approx(length, rel=1e-4)


def test_what_is_clipped_has_no_gradient_and_its_way_back_has():
    ppo = learner()
    ratio = torch.tensor([0.5, 1.5, 0.5, 1.5])
    units, *rows = first_batch(ppo)
    features, inputs, explored, _, _, target, begins = (v[:4] for v in rows)
    with torch.no_grad():
        mean = ppo.actor.head(ppo.actor.unroll(features, units, begins))
        log_prob = -0.5 * ((explored - mean) / ppo.log_std.exp()).square().sum(-1) - ppo.log_std.sum()
    old, preference = log_prob - ratio.log(), torch.tensor([1.0, 1.0, -1.0, -1.0])
    surrogate = ppo.loss(units, features, inputs, explored, old, preference, target, begins)[1][0]
    assert surrogate == pytest.approx(-(0.5 + 1.2 - 0.8 - 1.5) / 4, abs=1e-5)


class Constant(Ball):
    """The reward is 1 or 0 for a whole episode, and the critic sees which: V is 1 / (1 - gamma) or 0."""

    ends = "truncated"
    critic_channels = ("setpoint",)

    def restart(self, mask):
        super().restart(mask)
        self.state[:, 3] = torch.where(mask, (self.state[:, 3] > 0.0).float(), self.state[:, 3])

    def step(self, action):
        reward = self.state[:, 3].clone()
        obs, _, _, truncated, extras = super().step(action)
        never = torch.zeros_like(truncated)
        over = (never, truncated) if self.ends == "truncated" else (truncated, never)
        return obs, reward, *over, extras

    def gone(self, state):
        return torch.zeros(len(state), dtype=torch.bool)


class Ending(Constant):
    ends = "terminated"


def values_of(task):
    """What the critic says at last of episodes of four steps that earn 1, and 0, a step."""
    config = replace(SMALL, epochs=4, gamma=0.9, critic_learning_rate=1e-2)
    ppo = learner(config, task, num_envs=32, episode_s=0.2)
    for _ in range(60):
        ppo.iterate()
    x = torch.zeros(2, ppo.task.layout.size)
    x[0, ppo.task.layout.offset["setpoint"]] = 1.0
    with torch.no_grad():
        return ppo.critic(x).tolist()


def test_a_time_out_bootstraps_from_what_it_cut_off():
    """Not from nothing, which makes it 2.3, and not from the next episode's first observation, which makes it 5.7."""
    one, zero = values_of(Constant)
    assert one == pytest.approx(10.0, abs=0.5)
    assert zero == pytest.approx(0.0, abs=0.5)


def test_a_termination_bootstraps_from_nothing():
    one, zero = values_of(Ending)
    assert one == pytest.approx(sum((1 - 0.9**n) / 0.1 for n in range(1, 5)) / 4, abs=0.3)
    assert zero == pytest.approx(0.0, abs=0.3)


class Rescaled(Ball):
    """One term's unit is another."""

    factor = 1.0

    def advance(self, state, action):
        state, terms = super().advance(state, action)
        return state, {**terms, "effort": terms["effort"] * self.factor}


def actor_after(config, factor, iterations=4):
    ppo = learner(config, type("Rescaled", (Rescaled,), {"factor": factor}))
    for _ in range(iterations):
        ppo.iterate()
    return torch.cat([p.detach().flatten() for p in ppo.actor.parameters()])


def test_with_a_critic_a_term_no_terms_unit_matters():
    config = replace(SMALL, terms=TERMS)
    plain = actor_after(config, 1.0)
    assert torch.equal(actor_after(config, 1024.0), plain)
    torch.testing.assert_close(actor_after(config, 1000.0), plain, atol=1e-4, rtol=1e-3)
    assert (actor_after(SMALL, 1000.0) - actor_after(SMALL, 1.0)).abs().max() > 1e-2


def test_a_terms_weight_matters_and_its_sign():
    plain = actor_after(replace(SMALL, terms=TERMS), 1.0)
    other = actor_after(replace(SMALL, terms=(("near", 1.0), ("effort", -2.0))), 1.0)
    assert (other - plain).abs().max() > 1e-2


def test_a_term_that_says_nothing_counts_nothing():
    class Idle(Ball):
        def advance(self, state, action):
            state, terms = super().advance(state, action)
            return state, {**terms, "idle": 0.0 * terms["near"]}

    with_idle = replace(SMALL, terms=(("near", 1.0), ("idle", 1.0)))
    ppo = learner(with_idle, Idle)
    advantage = torch.stack([torch.randn(8, 16), torch.zeros(8, 16)], -1)
    expected = (advantage[..., 0] - advantage[..., 0].mean()) / advantage[..., 0].std(correction=0)
    torch.testing.assert_close(ppo._preference(advantage), expected)
    for _ in range(4):
        assert all(math.isfinite(v) for v in ppo.iterate().values())


class Remembering(Ball):
    features = (Scale(Pick("image")), FirstOrderLag(Pick("velocity"), 0.2), Scale(Pick("setpoint")))


@pytest.mark.parametrize(
    ("config", "task"),
    [(SMALL, Ball), (replace(GRU, terms=TERMS), Remembering)],
    ids=["feed-forward", "GRU, features that remember, terms"],
)
def test_a_resumed_learner_goes_on_to_the_bit(config, task, tmp_path):
    def kept(ppo):
        return {"learner": ppo.state_dict(), "task": ppo.task.state_dict(), "rng": torch.get_rng_state()}

    whole = learner(config, task)
    for iteration in range(5):
        whole.iterate()
        if iteration == 2:
            checkpoint.save(tmp_path / "last.pt", kept(whole))
    resumed, found = learner(config, task), checkpoint.load(tmp_path / "last.pt")
    resumed.iterate()
    resumed.load_state_dict(found["learner"])
    resumed.task.load_state_dict(found["task"])
    torch.set_rng_state(found["rng"])
    rewards = [resumed.iterate()["reward"] for _ in range(2)]
    assert len(set(rewards)) == 2
    assert_equal(kept(resumed), kept(whole) | {"rng": torch.get_rng_state()})


def assert_equal(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("recurrent", [0, 8])
def test_it_learns_from_pictures_to_hold_a_ball_in_the_wind(recurrent):
    config = PPO(steps=16, gamma=0.95, actor=ActorConfig(hidden=(32,), recurrent=recurrent))
    ppo = learner(config, num_envs=128, episode_s=2.0)
    evaluation = ppo.task.evaluation(256)
    before = judge(ppo.actor, evaluation, 5)
    for _ in range(20):
        ppo.iterate()
    after = judge(ppo.actor, evaluation, 5)
    assert before.success_rate < 0.2
    assert after.success_rate > 0.9
    assert after.step_reward > 0.75


def test_the_learning_rate_follows_the_divergence():
    ppo, rate = (
        learner(replace(SMALL, desired_kl=0.01, learning_rate=1e-3)),
        lambda: ppo.optimiser.param_groups[0]["lr"],
    )
    ppo._follow(0.01)
    assert rate() == 1e-3
    ppo._follow(0.021)
    assert rate() == pytest.approx(1e-3 / 1.5)
    ppo._follow(0.004)
    assert rate() == pytest.approx(1e-3)
    for _ in range(50):
        ppo._follow(1.0)
    assert rate() == 1e-5
    assert ppo.optimiser.param_groups[1]["lr"] == SMALL.critic_learning_rate
    fixed = learner(replace(SMALL, desired_kl=0.0))
    fixed._follow(1.0)
    assert fixed.optimiser.param_groups[0]["lr"] == SMALL.learning_rate


class Poisoned(Ball):
    broken = False

    def advance(self, state, action):
        state, terms = super().advance(state, action)
        return state, {**terms, "effort": terms["effort"] * (math.nan if self.broken else 1.0)}


def test_a_rollout_that_is_not_finite_is_left_out_and_enough_of_them_end_the_training():
    ppo = learner(replace(GRU, terms=TERMS), Poisoned)
    ppo.iterate()
    ppo.iterate()
    for broken in (True, True, False):
        ppo.task.broken = broken
        before = deepcopy(ppo.state_dict())
        ppo.iterate()
        same = all(torch.equal(v, before["actor"][k]) for k, v in ppo.actor.state_dict().items())
        assert same == broken
    assert ppo.bad_updates == 0
    ppo.task.broken = True
    with pytest.raises(DivergedError, match="reward effort was not finite for 21 updates in a row"):
        [ppo.iterate() for _ in range(50)]
    assert all(torch.isfinite(p).all() for p in (*ppo.actor.parameters(), *ppo.critic.parameters()))


class Blind(Ball):
    """A channel that the critic reads is infinite in one environment for one step."""

    at = 20

    def sense(self, state):
        obs, self.at = super().sense(state), self.at - 1
        if self.at == 0:
            obs.flat[0, obs.layout.offset["velocity"]] = math.inf
        return Obs(obs.flat, obs.layout)


def test_a_channel_that_is_not_finite_once_does_not_stay_in_the_moments():
    ppo = learner(task=Blind)
    for _ in range(4):
        ppo.iterate()
    assert ppo.task.at < 0
    for module in (ppo.actor, ppo.critic):
        assert all(torch.isfinite(v).all() for v in module.state_dict().values())
    assert torch.isfinite(ppo.rollout.state).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "at least 1"),
        ({"std": 0.0}, "std is 0.0"),
        ({"gamma": 1.5}, "from 0 to 1"),
        ({"terms": (("near", 1.0), ("near", 2.0))}, "near, near: a term is named twice"),
        ({"terms": (("near", math.inf),)}, "weight"),
        ({"minibatches": 17, "actor": GRU.actor}, "minibatches is 17 with 16 environments"),
        ({"critic": CriticConfig(channels=("speed",))}, "no channel 'speed'"),
        ({"actor": ActorConfig(channels=("true_state",))}, "true_state is privileged"),
    ],
)
def test_a_setting_that_cannot_be_is_named_before_anything_runs(change, message):
    with pytest.raises(ContractError, match=message):
        learner(replace(SMALL, **change))


def test_a_policy_with_a_memory_is_trained_by_name_and_flies_as_onnx_and_as_c(tmp_path, ball_installed):
    settings = (
        "--num-envs 16 --learner.iterations 4 --learner.steps 8 --learner.minibatches 2 --learner.actor.recurrent 4 "
        "--learner.actor.hidden 8 --learner.actor.channels image velocity --learner.terms near 1 effort 0.1"
    )
    folder = str(tmp_path / "run")
    assert cli.main(["train", "ball", "--algorithm", "ppo", *settings.split(), "--run-folder", folder]) == 0
    more = ["--resume", "--learner.iterations", "5", "--run-folder", folder]
    assert cli.main(["train", "ball", *more]) == 0
    run = RunFolder.open(tmp_path / "run")
    assert run.config()["learner"]["terms"] == [["near", 1.0], ["effort", 0.1]]
    assert cli.main(["export", folder]) == 0
    policy = load_policy(run.policy)
    assert policy.spec.provenance["algorithm"] == "ppo"
    assert [c.name for c in policy.spec.observations] == ["image", "velocity"]
    assert len(policy.spec.state.reset) == 4
    check(verify(policy, ("onnxruntime", "c_host"), random_rows=100), missing_is_failure=True)


def test_an_unknown_term_is_one_line_on_the_command_line(tmp_path, ball_installed, capsys):
    line = f"train ball --algorithm ppo --num-envs 8 --learner.terms speed 1 --run-folder {tmp_path / 'run'}"
    assert cli.main(line.split()) == 1
    err = capsys.readouterr().err
    assert "ball has no reward term 'speed'; there are near, effort" in err
    assert "Traceback" not in err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_it_learns_on_a_gpu_as_on_a_cpu():
    ppo = learner(replace(GRU, terms=TERMS), device="cuda", num_envs=128)
    for _ in range(4):
        scalars = ppo.iterate()
    assert all(math.isfinite(v) for v in scalars.values())
    assert ppo.rollout.explored.device.type == "cuda"
