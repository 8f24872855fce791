"""Claims: what lies between a pad and its indenter is what rigid-body kinematics says, whatever frame the world has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robostack_sim.tactile.sensor.pads import Grip, Pad

N = 5


def matrix(quat_wxyz: Tensor) -> Tensor:
    """(..., 3, 3) float64"""
    w, x, y, z = (quat_wxyz.double() / quat_wxyz.double().norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def poses(seed: int, *shape: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.cat([0.3 * torch.randn(*shape, 3, generator=draw), torch.randn(*shape, 4, generator=draw)], -1)


def moved(pose: Tensor, twist: Tensor, dt: float) -> Tensor:
    """A rigid body's pose (float64) a moment later."""
    pose, twist = pose.double(), twist.double()
    q = pose[..., 3:] / pose[..., 3:].norm(dim=-1, keepdim=True)
    w, u = q[..., :1], q[..., 1:]
    spin = twist[..., 3:]
    turn = torch.cat([-(spin * u).sum(-1, keepdim=True), w * spin + torch.linalg.cross(spin, u)], -1)
    return torch.cat([pose[..., :3] + dt * twist[..., :3], q + 0.5 * dt * turn], -1)


def between(pads: Tensor, indenters: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation and position of each indenter in each pad's frame, float64."""
    back = matrix(pads[..., 3:]).transpose(-1, -2)
    apart = (indenters[:, None, :3] - pads[..., :3]).double()
    return back @ matrix(indenters[:, None, 3:]), (back @ apart[..., None])[..., 0]


def test_the_relative_pose_is_that_of_rotation_matrices_whatever_the_quaternions_length() -> None:
    pads, indenters = poses(0, N, 2), poses(1, N)
    grip = Grip(N)
    grip.update(pads, indenters)
    turn, position = between(pads, indenters)
    torch.testing.assert_close(grip.relative[..., :9].double().unflatten(-1, (3, 3)), turn, rtol=0, atol=2e-6)
    torch.testing.assert_close(grip.relative[..., 9:12].double(), position, rtol=0, atol=2e-6)
    assert not grip.relative[..., 12:].any()


def test_the_relative_twist_is_how_the_relative_pose_changes() -> None:
    pads, indenters = poses(0, N, 2), poses(1, N)
    draw = torch.Generator().manual_seed(2)
    pad_twists, twists = torch.randn(N, 2, 6, generator=draw), torch.randn(N, 6, generator=draw)
    grip = Grip(N)
    grip.update(pads, indenters, pad_twists, twists)
    dt = 1e-5
    before = between(moved(pads, pad_twists, -dt), moved(indenters, twists, -dt))
    after = between(moved(pads, pad_twists, dt), moved(indenters, twists, dt))
    now, _ = between(pads, indenters)
    velocity = (after[1] - before[1]) / (2 * dt)
    spin = ((after[0] - before[0]) / (2 * dt)) @ now.transpose(-1, -2)
    rate = torch.stack([spin[..., 2, 1], spin[..., 0, 2], spin[..., 1, 0]], -1)
    torch.testing.assert_close(grip.relative[..., 12:15].double(), velocity, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grip.relative[..., 15:18].double(), rate, rtol=1e-5, atol=1e-5)


def test_a_force_in_the_world_is_shear_and_pressing_on_the_pad() -> None:
    pads = poses(0, N, 2)
    grip = Grip(N)
    grip.update(pads, poses(1, N))
    force = torch.randn(N, 2, 3, generator=torch.Generator().manual_seed(3))
    expected = (matrix(pads[..., 3:]).transpose(-1, -2) @ force.double()[..., None])[..., 0]
    expected[..., 2] *= -1.0
    torch.testing.assert_close(grip.load(force).double(), expected, rtol=0, atol=1e-6)


def test_taxels_lie_row_by_row_about_the_middle() -> None:
    taxels = Pad(rows=14, columns=10, pitch_m=0.002).taxels(torch.device("cpu"))
    assert taxels.shape == (140, 3)
    torch.testing.assert_close(taxels[:, :2].mean(0), torch.zeros(2), rtol=0, atol=1e-8)
    torch.testing.assert_close(taxels[1] - taxels[0], torch.tensor([0.002, 0.0, 0.0]))
    torch.testing.assert_close(taxels[10] - taxels[0], torch.tensor([0.0, 0.002, 0.0]))
    assert taxels[:, 2].sum().item() == pytest.approx(0.028 * 0.02)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Pad(rows=0), "0 x 10 taxels"),
        (lambda: Pad(pitch_m=2.0), "pitch_m = 2.0"),
        (lambda: Grip(3).update(torch.zeros(3, 1, 7), torch.zeros(3, 7)), r"pad_poses is \(3, 1, 7\), must be \(3, 2"),
        (lambda: Grip(3).update(torch.zeros(3, 2, 7), torch.zeros(3, 6)), r"poses is \(3, 6\), must be \(3, 7\)"),
    ],
)
def test_wrong_shapes_are_named(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
