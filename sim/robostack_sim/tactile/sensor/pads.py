"""A gripper's pads: where their taxels are, and how what they press on lies and moves in the frame of each.

A pad's frame: origin in the middle of its surface at rest, z out of the gel towards what it presses on, y along the
rows (from the first to the last), x along the columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import warp as wp
from torch import Tensor

from robostack import warp_start
from robostack.lanes import columns
from robostack.recorded import current_stream
from robostack_sim.tactile.sensor.relating import RELATIVE_SIZE, relate_kernel

warp_start.start()


@dataclass(frozen=True)
class Pad:
    """`rows` x `columns` taxels side by side, `pitch_m` apart both ways: each feels the square about its middle.

    Fourteen rows of ten are the field of TacSL's policies (Akinola et al. 2024); two millimetres are ours.
    """

    rows: int = 14
    columns: int = 10
    pitch_m: float = 0.002

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"Pad: {self.rows} x {self.columns} taxels: at least one each way")
        if not 0.0 < self.pitch_m < 0.1:
            raise ValueError(f"Pad: pitch_m = {self.pitch_m!r}: must be more than 0 and less than 0.1 m")

    @property
    def num_taxels(self) -> int:
        return self.rows * self.columns

    def taxels(self, device: torch.device) -> Tensor:
        """(num_taxels, 3) as `lanes.columns` stores it: x and y in the pad's frame, m, and area, m2. Row by row."""
        middle = lambda n: (torch.arange(n) - 0.5 * (n - 1)) * self.pitch_m  # noqa: E731
        y, x = torch.meshgrid(middle(self.rows), middle(self.columns), indexing="ij")
        found = columns(self.num_taxels, 3, device)
        found.copy_(torch.stack([x.flatten(), y.flatten(), torch.full((self.num_taxels,), self.pitch_m**2)], 1))
        return found


class Grip:
    """The pads of each environment and what is between them.

    `relative` is (num_envs, num_pads, RELATIVE_SIZE): of the indenter in the pad's frame, the rotation matrix (row by
    row) that turns its own vectors into the pad's, its position (m), its velocity (m/s) as the pad sees it, and its
    rate of turn (rad/s). The sensors read it; `update` writes it, or whoever knows it already.
    """

    def __init__(self, num_envs: int, num_pads: int = 2, device: str | torch.device = "cpu") -> None:
        self.num_envs, self.num_pads, self.device = num_envs, num_pads, torch.device(device)
        self.relative = torch.zeros(num_envs, num_pads, RELATIVE_SIZE, device=self.device)
        self.relative[..., [0, 4, 8]] = 1.0
        self.relative[..., 11] = 1.0  # a metre away
        self._pad_poses = torch.zeros(num_envs, num_pads, 7, device=self.device)
        self._pad_poses[..., 3] = 1.0
        self._pad_twists = torch.zeros(num_envs, num_pads, 6, device=self.device)
        self._poses = torch.zeros(num_envs, 7, device=self.device)
        self._twists = torch.zeros(num_envs, 6, device=self.device)
        buffers = (self._pad_poses, self._pad_twists, self._poses, self._twists, self.relative)
        self._launch = wp.launch(
            relate_kernel,
            (num_envs, num_pads),
            [wp.from_torch(t) for t in buffers],
            device=wp.device_from_torch(self.device),
            record_cmd=True,
        )

    def update(
        self, pad_poses: Tensor, poses: Tensor, pad_twists: Tensor | None = None, twists: Tensor | None = None
    ) -> None:
        """From poses in the world: of each pad (num_envs, num_pads, 7) and of each indenter (num_envs, 7), position in
        m and quat_wxyz (of any length but zero), and their twists (..., 6), velocity of the origin in m/s and rate of
        turn in rad/s; None is at rest. Raises ValueError for other shapes."""
        given = {"pad_poses": pad_poses, "poses": poses, "pad_twists": pad_twists, "twists": twists}
        kept = (self._pad_poses, self._poses, self._pad_twists, self._twists)
        for (name, value), buffer in zip(given.items(), kept, strict=True):
            if value is None:
                buffer.zero_()
            elif value.shape != buffer.shape:
                raise ValueError(f"update: {name} is {tuple(value.shape)}, must be {tuple(buffer.shape)}")
            else:
                buffer.copy_(value)
        self._launch.launch(current_stream(self.device))

    def load(self, force_n: Tensor) -> Tensor:
        """What a force (num_envs, num_pads, 3) on each pad in the world, N, as a contact solver reports it, is to its
        sensor: shear along the pad's x and y, and how hard it is pressed. From the poses of the last `update`."""
        w, u = self._pad_poses[..., 3:4], self._pad_poses[..., 4:]
        length2 = (self._pad_poses[..., 3:] ** 2).sum(-1, keepdim=True)
        # by the inverse of a quaternion of any length
        turned = force_n - 2.0 / length2 * torch.linalg.cross(u, w * force_n - torch.linalg.cross(u, force_n))
        turned[..., 2] *= -1.0
        return turned
