"""Claims: classical controllers correct what they say they can, one machine or a batch, and learn what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from robostack.runtime.controller import Controller
from robostack.spec import PolicySpec, State
from robostack_real.beam.orbit_control import (
    Broyden,
    GainFilter,
    MatrixCorrection,
    MeasuredCorrection,
    RecursiveLeastSquares,
    damped_step,
)
from robostack_sim.beam.config import BeamOrbitConfig
from robostack_sim.beam.orbit import BeamOrbit
from robostack_sim.beam.trials import Correction, correct

STEP_A, NOISE_M = 3.0, 1e-4
PLAIN = BeamOrbitConfig(
    num_envs=300, optics_error=0.0, gain_error=0.0, flipped_correctors=0, dead_share=0.0, target_m=0.0, drift_m=0.0,
    steps=40,
)  # fmt: skip
FLIPPED = replace(PLAIN, optics_error=0.05, gain_error=0.3, flipped_correctors=2, all_flips=True)


def nominal(task: BeamOrbit) -> np.ndarray:
    shape = (len(task.line.readings), len(task.line.correctors))
    return np.array(task.machine["response_m_per_a"]).reshape(shape)


def correction(make: Any, config: BeamOrbitConfig, steps: int) -> Correction:
    task = BeamOrbit(config)
    controller = make(nominal(task))
    return correct(controller, controller.reset, task, seed=3, steps=steps)


def size(response: np.ndarray) -> float:
    return float(np.sqrt(np.square(response).mean()))


def by_matrix(response: np.ndarray) -> MatrixCorrection:
    return MatrixCorrection(response, STEP_A, 0.2 * size(response))


def by_rls(response: np.ndarray) -> RecursiveLeastSquares:
    return RecursiveLeastSquares(response, STEP_A, 0.8 * size(response), NOISE_M, caution=0.1)


LEARNING = {
    "rls": by_rls,
    "broyden": lambda r: Broyden(r, STEP_A, 0.4 * size(r)),
    "gains": lambda r: GainFilter(r, STEP_A, NOISE_M),
}


def test_a_step_is_the_damped_least_squares_and_is_shortened_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    matrix, error = rng.normal(size=(6, 4)), rng.normal(size=6)
    free = damped_step(matrix, np.zeros((4, 4)), error, 1e9)
    assert np.allclose(free, -np.linalg.lstsq(matrix, error, rcond=None)[0])
    short = damped_step(matrix, np.zeros((4, 4)), error, 0.01)
    assert np.abs(short).max() == pytest.approx(0.01) and np.allclose(short / short[0], free / free[0])


def test_with_the_machines_own_matrix_two_iterations_are_enough() -> None:
    found = correction(by_matrix, PLAIN, 10)
    assert found.within(4) > 0.99 and found.held(10) > 0.98


def test_with_a_nominal_matrix_two_wrong_polarities_are_worse_than_nothing() -> None:
    found = correction(by_matrix, FLIPPED, 10)
    assert found.held(10) < 0.15 and found.rms_m[10].median() > found.rms_m[0].median()


@pytest.mark.parametrize("name", LEARNING)
def test_what_learns_from_its_moves_finds_wrong_polarities(name: str) -> None:
    found = correction(LEARNING[name], FLIPPED, 20)
    assert found.within(20) > 0.94
    assert not found.lost.any()


def test_to_believe_the_optics_and_learn_the_gains_is_quickest() -> None:
    gains, rls, broyden = (correction(LEARNING[n], FLIPPED, 8) for n in ("gains", "rls", "broyden"))
    assert gains.within(4) > 0.93
    assert rls.within(4) < 0.8
    assert rls.within(8) > broyden.within(8)
    assert gains.steps.median() < rls.steps.median()


def test_the_gain_filter_finds_a_dead_bpm_and_steers_by_the_others() -> None:
    dead = replace(PLAIN, optics_error=0.05, gain_error=0.3, dead_share=1.0)
    for config in (dead, replace(dead, flipped_correctors=2, all_flips=True)):
        assert correction(LEARNING["gains"], config, 10).held(10) > 0.9
        assert correction(by_matrix, config, 10).held(10) < 0.7


def test_a_matrix_that_was_measured_knows_the_polarities() -> None:
    found = correction(lambda r: MeasuredCorrection(r, STEP_A, 2.0, NOISE_M), FLIPPED, 18)
    assert found.within(10) < 0.3 and found.held(18) > 0.9


def test_a_measured_matrix_is_the_machines_response_and_probes_are_taken_back() -> None:
    task = BeamOrbit(replace(FLIPPED, num_envs=4, bpm_noise_m=0.0))
    controller = MeasuredCorrection(nominal(task), STEP_A, 1.0, NOISE_M)
    obs, _ = task.reset(1)
    state = np.tile(controller.reset, (4, 1))
    for k in range(11):
        channels = {n: obs[n].numpy() for n in ("bpm_position", "target_orbit", "corrector_current")}
        action, state = controller.infer(channels, obs["applied_action"].numpy(), state)
        if k < 10:
            obs, *_ = task.step(torch.from_numpy(action))
            assert torch.equal(task.currents_a, torch.eye(10)[k].expand(4, -1))
    measured = controller.measured(state)
    assert np.allclose(measured, task.per_ampere[:, task._bpms].flatten(1, 2).numpy(), atol=1e-6)


@pytest.mark.parametrize("make", [by_matrix, *LEARNING.values(), lambda r: MeasuredCorrection(r, STEP_A, 1.0, NOISE_M)])
def test_one_machine_is_a_row_of_a_batch(make: Any) -> None:
    task = BeamOrbit(replace(FLIPPED, num_envs=3))
    controller = make(nominal(task))
    obs, _ = task.reset(2)
    state = np.tile(controller.reset, (3, 1))
    alone = controller.reset
    for _ in range(4):
        channels = {n: obs[n].numpy() for n in ("bpm_position", "target_orbit", "corrector_current")}
        applied = obs["applied_action"].numpy()
        one, following = controller.infer({n: v[1] for n, v in channels.items()}, applied[1], alone)
        action, batch = controller.infer(channels, applied, state)
        assert action.dtype == np.float32 and np.allclose(action[1], one, atol=1e-5)
        if batch is not None and following is not None:
            assert np.allclose(batch[1], following, rtol=1e-4, atol=1e-9)
            state, alone = batch, following
        obs, *_ = task.step(torch.from_numpy(action))


def test_behind_an_envelope_it_corrects_a_live_machine_and_holds_when_a_reading_is_none() -> None:
    task = BeamOrbit(replace(FLIPPED, num_envs=1))
    policy = GainFilter(nominal(task), STEP_A, NOISE_M)
    spec = PolicySpec(
        task=task.name, control_dt_s=task.step_dt, observations=task.actor_channels, actions=task.actions,
        state=State(reset=tuple(policy.reset.tolist())), envelope=task.envelope,
    )  # fmt: skip
    controller = Controller(policy, spec)
    controller.arm()
    obs, _ = task.reset(3)
    for _ in range(8):
        action = controller.tick({c.name: (obs[c.name][0].numpy(), 0.0) for c in task.actor_channels})
        obs, *_, extras = task.step(torch.from_numpy(action)[None])
    assert extras["rms_m"] < 1e-3
    dead = {c.name: (np.full(c.shape, np.nan), 0.0) for c in task.actor_channels}
    for _ in range(10):
        action = controller.tick(dead)
    assert controller.status.tripped and not action.any()
