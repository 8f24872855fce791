"""Claims: a machine's numbers are found in a log of its flight, as surely as is said; what it does not tell is said."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from _identify_flights import VEHICLE, Truth, steps

from robostack import cli
from robostack.quaternion import from_rotation_vector, multiply, normalise
from robostack_sim.quadrotor.identify.fit import Estimate, NotTold, fit
from robostack_sim.quadrotor.identify.log import Log, Series, pieces
from robostack_sim.quadrotor.identify.machine import Machine
from robostack_sim.quadrotor.identify.outcome import ranges
from robostack_sim.quadrotor.identify.windows import STATES, Windows
from robostack_sim.quadrotor.vehicle import load_vehicle

NAMES = ("mass", "thrust", "curve", "rise", "fall", "delay", "torque")
TRUTH = Truth(
    mass=1.15,
    thrust=0.9,
    rise=1.5,
    fall=0.8,
    torque=1.2,
    acting_s=0.016,
    wind=(0.03, -0.02),
    moment=(0.01, -0.01, 0.002),
)


@pytest.fixture(scope="module")
def log() -> Log:
    return steps(TRUTH, 10.0)


def windows_of(log: Log, *names: str) -> Windows:
    whole = pieces(log)
    return Windows(whole.found, whole.dt_s, Machine(VEHICLE, names or NAMES))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def estimate(log: Log) -> Estimate:
    return fit(windows_of(log))


def test_lag_is_found_to_a_tenth_and_thrust_to_three_per_cent(estimate: Estimate) -> None:
    true, found = TRUTH.vehicle, estimate.vehicle
    assert found.rotor_rise_time == pytest.approx(true.rotor_rise_time, rel=0.1)
    assert found.rotor_fall_time == pytest.approx(true.rotor_fall_time, rel=0.1)
    for share in (0.85, 1.0, 1.15):
        speed = share * true.hover_speed_rad_s
        assert found.thrust_n(speed) == pytest.approx(true.thrust_n(speed), rel=0.03)
    assert found.mass == pytest.approx(true.mass, rel=0.03)
    assert found.torque_to_thrust == pytest.approx(true.torque_to_thrust, rel=0.1)
    assert estimate.delay_s == pytest.approx(TRUTH.delay_s, abs=0.003)


def test_the_error_is_what_the_deviation_says(estimate: Estimate) -> None:
    true, found = TRUTH.vehicle, estimate.vehicle
    for name, error in (
        ("mass", found.mass / true.mass - 1.0),
        ("rise", found.rotor_rise_time / true.rotor_rise_time - 1.0),
        ("fall", found.rotor_fall_time / true.rotor_fall_time - 1.0),
        ("torque", found.torque_to_thrust / true.torque_to_thrust - 1.0),
        ("delay", estimate.delay_s - TRUTH.delay_s),
    ):
        assert abs(error) < 4.0 * estimate.std(name), name
        assert estimate.std(name) < 0.05, name


def test_noise_of_the_sensors_is_found_as_what_is_left(estimate: Estimate) -> None:
    v = load_vehicle(VEHICLE)
    position, turn, velocity, rate = estimate.deviation.unflatten(0, (4, 3)).mean(1).tolist()
    assert position == pytest.approx(v.position_noise, rel=0.3)
    assert turn == pytest.approx(2.0 * v.attitude_noise, rel=0.3)
    assert velocity == pytest.approx(v.velocity_noise, rel=0.5)
    assert rate == pytest.approx(v.rate_noise, rel=0.5)


def test_a_positioning_that_jumps_and_a_gyro_that_spikes_move_little(log: Log) -> None:
    channels = {n: Series(s.time_s[:600], s.values[:600].copy()) for n, s in log.channels.items()}
    channels["position"].values[300:320] += 1.0
    channels["body_rate"].values[[150, 400, 500]] += 20.0
    found = fit(windows_of(replace(log, channels=channels))).vehicle
    assert found.rotor_rise_time == pytest.approx(TRUTH.vehicle.rotor_rise_time, rel=0.03)
    assert found.mass == pytest.approx(TRUTH.vehicle.mass, rel=0.03)


def test_derivatives_are_those_of_differences(log: Log) -> None:
    windows = windows_of(log)
    theta = windows.machine.start(0.0132)
    theta[:4] = torch.tensor([0.1, -0.1, 0.05, 0.2])
    start = torch.zeros(windows.count, STATES, dtype=torch.float64)
    linear = windows.linear(theta, start)
    h = 1e-2
    for k in range(len(theta)):
        step = torch.zeros_like(theta)
        step[k] = 1e-3 if k == NAMES.index("delay") else h
        numeric = (windows.residual(theta + step, start) - windows.residual(theta - step, start)) / (2 * step[k])
        error = (linear.by_theta[..., k] - numeric).norm() / numeric.norm()
        assert error < 0.02, k
    for c in range(STATES):
        step = torch.zeros_like(start)
        step[:, c] = h
        numeric = (windows.residual(theta, start + step) - windows.residual(theta, start - step)) / (2 * h)
        assert (linear.by_start[..., c] - numeric).norm() / numeric.norm() < 0.02, c


def hover() -> Log:
    """Noise is in the log alone: the rotors are told the same all the time."""
    calm, draw = steps(Truth(), 7.0, noise=0.0, size=0.0), np.random.default_rng(0)
    v, channels = load_vehicle(VEHICLE), dict(calm.channels)
    for name, std in (("position", v.position_noise), ("velocity", v.velocity_noise), ("body_rate", v.rate_noise)):
        s = channels[name]
        channels[name] = Series(s.time_s, s.values + std * draw.standard_normal(s.values.shape))
    s = channels["attitude"]
    shaken = multiply(s.values, from_rotation_vector(2.0 * v.attitude_noise * draw.standard_normal((len(s.values), 3))))
    channels["attitude"] = Series(s.time_s, normalise(shaken))
    settled = {n: Series(s.time_s[500:], s.values[500:]) for n, s in channels.items()}
    return replace(calm, channels=settled)


def test_a_hover_does_not_tell_mass_and_thrust_apart_and_which_and_why_is_said() -> None:
    with pytest.raises(NotTold, match=r"mass and thrust apart|thrust and mass apart") as told:
        fit(windows_of(hover(), "mass", "thrust"))
    assert "what does not turn shows thrust over mass alone" in str(told.value)
    assert "a scale tells mass" in str(told.value)


def test_a_hover_does_tell_thrust_when_mass_is_known() -> None:
    found = fit(windows_of(hover(), "thrust"))
    assert found.std("thrust") < 0.01
    assert float(found.theta[0]) == pytest.approx(0.0, abs=0.01)


def test_a_hover_tells_nothing_of_the_rotors_lag() -> None:
    with pytest.raises(NotTold, match="the rotors hardly changed their speed"):
        fit(windows_of(hover(), "thrust", "rise", "fall", "delay"))


def test_mass_thrust_and_inertia_cannot_all_be_unknown(log: Log) -> None:
    with pytest.raises(NotTold, match="inertia"):
        fit(windows_of(log, "mass", "thrust", "inertia", "rise", "fall", "delay"))


def csv_of(log: Log, path: Path) -> Path:
    """As a Crazyflie with our app logs it."""
    names = [f"stateEstimate.{n}" for n in ("x", "y", "z", "vx", "vy", "vz", "qw", "qx", "qy", "qz")]
    names += [*(f"gyro.{n}" for n in "xyz"), *(f"rsp.m{i}" for i in (1, 2, 3, 4))]
    c = {n: s.values for n, s in log.channels.items()}
    columns = [c["position"], c["velocity"], c["attitude"], np.degrees(c["body_rate"]), c["command"]]
    table = np.concatenate([1e3 * log.channels["position"].time_s[:, None], *columns], 1)
    np.savetxt(path, table, delimiter=",", header=",".join(["Timestamp", *names]), comments="", fmt="%.9g")
    return path


def test_the_verb_writes_a_vehicle_and_what_to_train_over(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flown = csv_of(log, tmp_path / "flight.csv")
    asked = ["identify", "--log", str(flown), "--vehicle", VEHICLE, "-o", "mine.toml", "--end-s", "5", "--json"]
    assert cli.main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    vehicle, text = load_vehicle("mine.toml"), Path("mine.toml").read_text()
    assert vehicle.name == "mine"
    assert vehicle.rotor_rise_time == pytest.approx(TRUTH.vehicle.rotor_rise_time, rel=0.1)
    assert vehicle.inertia == load_vehicle(VEHICLE).inertia
    assert "Luis and Le Ny 2016" in text and "robostack identify" in text
    assert f"#   {told['train']}\n" in text
    assert told["train"].startswith("robostack train quadrotor --vehicle mine.toml --mass-scale 0.9")
    assert [f["name"] for f in told["found"]] == list(NAMES)
    assert cli.main(asked) == 1
    assert "mine.toml: exists already" in capsys.readouterr().err


def test_what_to_train_over_is_around_what_was_found(estimate: Estimate) -> None:
    found = ranges(estimate)
    low, high = found["rotor_time_s"]
    assert low < estimate.vehicle.rotor_rise_time < high
    assert found["mass_scale"] == pytest.approx((0.98, 1.02), abs=0.02)
    assert found["delay_s"][0] < TRUTH.delay_s < found["delay_s"][1] <= 0.03


def test_what_is_looked_for_has_to_make_sense() -> None:
    from robostack.spec import ContractError

    with pytest.raises(ContractError, match="mass is there twice"):
        Machine(VEHICLE, ("mass", "mass"))
    with pytest.raises(ContractError, match="name one number at least"):
        Machine(VEHICLE, ())
