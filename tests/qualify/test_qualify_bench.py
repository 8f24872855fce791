"""Claims: the bench flies the file as `evaluate` does, a row each under its own condition, and repeats itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from slider import Slider

from robostack.evaluate.episodes import fly_episodes
from robostack.export.onnx import load_policy
from robostack.learn.trained import task_of_policy
from robostack.qualify.bench import Bench
from robostack.qualify.condition import Condition
from robostack.run_folder import RunFolder


def test_nominal_episodes_are_those_of_evaluate(quadrotor_run: Path) -> None:
    policy = load_policy(RunFolder.open(quadrotor_run).policy)
    task = task_of_policy(policy)
    asked = fly_episodes(policy, task, 6, seed=5)
    flown = Bench(policy, task, 6).flown([Condition()] * 6, 5)
    assert flown.steps.tolist() == asked.steps.tolist()
    assert flown.success.tolist() == asked.success.tolist()
    assert flown.tripped.tolist() == asked.fell_back.tolist()
    assert np.nansum(flown.rewards, axis=0) == pytest.approx(asked.returns, rel=1e-3)


def test_each_row_flies_under_its_own_condition(slider_bench: Bench) -> None:
    conditions = [Condition(), Condition(repeat=4), Condition(late_periods=3), Condition(loss=0.1)]
    nominal, held, late, lossy = slider_bench.fly(conditions, seed=1)
    assert (nominal.success, held.success, lossy.success) == (1.0, 0.0, 1.0)
    assert late.success < 0.5 and late < nominal and nominal.fell_back == 0.0


def test_a_seed_repeats_the_episodes_to_the_bit(slider_bench: Bench) -> None:
    conditions = [Condition(noise=4.0, loss=0.1, outage_periods=3)] * 8
    once, again, other = (slider_bench.flown(conditions, seed) for seed in (3, 3, 4))
    assert once.rewards.tobytes() == again.rewards.tobytes() != other.rewards.tobytes()


def test_the_next_flight_forgets_the_parameters_of_the_last(slider_bench: Bench) -> None:
    before = slider_bench.flown([Condition()] * 8, 0)
    slider_bench.flown([Condition(parameters={"gain": 0.5})] * 8, 0)
    assert slider_bench.flown([Condition()] * 8, 0).rewards.tobytes() == before.rewards.tobytes()


def test_samples_that_stay_away_too_long_are_the_envelopes_business(slider_bench: Bench) -> None:
    (silent,) = slider_bench.fly([Condition(loss=1.0)], seed=1)
    assert silent.fell_back == 1.0 and silent.success < 0.5


def test_conditions_that_cannot_be_flown_at_once_are_refused(slider_bench: Bench) -> None:
    with pytest.raises(ValueError, match="the same parameters"):
        slider_bench.flown([Condition(), Condition(parameters={"gain": 1.0})], 0)
    assert Slider().max_episode_length == Slider().at_rate(0.5).max_episode_length * 2
