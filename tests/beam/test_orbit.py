"""Claims: the task draws the machines it says, hides what it says, and its two ways of stepping are one."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from robostack.nets.actor import Actor, ActorConfig
from robostack.spec import ContractError
from robostack_sim.beam.config import TBSAC, BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit

QUIET = BeamOrbitConfig(
    num_envs=64, optics_error=0.0, gain_error=0.0, flipped_correctors=0, dead_share=0.0, bpm_noise_m=0.0, target_m=0.0,
    drift_m=0.0,
)  # fmt: skip


SHIPPED = files("robostack_sim.beam").joinpath("lattices", "cafe2_cm1.toml").read_text()


def true_orbit(task: BeamOrbit) -> torch.Tensor:
    return task.orbit(task.currents_a, task.start)


def test_uncorrected_orbits_are_those_of_the_reference() -> None:
    """TBSAC's figures: RMS of 1 to 5 mm."""
    task = BeamOrbit(replace(QUIET, num_envs=1000))
    rms = task.rms_m(true_orbit(task))
    assert 2.2e-3 < rms.median() < 3.0e-3
    assert ((rms > 0.8e-3) & (rms < 6e-3)).float().mean() > 0.99


def test_a_seed_makes_everything_that_follows_the_same() -> None:
    runs = []
    for _ in range(2):
        task = BeamOrbit(BeamOrbitConfig(num_envs=8, steps=3, judged_steps=3))
        obs, _ = task.reset(5)
        seen = [obs.flat]
        for _ in range(7):
            obs, reward, *_ = task.step(0.3 * torch.ones(8, 10))
            seen += [obs.flat, reward[:, None]]
        runs.append(torch.cat(seen, 1))
    assert torch.equal(*runs)


def test_a_step_moves_by_no_more_than_it_may_and_not_past_the_supply() -> None:
    task = BeamOrbit(QUIET)
    obs = task.step(torch.full((64, 10), 1e3))[-1]["final_obs"]
    assert (obs["applied_action"] == 3.0).all() and (obs["corrector_current"] == 3.0).all()
    task.currents_a.fill_(9.0)
    obs = task.step(torch.full((64, 10), 1e3))[-1]["final_obs"]
    assert torch.allclose(obs["applied_action"], torch.ones(64, 10)) and (obs["corrector_current"] == 10.0).all()


def test_unrolled_steps_are_the_steps_and_their_gradient_is_the_finite_difference() -> None:
    task = BeamOrbit(replace(QUIET, num_envs=4))
    task.reset(2)
    kept = {k: v.clone() for k, v in task.state_dict().items()}
    actions = [0.5 * torch.randn(4, 10) for _ in range(3)]

    def total(first: torch.Tensor) -> torch.Tensor:
        task.load_state_dict(kept)
        window = task.unroll(3)
        window.begin()
        return torch.stack([window.step(a)[1] for a in (first, *actions[1:])]).sum()

    stepped = 0.0
    for action in actions:
        stepped += task.step(action)[1].sum().item()
    first = actions[0].clone().requires_grad_()
    value = total(first)
    assert value.item() == pytest.approx(stepped, rel=1e-5)
    value.backward()
    for at in ((0, 0), (1, 3), (3, 9)):
        nudge = torch.zeros(4, 10)
        nudge[at] = 1e-2
        slope = (total(actions[0] + nudge) - total(actions[0] - nudge)).item() / 2e-2
        assert first.grad is not None and first.grad[at].item() == pytest.approx(slope, rel=2e-2, abs=2e-3)


def test_a_window_goes_on_where_the_last_one_ended_and_draws_new_machines_when_an_episode_is_over() -> None:
    task = BeamOrbit(replace(QUIET, steps=4, judged_steps=4))
    window = task.unroll(2)
    gains = task.zero_m.clone()
    for fresh in (False, False, True):
        window.begin()
        assert bool(window.restarted.all()) is fresh
        for _ in range(2):
            window.step(torch.zeros(64, 10))
        window.commit()
    assert not torch.equal(gains, task.zero_m)


def test_a_window_says_which_episodes_ended_in_success() -> None:
    task = BeamOrbit(replace(QUIET, steps=1, judged_steps=1, success_m=2.6e-3))
    window = task.unroll(1)
    window.begin()
    window.step(torch.zeros(64, 10))
    window.commit()
    right = task.rms_m(true_orbit(task)) < 2.6e-3
    window.begin()
    assert torch.equal(window.success, right) and 0 < right.sum() < 64


