"""Claims: a sensor's faults are those that its model names, and a tare takes away what is there without a touch."""

from __future__ import annotations

import math

import pytest
import torch

from robostack_sim.tactile.sensor.force_field import Bristle, ForceField
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.readings import Readings, SensorModel
from robostack_sim.tactile.sensor.solids import Box, Indenters

N, DT = 16, 1.0 / 60.0
PUSH = 1e8 * 4e-6 * 3e-4  # of each taxel when `press` presses


def make(seed: int = 0, **model: float) -> Readings:
    grip = Grip(N)
    field = ForceField(Pad(), grip, Indenters([Box(0.1, 0.1, 0.1)], N), Bristle())
    return Readings(field, SensorModel(**model), DT, seed)


def press(readings: Readings, depth_m: float = 3e-4) -> torch.Tensor:
    """What it reads of a box that covers the pad."""
    readings.field.grip.relative[..., 11] = 0.05 - depth_m
    readings.field.step()
    return readings.read().clone()


def test_an_ideal_sensor_reads_the_field() -> None:
    readings = make()
    assert torch.equal(press(readings), readings.field.step())
    assert press(readings)[:, :, 2].mean().item() == pytest.approx(PUSH, rel=1e-3)
    assert readings.valid.all()


def test_noise_is_white_and_as_strong_as_it_says() -> None:
    readings = make(noise=0.01)
    reads = torch.stack([press(readings, -1e-3) for _ in range(20)])
    assert reads.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert reads.std().item() == pytest.approx(0.01, rel=0.01)
    flat = reads.flatten(1)
    assert (flat[1:] * flat[:-1]).mean().abs().item() < 1e-6  # from one reading to the next
    assert (flat[:, 1:] * flat[:, :-1]).mean().abs().item() < 1e-6  # and from taxel to taxel


def test_each_taxel_has_a_gain_of_its_own_that_stays() -> None:
    readings = make(gain_std=0.1)
    first = press(readings)[:, :, 2] / PUSH
    assert first.std().item() == pytest.approx(0.1, rel=0.05)
    torch.testing.assert_close(press(readings, 6e-4)[:, :, 2] / (2 * PUSH), first, rtol=2e-3, atol=1e-5)


def test_drift_grows_with_the_root_of_time_and_tare_ends_it() -> None:
    readings = make(drift=0.02)
    for k in range(1, 241):
        drift = press(readings, -1e-3)
        if k in (60, 240):
            assert drift.std().item() == pytest.approx(0.02 * math.sqrt(k / 60.0), rel=0.03)
    readings.tare()
    assert press(readings, -1e-3).std().item() == pytest.approx(0.02 * math.sqrt(DT), rel=0.03)
    assert press(readings)[:, :, 2].mean().item() == pytest.approx(PUSH, rel=0.01)


def test_a_gel_that_creeps_reads_less_on_the_way_in_than_on_the_way_out() -> None:
    readings = make(hysteresis=0.2, hysteresis_s=0.5)
    for k in range(1, 40):
        level = press(readings)[0, 0, 2, 0, 0].item()
        assert level == pytest.approx(PUSH * (0.8 + 0.2 * (1 - math.exp(-k * DT / 0.5))), rel=2e-3)
    left = press(readings, -1e-3)[0, 0, 2, 0, 0].item()
    assert left == pytest.approx(0.2 * PUSH * (1 - math.exp(-39 * DT / 0.5)) * math.exp(-DT / 0.5), rel=5e-3)


def test_dead_taxels_read_nothing_stuck_ones_their_limit_and_both_are_called_invalid() -> None:
    readings = make(dead=0.1, stuck=0.05, limit=1.0, noise=0.001, drift=0.01)
    reads = press(readings)
    dead, stuck = (readings.alive + readings.stuck) == 0, readings.stuck == 1
    assert dead.float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert stuck.float().mean().item() == pytest.approx(0.05, abs=0.02)
    every = reads.movedim(2, -1)
    assert not every[dead].any() and (every[stuck] == 1.0).all()
    assert torch.equal(readings.valid, ~dead & ~stuck)
    readings.tare()
    assert torch.equal(readings.valid, ~dead & ~stuck)
    assert not press(readings).movedim(2, -1)[stuck].any()  # it cannot say more than it did


def test_beyond_its_limit_a_taxel_reads_its_limit_and_is_called_invalid() -> None:
    readings = make(limit=0.5 * PUSH)
    assert press(readings)[:, :, 2].unique().tolist() == pytest.approx([0.5 * PUSH])
    assert not readings.valid.any()
    assert press(readings, 1e-4)[:, :, 2].mean().item() == pytest.approx(PUSH / 3, rel=1e-3)
    assert readings.valid.all()


def test_tare_and_reset_are_of_the_environments_they_are_given() -> None:
    readings = make(gain_std=0.2)
    before = press(readings)
    readings.tare(torch.tensor([3]))
    after = press(readings)
    assert after[3].abs().max().item() < 1e-5 and torch.equal(after[4], before[4])
    gains = readings.gain.clone()
    readings.reset(torch.tensor([3, 5]))
    changed = (readings.gain != gains).flatten(1).any(1)
    assert changed.nonzero().flatten().tolist() == [3, 5]
    assert press(readings)[3, :, 2].mean().item() == pytest.approx(PUSH, rel=0.1)


def test_the_seed_decides() -> None:
    model = {"noise": 0.01, "gain_std": 0.1, "drift": 0.01}
    first, same, other = (press(make(seed, **model)) for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"noise": -0.1}, "noise = -0.1"),
        ({"dead": 1.5}, "dead = 1.5"),
        ({"hysteresis_s": 0.0}, "hysteresis_s = 0.0"),
        ({"limit": math.nan}, "limit = nan"),
        ({"stuck": 0.1}, "limit is not given"),
    ],
)
def test_a_model_that_cannot_be_is_refused(model: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SensorModel(**model)
