"""Claims about my_vehicle: it can fly, and a short training makes it hover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import robostack as rs
from robostack.learn.shac import SHAC

FILE = str(Path(__file__).with_name("my_vehicle.toml"))
WEIGHT_MARGIN = 1.5
"""of the thrust, so that it can right itself; a racing drone has 4 and more"""


def test_it_carries_more_than_itself() -> None:
    numbers: Any = rs.make("quadrotor", vehicle=FILE, num_envs=1).machine
    c0, c1, c2 = numbers["thrust_curve"]
    top = numbers["rotor_speed_max"]
    assert 4 * (c0 + c1 * top + c2 * top**2) > WEIGHT_MARGIN * 9.81 * numbers["mass"]


def test_its_rotors_are_around_its_centre_and_their_torques_cancel() -> None:
    numbers: Any = rs.make("quadrotor", vehicle=FILE, num_envs=1).machine
    for field in ("rotor_x", "rotor_y"):
        assert min(numbers[field]) < 0 < max(numbers[field]), field
    assert sum(numbers["rotor_spin"]) == 0


def test_a_short_training_makes_it_hover(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    run = rs.train(rs.make("quadrotor", vehicle=FILE), SHAC(iterations=60), root=tmp_path)
    assert run.result["best_score"] > 0.5  # of starts tilted by up to 90 degrees
