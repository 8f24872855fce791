"""Claims: the task draws the machines it says, hides what it says, its two ways of stepping are one, and a policy
learns to tune by gradients through the machines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robostack.learn.shac import SHAC
from robostack.learn.trained import export_actor
from robostack.nets.actor import Actor, ActorConfig
from robostack.runtime.runner import Runner
from robostack.spec import ContractError
from robostack_sim.beam.space_charge import perveance
from robostack_sim.beam.transmission import BeamTransmission
from robostack_sim.beam.transmission_config import BeamTransmissionConfig
from robostack_sim.beam.transmission_trials import Tuning, best_known, tune

SMALL = BeamTransmissionConfig(num_envs=16, steps=4)
SURE = replace(SMALL, noise=0.0)


def test_tuning_starts_where_real_injectors_did() -> None:
    """TBSAC's runs began at 0.56 and 0.57."""
    task = BeamTransmission(replace(SMALL, num_envs=500))
    assert 0.35 < task.transmission.median() < 0.65
    assert task.transmission.quantile(0.02) > 0.02 and task.transmission.max() <= 1.0


def test_a_seed_makes_everything_that_follows_the_same() -> None:
    runs = []
    for _ in range(2):
        task = BeamTransmission(SMALL)
        obs, _ = task.reset(5)
        seen = [obs.flat]
        for _ in range(6):
            obs, reward, *_ = task.step(0.3 * torch.ones(16, 6))
            seen += [obs.flat, reward[:, None]]
        runs.append(torch.cat(seen, 1))
    assert torch.equal(*runs)


def test_a_state_that_was_kept_goes_on_to_the_bit() -> None:
    task, other = BeamTransmission(SMALL), BeamTransmission(SMALL, seed=1)
    task.step(torch.ones(16, 6))
    other.load_state_dict({k: v.clone() for k, v in task.state_dict().items()})
    for _ in range(5):
        action = torch.randn(16, 6)
        assert torch.equal(task.step(action)[0].flat, other.step(action)[0].flat)


def test_a_step_moves_by_no_more_than_it_may_and_not_past_the_supply() -> None:
    task = BeamTransmission(SURE)
    before = task.magnets_a.clone()
    obs = task.step(torch.full((16, 6), 1e3))[-1]["final_obs"]
    assert torch.allclose(obs["applied_action"], torch.tensor([5.0, 5.0, 1.5, 1.5, 1.5, 1.5]).expand(16, -1))
    assert torch.allclose(obs["magnet_current"], before + obs["applied_action"])
    task.magnets_a[:] = task.high_a - 0.5
    obs = task.step(torch.full((16, 6), 1e3))[-1]["final_obs"]
    assert torch.allclose(obs["applied_action"], torch.tensor(0.5)) and torch.equal(task.magnets_a[0], task.high_a)


def test_unrolled_steps_are_the_steps_and_their_gradient_is_the_finite_difference() -> None:
    task = BeamTransmission(SURE)
    task.reset(2)
    kept = {k: v.clone() for k, v in task.state_dict().items()}
    actions = [0.5 * torch.randn(16, 6) for _ in range(3)]

    def total(first: torch.Tensor) -> torch.Tensor:
        task.load_state_dict(kept)
        window = task.unroll(3)
        window.begin()
        return torch.stack([window.step(a)[1] for a in (first, *actions[1:])]).double().sum()

    stepped = sum(task.step(action)[1].sum().item() for action in actions)
    first = actions[0].clone().requires_grad_()
    value = total(first)
    assert value.item() == pytest.approx(stepped, rel=1e-4)
    value.backward()
    for at in ((0, 0), (3, 1), (5, 2), (7, 5)):
        nudge = torch.zeros(16, 6)
        nudge[at] = 3e-2
        slope = (total(actions[0] + nudge) - total(actions[0] - nudge)).item() / 6e-2
        assert first.grad is not None and first.grad[at].item() == pytest.approx(slope, rel=5e-2, abs=5e-3)


def test_a_window_goes_on_where_the_last_one_ended_and_draws_new_machines_when_an_episode_is_over() -> None:
    task = BeamTransmission(SURE)
    window = task.unroll(2)
    machines = task.hidden.clone()
    for fresh in (False, False, True):
        reached = task.transmission.clone()
        window.begin()
        assert bool(window.restarted.all()) is fresh
        if fresh:
            assert torch.equal(window.success, reached >= 0.85)
        for _ in range(2):
            window.step(torch.zeros(16, 6))
        window.commit()
    assert not torch.equal(machines, task.hidden)