def test_polarities_gains_and_dead_bpms_are_drawn_as_asked() -> None:
    task = BeamOrbit(
        replace(
            QUIET, num_envs=500, gain_error=0.3, flipped_correctors=2, all_flips=True, dead_share=0.5, flipped_bpms=1
        )
    )
    assert ((task.gain < 0).sum(1) == 2).all()
    assert task.gain.abs().min() >= 0.7 and task.gain.abs().max() <= 1.3
    dead = ~task.bpm_stuck_m.isnan()
    assert set(dead.sum(1).tolist()) == {0, 2}, "both planes of one BPM"
    assert 0.4 < dead.any(1).float().mean() < 0.6
    assert dead.any(0).all(), "any of them"
    assert set((task.bpm_gain < 0).sum(1).tolist()) == {0, 1}


def test_a_dead_bpm_shows_what_it_shows_and_counts_for_nothing() -> None:
    task = BeamOrbit(replace(QUIET, dead_share=1.0))
    before = task.observe()["bpm_position"].clone()
    task.currents_a += 1.0
    task.start += 1e-3
    moved = task.observe()["bpm_position"] != before
    assert torch.equal(moved, task.bpm_stuck_m.isnan())
    orbit = task.target_m.unflatten(1, (-1, 2)) + 5e-3 * (~task.bpm_stuck_m.isnan()).unflatten(1, (-1, 2))
    everywhere = torch.zeros_like(true_orbit(task))
    everywhere[:, task._bpms] = orbit
    assert task.rms_m(everywhere).max() < 1e-6
    assert task.rms_m(everywhere, live=False).min() == pytest.approx(5e-3 * math.sqrt(0.2), rel=1e-3)


def test_noise_is_what_the_contract_says() -> None:
    task = BeamOrbit(replace(QUIET, num_envs=2000, bpm_noise_m=1e-4))
    off = task.observe()["bpm_position"] - task.observe()["true_orbit"]
    assert off.std().item() == pytest.approx(1e-4, rel=0.03)
    assert {c.name: c for c in task.channels}["bpm_position"].noise_std == (1e-4,)


def test_the_beam_drifts_and_the_target_is_another_orbit() -> None:
    task = BeamOrbit(replace(QUIET, drift_m=1e-4, target_m=1e-3))
    before = true_orbit(task)
    for _ in range(4):
        task.step(torch.zeros(64, 10))
    assert 0.5e-4 < (true_orbit(task) - before).std() < 1e-3
    assert 0.9e-3 < task.target_m.abs().max() <= 1e-3
    on_target = torch.zeros_like(before)
    on_target[:, task._bpms] = task.target_m.unflatten(1, (-1, 2))
    assert task.rms_m(on_target).max() < 1e-6


def test_a_beam_that_meets_the_pipe_ends_the_episode_as_a_failure() -> None:
    task = BeamOrbit(replace(QUIET, num_envs=2, steps=1, judged_steps=1))
    task.start[0] = torch.tensor([0.0, 0.1, 0.0, 0.0])
    _, _, terminated, truncated, extras = task.step(torch.zeros(2, 10))
    assert terminated.tolist() == [True, False] and truncated.tolist() == [False, True]
    assert not extras["success"][0]


def test_success_is_the_true_orbit_within_the_bar_at_the_end() -> None:
    task = BeamOrbit(replace(QUIET, steps=1, judged_steps=1))
    response = task.per_ampere[:, task._bpms].flatten(1, 2)
    error = true_orbit(task)[:, task._bpms].flatten(1)
    exact = -torch.linalg.solve(response, error[..., None])[..., 0]
    task.currents_a = exact.clamp(-10.0, 10.0)
    reached = exact.abs().amax(1) < 10.0
    assert reached.sum() > 10
    _, _, _, truncated, extras = task.step(torch.zeros(64, 10))
    assert truncated.all() and extras["success"][reached].all() and extras["rms_m"][reached].max() < 1e-5


def test_the_reference_reward_is_rms_and_trend_and_ends_below_half_a_millimetre() -> None:
    task = BeamOrbit(replace(TBSAC, num_envs=64))
    with pytest.raises(TypeError, match="reward = 'tbsac' has no gradient"):
        task.unroll(4)
    before = true_orbit(task)[:, task._bpms].flatten(1).abs()
    _, reward, terminated, _, extras = task.step(torch.full((64, 10), 0.1))
    after = extras["final_obs"]["true_orbit"].abs()
    trend = torch.where(after < before, 1.0, -4.0).mean(1)
    done = extras["rms_m"] < 0.5e-3
    expected = -1e3 * extras["rms_m"] + 0.4 * trend + done * (50.0 + 3.0 * 49)
    assert torch.allclose(reward, expected, atol=1e-4) and torch.equal(terminated, done)


