"""Claims: pads hold a light peg without being pushed through it, springs do to a peg what friction does, and both stand
for the forces that they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from robostack import quaternion
from robostack_sim.tactile.gripper import Gripper, euler_xyz

UPRIGHT = torch.tensor([1.0, 0.0, 0.0, 0.0])
GRASPS = ("bushing", "contact")


def gripping(grasp: str, tilts_deg: list[float], along_m: float = -0.01, squeeze_n: float = 15.0) -> Gripper:
    """In the air, one environment a tilt."""
    n = len(tilts_deg)
    gripper = Gripper(n, grasp)
    at, tilt = torch.tensor([0.5, 0.0, 0.12]).repeat(n, 1), torch.tensor(tilts_deg) * math.pi / 180
    gripper.restart(torch.arange(n), at, tilt, torch.full((n,), along_m), torch.full((n,), squeeze_n))
    return gripper


def hold(gripper: Gripper, periods: int, height_m: float = 0.12) -> None:
    at = torch.tensor([0.5, 0.0, height_m]).repeat(gripper.num_envs, 1)
    for _ in range(periods):
        gripper.step(at, UPRIGHT.repeat(gripper.num_envs, 1))


def leaning_deg(gripper: Gripper) -> np.ndarray:
    return np.degrees(quaternion.to_rotation_vector(gripper.peg_pose[:, 3:].double().numpy())[:, 1])


@pytest.mark.parametrize("grasp", GRASPS)
def test_a_peg_is_held_where_it_was_gripped(grasp: str) -> None:
    gripper = gripping(grasp, [-30.0, 0.0, 20.0], squeeze_n=20.0)
    before = (gripper.peg_pose[:, :3] - gripper.pose[:, :3]).clone()
    hold(gripper, 60)
    moved = (gripper.peg_pose[:, :3] - gripper.pose[:, :3] - before).norm(dim=1)
    assert moved.max() < 3e-4
    assert leaning_deg(gripper) == pytest.approx([-30.0, 0.0, 20.0], abs=0.2)


def test_twenty_newtons_do_not_push_the_pads_through_a_light_peg() -> None:
    gripper = gripping("contact", [0.0], squeeze_n=20.0)
    hold(gripper, 30)
    between = (gripper.pad_poses[0, 0, :3] - gripper.pad_poses[0, 1, :3]).norm()
    assert 2 * gripper.peg.radius_m - between.item() < 5e-4


@pytest.mark.parametrize("grasp", GRASPS)
def test_the_pads_carry_the_pegs_weight_and_their_own_squeeze(grasp: str) -> None:
    gripper = gripping(grasp, [0.0, 25.0])
    hold(gripper, 60)
    weight = gripper.peg.mass_kg * 9.81
    assert gripper.pad_force_n[:, :, 2].sum(1).tolist() == pytest.approx([-weight] * 2, rel=0.02)
    assert gripper.pad_force_n[:, 0, 1].tolist() == pytest.approx([15.0] * 2, rel=0.02)
    assert gripper.pad_force_n[:, 1, 1].tolist() == pytest.approx([-15.0] * 2, rel=0.02)


def test_pressed_on_the_table_a_peg_in_springs_leans_as_one_that_friction_holds() -> None:
    tilts = [-25.0, -16.0, -10.0, -4.0, 0.0, 4.0, 10.0, 14.0, 25.0]
    for along in (-0.0225, 0.0025):
        lean = []
        for grasp in GRASPS:
            gripper = gripping(grasp, tilts, along)
            lowest = gripper.peg.lowest_m(gripper.peg_pose[:, 2], torch.tensor(tilts).deg2rad().cos())
            for k in range(60):
                at = torch.tensor([0.5, 0.0, 0.0]).repeat(len(tilts), 1)
                at[:, 2] = torch.maximum(torch.tensor(0.12 - 0.004 * k), 0.12 - lowest - 0.004)
                gripper.step(at, UPRIGHT.repeat(len(tilts), 1))
            gap = gripper.peg.lowest_m(gripper.peg_pose[:, 2], torch.tensor(np.cos(np.radians(leaning_deg(gripper)))))
            assert gap.abs().max() < 1e-3  # on the table, not in it
            lean.append(leaning_deg(gripper))
        assert np.abs(lean[0] - lean[1]).max() < 1.0


def test_a_turned_target_turns_the_gripper() -> None:
    turn = quaternion.from_rotation_vector(np.array([[0.1, -0.5, 0.2]]))
    gripper = gripping("bushing", [0.0])
    for _ in range(40):
        gripper.step(torch.tensor([[0.5, 0.0, 0.2]]), torch.from_numpy(turn))
    reached = quaternion.to_rotation_vector(gripper.pose[:, 3:].double().numpy())
    assert reached[0] == pytest.approx([0.1, -0.5, 0.2], abs=0.02)


def test_hinge_angles_are_those_that_make_the_turn() -> None:
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, (200, 3))
    assert euler_xyz(quaternion.from_euler("XYZ", angles)) == pytest.approx(angles, abs=1e-9)


def test_threads_change_no_bit() -> None:
    found = []
    for threads in (1, 2):
        gripper = Gripper(6, "contact", threads)
        at = torch.tensor([0.5, 0.0, 0.06]).repeat(6, 1)
        tilt, along, squeeze = torch.linspace(-0.3, 0.3, 6), torch.full((6,), -0.01), torch.full((6,), 15.0)
        gripper.restart(torch.arange(6), at, tilt, along, squeeze)
        for _ in range(10):
            gripper.step(at - torch.tensor([0.0, 0.0, 0.03]), UPRIGHT.repeat(6, 1))
        found.append(gripper.peg_pose.clone())
    assert torch.equal(*found)