def test_machines_are_drawn_as_asked() -> None:
    task = BeamTransmission(replace(SMALL, num_envs=1000, flipped_steerers=2, compensation=(0.8, 0.9)))
    m = task.machines
    assert set((m.gain < 0).sum(1).tolist()) == {0, 1, 2}
    assert m.gain.abs().min() >= 0.8 and m.gain.abs().max() <= 1.2
    left = m.perveance / perveance(task.lebt.lattice.beam, m.current_a)
    assert 0.1 <= left.min() < 0.105 and 0.195 < left.max() <= 0.2
    assert 0.7 <= m.current_a.min() / 0.01 < 0.72 and torch.corrcoef(torch.stack([m.current_a, left]))[0, 1].abs() < 0.1
    assert 0.94 <= m.capture.min() < 0.945 and 0.995 < m.capture.max() <= 1.0
    assert m.offset_m.abs().max() <= 0.6e-3 and 0.97 <= m.calibration.min() < 0.98


def test_noise_is_what_the_contract_says_and_is_fresh() -> None:
    task = BeamTransmission(replace(SMALL, num_envs=2000))
    readings = [task.observe()["transmission"] for _ in range(2)]
    off = readings[0] - task.transmission[:, None]
    assert off.std().item() == pytest.approx(0.01, rel=0.05) and not torch.equal(*readings)
    assert {c.name: c for c in task.channels}["transmission"].noise_std == (0.01,)


def test_an_actor_sees_what_transformers_and_magnets_say_and_a_critic_all() -> None:
    task = BeamTransmission(SMALL)
    assert [c.name for c in task.actor_channels] == ["transmission", "source_current", "magnet_current"]
    assert {"true_transmission", "machine"} <= set(task.critic_channels)
    action, _ = (actor := Actor(task, ActorConfig()))(task.observe().flat, actor.initial_state(16))
    assert action.shape == (16, 6)
    assert set(task.actions[0].neutral) == {0.0} and task.envelope.fallback[0].value == (0.0,) * 6


def test_who_knows_the_machine_gets_nearly_all_of_it_through() -> None:
    task = BeamTransmission(replace(SMALL, num_envs=24))
    best = best_known(task.lebt, task.machines, task.step_a, starts=1, steps=50)
    assert (best >= task.transmission).all()
    assert best.min() > 0.85 and (best <= task.machines.capture + 1e-6).all()


def test_a_short_training_tunes_and_the_file_is_the_policy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = replace(SURE, num_envs=32, steps=6, flipped_steerers=0, gain_error=0.0)
    learner = SHAC(iterations=20, horizon=6, learning_rate=1e-2, actor=ActorConfig(hidden=(32,))).learner(
        BeamTransmission(plain)
    )
    while learner.progress < 1.0:
        learner.iterate()
    runner = Runner(export_actor(learner.task, learner.actor, tmp_path / "policy.onnx"))
    task = BeamTransmission(replace(plain, steps=20))
    reached = tune(runner, np.array(runner.spec.state.reset), task, seed=1, moves=6)
    assert reached[6].mean() > reached[0].mean() + 0.05

    class Torch:
        """The same network, not exported."""

        def infer(self, observation: dict, applied: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen = {n: torch.from_numpy(v) for n, v in {**observation, "applied_action": applied}.items()}
            with torch.no_grad():
                action, following = learner.actor.step(seen, torch.from_numpy(state))
            return action.numpy(), following.numpy()

    again = tune(Torch(), np.array(runner.spec.state.reset), task, seed=1, moves=6)
    assert torch.allclose(reached, again, atol=1e-4)


def test_figures_of_a_tuning_count_what_lasts() -> None:
    found = Tuning(torch.tensor([[0.5, 0.5], [0.95, 0.6], [0.5, 0.7], [0.96, 0.8]]), torch.tensor([1.0, 0.8]), 0.85)
    assert found.share(3) == pytest.approx(0.98)
    assert found.wherever_it_can(3) == 1.0 and found.wherever_it_can(2) == 0.0
    assert found.moves_to(0.9).tolist() == [3.0, 3.0] and found.moves_to(0.999).tolist() == [float("inf"), 3.0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 0}, "steps = 0: must be positive"),
        ({"solenoid_step_a": -1.0}, "solenoid_step_a = -1.0"),
        ({"emittance_error": 1.5}, "emittance_error = 1.5"),
        ({"compensation": (0.9, 0.8)}, "compensation = 0.9, 0.8: must be two rising numbers"),
        ({"flipped_steerers": 5}, "flipped_steerers = 5: the LEBT has 4 steerers"),
        ({"lebt": "nowhere"}, "no such file"),
    ],
)
def test_a_setting_that_cannot_be_is_named(change: dict, named: str) -> None:
    with pytest.raises(ContractError, match=named):
        BeamTransmission(replace(SMALL, **change))
