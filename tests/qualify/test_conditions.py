"""Claims: what lies between a plant and a policy does exactly what its condition says, and nothing to a nominal row."""

from __future__ import annotations

import numpy as np
import pytest
from slider import NOISE_M, Slider

from robostack.qualify.condition import Condition, Message
from robostack.qualify.link import Link
from robostack.spec import PolicySpec

SPEC = PolicySpec(
    task="slider", control_dt_s=0.1, observations=Slider.channels[:2], actions=Slider.actions, envelope=Slider.envelope
)
ROWS, PERIODS = 500, 30


def passed(
    condition: Condition, spec: PolicySpec = SPEC, rows: int = ROWS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(periods, rows, observations) said and heard, (periods, rows, channels) fresh."""
    link = Link(spec, [Condition(), *[condition] * (rows - 1)], PERIODS, seed=1)
    said = np.random.default_rng(0).uniform(-1, 1, (PERIODS, rows, spec.observation_size)).astype(np.float32)
    heard, fresh = zip(*(link.through(said[t], t) for t in range(PERIODS)), strict=True)
    assert (np.array(heard)[:, 0] == said[:, 0]).all() and np.array(fresh)[:, 0].all()
    return said, np.array(heard), np.array(fresh)


@pytest.mark.parametrize("times", [2.0, 5.0])
def test_noise_is_so_many_times_the_contracts_with_the_plants_own(times: float) -> None:
    said, heard, _ = passed(Condition(noise=times))
    added = (heard - said)[:, 1:]
    whole = np.hypot(added[..., 0].std(), NOISE_M)
    assert whole == pytest.approx(times * NOISE_M, rel=0.03)
    assert (added[..., 1] == 0.0).all()  # gossip declares no noise


def test_a_bias_stays_for_the_episode_up_or_down() -> None:
    said, heard, _ = passed(Condition(bias=4.0))
    off = (heard - said)[:, 1:, 0]
    assert np.ptp(off, axis=0).max() < 1e-6
    assert np.abs(off) == pytest.approx(4.0 * NOISE_M, rel=1e-3)
    assert 0.4 < (off[0] > 0.0).mean() < 0.6


def test_so_many_packets_are_lost_of_all_channels_at_once_and_never_the_first() -> None:
    _, _, fresh = passed(Condition(loss=0.3))
    assert fresh[0].all()
    assert (fresh[..., 0] == fresh[..., 1]).all()
    assert 1.0 - fresh[1:, 1:].mean() == pytest.approx(0.3, abs=0.02)


def test_an_outage_silences_one_sensor_once_for_so_many_periods() -> None:
    _, _, fresh = passed(Condition(outage_periods=4))
    silent = ~fresh[:, 1:]
    assert (silent.sum((0, 2)) == 4).all()
    assert (silent.any(0).sum(-1) == 1).all()
    assert (np.diff(silent.any(2).astype(int), axis=0, prepend=0) == 1).sum(0).max() == 1
    assert 0.4 < silent[..., 0].any(0).mean() < 0.6


def test_late_samples_are_those_of_before_and_say_their_age() -> None:
    said, heard, _ = passed(Condition(late_periods=2))
    assert (heard[2:, 1:] == said[:-2, 1:]).all()
    link = Link(SPEC, [Condition(), Condition(late_periods=2)], PERIODS, 0)
    assert link.age_s.tolist() == [[0.0, 0.0], pytest.approx([0.2, 0.2])]


def test_a_message_is_its_function_of_what_was_measured_within_the_contract() -> None:
    lie = Message("gossip", read=(2.0, 0.0), bias=0.5, spread=(1.5,), offset=(-0.2,), reach=(3.0,), middle=(0.25,))
    said, heard, _ = passed(Condition(message=lie))
    wanted = 0.25 + 3.0 * np.tanh(1.5 * (2.0 * said[:, 1:, 0] + 0.5) - 0.2)
    assert heard[:, 1:, 1] == pytest.approx(np.clip(wanted, -1.0, 1.0), abs=1e-5)
    assert (heard[:, 1:, 0] == said[:, 1:, 0]).all()


def test_a_noisy_attitude_is_still_a_unit_quaternion(quadrotor_spec: PolicySpec) -> None:
    channels = [c.model_copy(update={"noise_std": (0.05,)}) for c in quadrotor_spec.observations]
    spec = quadrotor_spec.model_copy(update={"observations": tuple(channels)})
    _, heard, _ = passed(Condition(noise=3.0), spec, rows=20)
    assert np.linalg.norm(heard[:, 1:, 6:10], axis=-1) == pytest.approx(1.0, abs=1e-5)