def test_a_probe_is_bounded_by_what_it_can_do_whatever_the_polarities() -> None:
    task = BeamOrbit(replace(QUIET, num_envs=500, flipped_correctors=10, probe_a=5.0, probe_excursion_m=2e-3))
    assert 0.0 < task.probe_a[0] < 5.0
    without = task.zero_m + (task.from_start @ task.start[:, None, :, None])[..., 0]
    assert (true_orbit(task) - without).abs().max() <= 2e-3
    reading = task.observe()["probe_response"]
    assert torch.allclose(reading, (true_orbit(task) - without)[:, task._bpms].flatten(1), atol=1e-7)
    free = BeamOrbit(replace(QUIET, num_envs=2, probe_a=0.3, probe_excursion_m=1.0))
    assert (free.probe_a == 0.3).all()


def test_what_is_masked_is_not_in_the_contract() -> None:
    task = BeamOrbit(replace(QUIET, masked=("bpm_2", "solenoid_1_h"), bpm_weights=(1.0, 1.0, 0.0, 1.0)))
    assert task.action_size == 9 and "solenoid_1_h" not in task.actions[0].elements
    names = {c.name: c for c in task.channels}["bpm_position"].elements
    assert len(names) == 8 and "bpm_2_x" not in names
    orbit = torch.zeros_like(true_orbit(task))
    orbit[:, task._bpms[2]] = 1.0
    assert task.rms_m(orbit).max() < 1e-6, "a BPM of weight 0 does not count"
    task.step(torch.zeros(64, 9))


def test_a_line_of_quadrupoles_is_corrected_too_and_a_line_without_magnets_is_refused(tmp_path: Path) -> None:
    quads = SHIPPED.replace('kind = "solenoid"', 'kind = "quadrupole"').replace("field =", "gradient =")
    quads = quads.replace('value = 2.68, unit = "T"', 'value = 3.0, unit = "T/m"')
    lines = [line for line in quads.splitlines() if not line.startswith(("steering", "current_max"))]
    corrector = """[part.steerer]
kind = "corrector"
length = { value = 0.0, unit = "m", source = "thin" }
steering = { value = 6.7e-4, unit = "T m/A", source = "a test" }
current_max = { value = 10.0, unit = "A", source = "a test" }
"""
    path = tmp_path / "quads.toml"
    path.write_text("\n".join([*lines, corrector]).replace('"half_cavity", "gap"', '"steerer", "gap"'))
    task = BeamOrbit(replace(QUIET, num_envs=4, lattice=str(path)))
    assert task.line.corrector_names[0] == "steerer_1_h" and task.rms_m(true_orbit(task)).min() > 1e-4
    path.write_text(path.read_text().replace('"solenoid"', '"steerer"').replace('"-solenoid"', '"steerer"'))
    with pytest.raises(ContractError, match="no solenoid and no quadrupole"):
        BeamOrbit(replace(QUIET, num_envs=4, lattice=str(path)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"masked": ("bpm_9",)}, "masked: 'bpm_9' is no BPM and no corrector"),
        ({"masked": tuple(f"bpm_{i}" for i in range(1, 6))}, "no BPM or no corrector is left"),
        ({"bpm_weights": (1.0,)}, "bpm_weights = .* needs 5 numbers"),
        ({"corrector_weights": (-1.0,) * 10}, "corrector_weights"),
        ({"judged_steps": 0}, "judged_steps = 0"),
        ({"step_max_a": 0.0}, "step_max_a = 0.0"),
        ({"dead_share": 1.5}, "dead_share = 1.5"),
        ({"lattice": "nowhere.toml"}, "no such file"),
    ],
)
def test_a_setting_that_cannot_be_is_named(change: dict, named: str) -> None:
    with pytest.raises(ContractError, match=named):
        BeamOrbit(replace(BeamOrbitConfig(num_envs=2), **change))


def test_an_actor_sees_no_truth_and_a_critic_does() -> None:
    task = BeamOrbit(replace(QUIET, num_envs=2))
    assert {c.name for c in task.actor_channels} == {"bpm_position", "corrector_current", "target_orbit"}
    assert {"true_orbit", "corrector_gain", "bpm_gain", "misalignment"} <= set(task.critic_channels)
    actor = Actor(task, ActorConfig())
    action, _ = actor(task.observe().flat, actor.initial_state(2))
    assert action.shape == (2, 10)


def test_disarmed_or_fallen_back_no_corrector_moves() -> None:
    task = BeamOrbit(replace(QUIET, num_envs=2))
    assert set(task.actions[0].neutral) == {0.0} and task.envelope.fallback[0].value == (0.0,) * 10
