"""Claims: a magnetic skin's readings are those of dipoles that go with the gel, with the sensor's own drift on top."""

from __future__ import annotations

import math

import pytest
import torch
from pressing import UPRIGHT

from robostack_sim.tactile.sensor.anyskin import AnySkin, MagneticSkin
from robostack_sim.tactile.sensor.force_field import Bristle, ForceField, Penalty
from robostack_sim.tactile.sensor.pads import Grip, Pad
from robostack_sim.tactile.sensor.solids import Box, Indenters

QUIET = MagneticSkin(noise_ut=0.0, drift_ut=0.0)
DT = 1.0 / 60.0


def skin(pad: Pad | None = None, model: MagneticSkin = QUIET, n: int = 1) -> AnySkin:
    grip = Grip(n, 1)
    field = ForceField(pad or Pad(), grip, Indenters([Box(0.1, 0.1, 0.1)], n), Bristle(friction=10.0))
    return AnySkin(field, model, DT)


def read(sensor: AnySkin, x_m: float, depth_m: float) -> torch.Tensor:
    field = sensor.force_field
    pads = torch.tensor([0.0, 0.0, 0.0, *UPRIGHT]).expand(field.shape[0], 1, 7)
    pose = torch.tensor([x_m, 0.0, 0.05 - depth_m, *UPRIGHT]).expand(field.shape[0], 7)
    field.grip.update(pads, pose)
    field.step()
    return sensor.read()[:, 0]


def dipole(at: tuple[float, float, float], moment_a_m2: float) -> list[float]:
    """uT at a place (m) from a dipole along z. D. J. Griffiths, Introduction to Electrodynamics, 5.89."""
    far = math.sqrt(sum(a * a for a in at))
    along = moment_a_m2 * at[2] / far
    return [0.1 * (3 * along * a / far - m) / far**3 for a, m in zip(at, (0.0, 0.0, moment_a_m2), strict=True)]


def test_one_magnet_is_a_dipole_that_goes_half_as_far_as_the_skin_over_it() -> None:
    sensor = skin(Pad(1, 1, 0.001))
    moment = 0.01 / (4e-7 * math.pi) * 0.002 * 1e-6
    read(sensor, 0.0, 4e-4)
    found = read(sensor, 2e-4, 4e-4)[0]
    places = [(0.0, 0.0), (0.007, 0.0), (0.0, 0.007), (-0.007, 0.0), (0.0, -0.007)]
    for (x, y), reading in zip(places, found.tolist(), strict=True):
        expected = dipole((x - 1e-4, y, -(0.001 + 0.001) + 2e-4), moment)
        assert reading == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_pressing_and_shearing_read_apart_once_the_skin_is_tared() -> None:
    sensor = skin()
    sensor.tare(read(sensor, 0.0, -0.001)[:, None])
    assert read(sensor, 0.0, -0.001).abs().max().item() < 1e-3
    pressed = read(sensor, 0.0, 4e-4)[0]
    sheared = read(sensor, 2e-4, 4e-4)[0]
    other = read(sensor, -2e-4, 4e-4)[0]
    assert pressed.abs().max().item() > 5.0
    torch.testing.assert_close(pressed[1, 0], -pressed[3, 0], rtol=1e-3, atol=0.02)  # alike on both sides
    change, back = sheared - pressed, other - pressed
    assert change.abs().max().item() > 1.0
    torch.testing.assert_close(change[0, 0], -back[0, 0], rtol=0.05, atol=0.02)


def test_noise_and_drift_are_as_strong_as_they_say_and_tare_takes_drift_away() -> None:
    sensor = skin(model=MagneticSkin(noise_ut=0.0, drift_ut=2.0), n=400)
    sensor.tare(read(sensor, 0.0, -0.001)[:, None])
    for _ in range(60):
        later = read(sensor, 0.0, -0.001)
    assert later.std().item() == pytest.approx(2.0, rel=0.05)
    sensor.tare(later[:, None])
    assert read(sensor, 0.0, -0.001).std().item() == pytest.approx(2.0 * math.sqrt(DT), rel=0.05)
    sensor.reset(torch.tensor([7]))
    assert sensor._drift[7].abs().max().item() == 0.0 and sensor._drift[8].abs().max().item() > 0.0
    noisy = skin(model=MagneticSkin(noise_ut=0.5, drift_ut=0.0), n=400)
    spread = read(noisy, 0.0, -0.001) - noisy.field_ut[:, 0]
    assert spread.std().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: MagneticSkin(gap_m=0.0), "gap_m = 0.0"),
        (lambda: MagneticSkin(noise_ut=-1.0), "noise_ut = -1.0"),
        (lambda: MagneticSkin(dead=1.5), "dead = 1.5: must be at most 1"),
        (lambda: MagneticSkin(hysteresis_s=0.0), "hysteresis_s = 0.0"),
        (
            lambda: AnySkin(ForceField(Pad(), Grip(1), Indenters([Box(0.1, 0.1, 0.1)], 1), Penalty()), QUIET, DT),
            "use Bristle",
        ),
    ],
)
def test_what_cannot_be_is_named(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_gains_limits_and_dead_magnetometers_are_as_the_model_says() -> None:
    many = skin(model=MagneticSkin(noise_ut=0.0, drift_ut=0.0, gain_std=0.1, dead=0.3), n=400)
    rest = read(many, 0.0, -0.001)
    assert many.gain.std().item() == pytest.approx(0.1, rel=0.1)
    assert many.alive.mean().item() == pytest.approx(0.7, abs=0.05)
    assert not rest[many.alive[:, 0, :, 0] == 0.0].any() and many.valid.float().mean() == many.alive.mean()
    torch.testing.assert_close(rest, (many.alive * many.gain * many.field_ut)[:, 0])
    low = skin(model=MagneticSkin(noise_ut=0.0, drift_ut=0.0, limit_ut=3.0))
    assert read(low, 0.0, -0.001).abs().max().item() == 3.0 and not low.valid.all()


def test_a_gel_that_creeps_reads_less_while_it_is_loaded_and_more_while_it_is_let_go() -> None:
    creeping = skin(model=MagneticSkin(noise_ut=0.0, drift_ut=0.0, hysteresis=0.2, hysteresis_s=0.5))
    ideal = skin()
    rest = read(ideal, 0.0, -0.001)
    torch.testing.assert_close(read(creeping, 0.0, -0.001), rest)  # it has lain there for long
    pressed = read(ideal, 0.0, 4e-4) - rest
    shares = [((read(creeping, 0.0, 4e-4) - rest) / pressed)[0, 0, 2].item() for _ in range(30)]
    for k in (1, 30):
        assert shares[k - 1] == pytest.approx(0.8 + 0.2 * (1.0 - math.exp(-k * DT / 0.5)), rel=1e-3)
    assert ((read(creeping, 0.0, -0.001) - rest) / pressed)[0, 0, 2].item() > 0.1  # what has crept is still there
