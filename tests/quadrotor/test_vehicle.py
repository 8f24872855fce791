"""A vehicle file that is wrong is refused by file, field, value and what is allowed."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from robostack.spec import ContractError
from robostack_sim.quadrotor.config import QuadrotorConfig
from robostack_sim.quadrotor.physics import P
from robostack_sim.quadrotor.task import Quadrotor
from robostack_sim.quadrotor.vehicle import FIELDS, GRAVITY_M_S2, load_vehicle, shipped

GOOD = files("robostack_sim.quadrotor").joinpath("parameters", "crazyflie_2_1.toml").read_text()


def with_field(folder: Path, field: str, line: str) -> Path:
    """The Crazyflie's file with the line of `field` replaced (left out when empty)."""
    text, count = re.subn(rf"^{field} = .*\n", line and f"{line}\n", GOOD, flags=re.MULTILINE)
    assert count == 1
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ContractError) as raised:
        load_vehicle(path)
    assert "mine.toml" in str(raised.value)
    return str(raised.value)


def test_shipped_vehicles_fly_and_give_a_source_for_every_number() -> None:
    assert set(shipped()) >= {"crazyflie_2_1", "crazyflie_l2f"}
    for name in shipped():
        vehicle = load_vehicle(name)
        assert 1.2 < vehicle.thrust_to_weight < 6.0
        assert 4 * vehicle.thrust_n(vehicle.hover_speed_rad_s) == pytest.approx(vehicle.mass * GRAVITY_M_S2)
        text = files("robostack_sim.quadrotor").joinpath("parameters", f"{name}.toml").read_text()
        assert len(re.findall(r'source = "[^"]{5,}"', text)) == len(FIELDS)


def test_a_users_copy_flies(tmp_path: Path) -> None:
    path = with_field(tmp_path, "mass", 'mass = { value = 0.031, unit = "kg", source = "my scales" }')
    task = Quadrotor(QuadrotorConfig(num_envs=2, vehicle=str(path)))
    assert task.params[0, 0].item() == pytest.approx(0.031)


def test_the_stock_crazyflie_has_the_thrust_that_its_firmware_allows_whatever_the_battery_has() -> None:
    task = Quadrotor(QuadrotorConfig(num_envs=2, vehicle="crazyflie_2_1_stock"))
    assert task.vehicle.thrust_n(task.vehicle.rotor_speed_max) == pytest.approx(0.12, rel=1e-4)
    assert task.vehicle.battery_sag > 0.1 and not task.params[:, [P.SAG, P.DISCHARGE]].any()


@pytest.mark.parametrize(
    ("thrust_g", "measured_v"), [(10.9, 3.88), (24.4, 3.71), (37.3, 3.62), (46.0, 3.48), (57.9, 3.3)]
)
def test_its_battery_sags_as_bitcraze_measured(thrust_g: float, measured_v: float) -> None:
    """pwm-to-thrust.md of crazyflie-firmware: of all four rotors, 4.01 V without load."""
    vehicle = load_vehicle("crazyflie_2_1_stock")
    full_g = 4 * vehicle.thrust_n(vehicle.rotor_speed_max) / GRAVITY_M_S2 * 1e3
    assert 4.01 * (1 - vehicle.battery_sag * thrust_g / full_g) == pytest.approx(measured_v, abs=0.05)


@pytest.mark.parametrize(
    ("field", "line", "says"),
    [
        ("mass", 'mass = { value = -0.027, unit = "kg", source = "s" }', ["mass", "-0.027", "[0.005, 20]", "kg"]),
        ("mass", 'mass = { value = nan, unit = "kg", source = "s" }', ["mass", "nan", "[0.005, 20]"]),
        ("mass", 'mass = { value = inf, unit = "kg", source = "s" }', ["mass", "inf", "[0.005, 20]"]),
        ("mass", 'mass = { value = true, unit = "kg", source = "s" }', ["mass", "True"]),
        ("mass", 'mass = { value = "27 g", unit = "kg", source = "s" }', ["mass", "27 g"]),
        ("mass", 'mass = { value = 27, unit = "g", source = "s" }', ["mass", "'g'", "'kg'", "convert"]),
        ("mass", "mass = 0.027", ["mass", "0.027", "unit", "source"]),
        ("mass", 'mass = { value = 0.027, unit = "kg" }', ["mass", "source"]),
        ("mass", "", ["missing", "mass", "crazyflie_2_1.toml"]),
        ("mass", 'wight = { value = 0.2, unit = "N", source = "s" }', ["missing", "mass"]),
        ("drag", f'{re.search("^drag = .*", GOOD, re.M)[0]}\ncolour = 3', ["unknown", "colour"]),  # type: ignore[index]
        ("inertia", 'inertia = { value = [1e-5, 1e-5], unit = "kg m2", source = "s" }', ["inertia", "3 number"]),
        ("inertia", 'inertia = { value = [1e-5, 0.0, 1e-5], unit = "kg m2", source = "s" }', ["inertia", "0.0"]),
        (
            "thrust_curve",
            'thrust_curve = { value = [0.0, 0.0, 3.16e-10], unit = "N, N s/rad, N s2/rad2", source = "per rpm2" }',
            ["thrust to weight", "0.02", "rpm", "rad/s"],
        ),
        (
            "thrust_curve",
            'thrust_curve = { value = [0.0, 1e-4, -1e-9], unit = "N, N s/rad, N s2/rad2", source = "s" }',
            ["thrust_curve", "positive"],
        ),
        (
            "rotor_speed_max",
            'rotor_speed_max = { value = 21702, unit = "rpm", source = "s" }',
            ["rotor_speed_max", "'rpm'", "'rad/s'"],
        ),
        (
            "rotor_speed_min",
            'rotor_speed_min = { value = 2500.0, unit = "rad/s", source = "s" }',
            ["rotor_speed_max", "above rotor_speed_min"],
        ),
        ("name", "", ["name", "missing"]),
        ("name", "name = 3", ["name"]),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(
    tmp_path: Path, field: str, line: str, says: list[str]
) -> None:
    message = refusal(with_field(tmp_path, field, line))
    assert [word for word in says if word not in message] == []


def test_a_file_that_is_no_toml_or_is_not_there_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "mine.toml"
    broken.write_text("mass = = 3")
    assert "not a TOML file" in refusal(broken)
    with pytest.raises(ContractError, match=r"no_such_drone.*crazyflie_2_1"):
        load_vehicle("no_such_drone")
