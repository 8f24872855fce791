"""Claims: a hole is as wide as it says and its ring has no gap; a peg over it goes in by itself as far beside it as
clearance and chamfer allow, and no further; and nothing goes through a wall."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
import torch

from robostack_sim.tactile.gripper import Gripper, Peg, PressedBushing
from robostack_sim.tactile.socket import Socket

UPRIGHT = torch.tensor([1.0, 0.0, 0.0, 0.0])
AT_M = (0.5, 0.02)
MM = 1e-3


@pytest.fixture(scope="module", params=[8, 16])
def ring(request) -> tuple[Socket, mujoco.MjModel, mujoco.MjData]:
    socket = Socket(12 * MM, request.param, 15 * MM, chamfer_m=2 * MM)
    xml = f"<mujoco><compiler angle='radian'/><asset>{socket.mesh}</asset><worldbody>{socket.body}</worldbody></mujoco>"
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return socket, model, data


def seen(ring, start, direction) -> float:
    _, model, data = ring
    return mujoco.mj_ray(model, data, np.array(start), np.array(direction), None, 1, -1, np.zeros(1, np.int32))


@pytest.mark.parametrize(("height_m", "wider_m"), [(1 * MM, 0.0), (12.9 * MM, 0.0), (14 * MM, 1 * MM)])
def test_the_hole_is_as_wide_as_it_says(ring, height_m: float, wider_m: float) -> None:
    sides = ring[0].sides
    for angle in np.linspace(0.01, 2 * math.pi, 97):
        off = (angle + math.pi / sides) % (2 * math.pi / sides) - math.pi / sides
        found = seen(ring, (0.0, 0.0, height_m), (math.cos(angle), math.sin(angle), 0.0))
        assert found == pytest.approx((12 * MM + wider_m) / math.cos(off), abs=1e-6)


def test_the_ring_has_no_gap(ring) -> None:
    for angle in np.linspace(0.01, 2 * math.pi, 193):  # a ray along a seam meets neither
        at = 20 * MM * math.cos(angle), 20 * MM * math.sin(angle), 0.1
        assert seen(ring, at, (0.0, 0.0, -1.0)) == pytest.approx(0.085, abs=1e-6)


def over(socket: Socket, beside_m: list[tuple[float, float]], shape: str = "round") -> tuple[Gripper, torch.Tensor]:
    """Upright pegs over sockets, so far beside them, and where their grippers are."""
    n = len(beside_m)
    gripper = Gripper(n, peg=Peg(shape=shape), bushing=PressedBushing(), socket=socket)
    place = torch.tensor([*AT_M, 0.0]).repeat(n, 1)
    at = place + torch.tensor([(*b, 0.07) for b in beside_m])
    zero = torch.zeros(n)
    gripper.restart(torch.arange(n), at, zero, zero - 0.01, zero + 15.0, place)
    return gripper, at


def foot(gripper: Gripper) -> torch.Tensor:
    """(n, 3) m: middle of each peg's lower end, from the middle of the hole's floor."""
    w, x, y, z = gripper.peg_pose[:, 3:].unbind(1)
    axis = torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    return gripper.peg_pose[:, :3] - 0.5 * gripper.peg.length_m * axis - torch.tensor([*AT_M, 0.0])


def deepest(gripper: Gripper) -> float:
    """m that one body is in another, anywhere."""
    most = 0.0
    for i in range(gripper.num_envs):
        data = gripper._batch.get_data(i)
        mujoco.mj_forward(gripper._batch.model, data)
        most = max(most, *(-data.contact.dist), 0.0)
    return most


def lowered(gripper: Gripper, at: torch.Tensor, step_m: float = 2 * MM, push_m: float = 6 * MM) -> torch.Tensor:
    """Until the arm's target is `push_m` below the hole's floor; the largest push on the pads meanwhile, N."""
    most = torch.zeros(len(at))
    while at[0, 2] > 45 * MM - push_m:
        at[:, 2] -= step_m
        gripper.step(at, UPRIGHT.repeat(len(at), 1))
        most = torch.maximum(most, gripper.pad_force_n.sum(1).norm(dim=1))
    for _ in range(20):
        gripper.step(at, UPRIGHT.repeat(len(at), 1))
    return most


@pytest.mark.parametrize("shape", ["round", "octagonal"])
@pytest.mark.parametrize("chamfer_m", [0.0, 2 * MM])
def test_a_peg_goes_in_as_far_beside_the_hole_as_clearance_and_chamfer_allow(shape: str, chamfer_m: float) -> None:
    socket = Socket(11 * MM, 8 if shape == "octagonal" else 16, 15 * MM, chamfer_m)
    just, beyond = 0.7 * MM + 0.8 * chamfer_m, 2.0 * MM + chamfer_m  # springs give by most of a millimetre
    directions = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)]
    gripper, at = over(socket, [(x * off, y * off) for off in (0.0, just, beyond) for x, y in directions], shape)
    most = lowered(gripper, at)
    height = foot(gripper)[:, 2].view(3, 4)
    assert height[:2].abs().max() < 0.5 * MM
    assert (height[2] - 15 * MM).abs().max() < 1.0 * MM
    assert most.max() < 30.0  # a target 21 mm below the rim, at 1 N/mm


@pytest.mark.parametrize("shape", ["round", "octagonal"])
def test_pushed_at_a_wall_a_peg_stays_in_its_hole(shape: str) -> None:
    socket = Socket(12.5 * MM, 8 if shape == "octagonal" else 16, 15 * MM)
    gripper, at = over(socket, [(0.0, 0.0)] * 4, shape)
    lowered(gripper, at, push_m=0.0)
    for _ in range(30):  # the arm's target leaves by 30 mm, and the peg leans on the rim
        at[:, :2] += MM * torch.tensor([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.7, 0.7)])
        gripper.step(at, UPRIGHT.repeat(4, 1))
        assert deepest(gripper) < 0.2 * MM
    assert foot(gripper)[:, 2].max() < 10 * MM
    pushed = gripper.pad_force_n.sum(1)
    assert pushed[0, 0] < -10.0 < 10.0 < pushed[1, 0] and pushed[2, 1] < -10.0


def test_a_peg_that_is_thrown_on_the_rim_does_not_go_through_it() -> None:
    gripper, at = over(Socket(12.5 * MM, 16, 15 * MM), [(12 * MM, 0.0), (0.0, 12 * MM)])
    for _ in range(10):  # 0.6 m/s
        at[:, 2] -= 10 * MM
        gripper.step(at, UPRIGHT.repeat(2, 1))
        assert deepest(gripper) < 0.5 * MM
    assert foot(gripper)[:, 2].min() > 12 * MM
