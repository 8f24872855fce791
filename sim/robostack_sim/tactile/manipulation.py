"""What placing and inserting share: a gripped peg whose lean in the grip nobody says, brought to a place that is told a
little wrong, under an arm's impedance."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from robostack import quaternion
from robostack.task import Layout, Obs, Task
from robostack_sim.tactile import interface
from robostack_sim.tactile.config import ManipulationConfig
from robostack_sim.tactile.gripper import CONTROL_HZ, Gripper, Peg
from robostack_sim.tactile.socket import Socket
from robostack_sim.tactile.touch import Touch

START_LOW_M, START_HIGH_M = (0.4, -0.1, 0.1), (0.6, 0.1, 0.2)
"""of the gripper, TacSL's; places are drawn from the same area of the table"""
WORKSPACE_LOW_M, WORKSPACE_HIGH_M = (0.3, -0.2, 0.0), (0.7, 0.2, 0.3)
TURN_LIMIT_RAD = 1.2
"""that the arm's target may be turned from upright"""
ALONG_M = -0.010
"""of the peg's middle along its axis, from the gripper's"""


class Manipulation(Task):
    """Attributes are of the present episodes: `arm_position` (num_envs, 3) and `arm_quat_wxyz` (num_envs, 4), the pose
    that the arm is to hold; `place_m` (num_envs, 3) and `told_m`, where the peg is to go and what the policy is told
    of that; `gripper` and `touch` have the rest."""

    config: ManipulationConfig
    modalities = interface.MODALITIES
    step_dt = 1.0 / CONTROL_HZ
    _STATE = ("arm_position", "arm_quat_wxyz", "applied", "place_m", "told_m", "tilt_in_grip", "along_in_grip",
              "episode_length_buf")  # fmt: skip

    def __init__(
        self, config: ManipulationConfig, seed: int = 0, peg: Peg | None = None, socket: Socket | None = None
    ) -> None:
        self.config = c = config
        self.num_envs, self.device = c.num_envs, torch.device("cpu")
        self.max_episode_length = c.steps
        self.actions, self.envelope = interface.actions(c), interface.envelope()
        self.layout = Layout(self.channels)
        self.gripper = Gripper(c.num_envs, c.grasp, c.threads, peg, arm=c.arm, bushing=c.bushing, socket=socket,
                               physics=c.physics)  # fmt: skip
        self.touch = Touch(self.gripper, c.sensor, c.skin, self.step_dt, c.image)
        n = c.num_envs
        self.episode_length_buf = torch.zeros(n, dtype=torch.long)
        self.arm_position, self.place_m, self.told_m = (torch.zeros(n, 3) for _ in range(3))
        self.arm_quat_wxyz, self.applied = torch.zeros(n, 4), torch.zeros(n, 6)
        self.tilt_in_grip, self.along_in_grip = torch.zeros(n), torch.zeros(n)
        self._limit = torch.tensor([c.shift_max_m] * 3 + [c.turn_max_rad] * 3)
        self._low, self._high = torch.tensor(WORKSPACE_LOW_M), torch.tensor(WORKSPACE_HIGH_M)
        self._generator = torch.Generator()
        self.reset(seed)

    @abstractmethod
    def privileged(self) -> tuple[Tensor, ...]:
        """(num_envs, ...) each, the privileged channels in their order."""

    @abstractmethod
    def figures(self) -> dict[str, Tensor]:
        """(num_envs,) each, how the peg is now, by name and, after an underscore, unit."""

    @abstractmethod
    def succeeded(self, figures: Mapping[str, Tensor]) -> Tensor:
        """(num_envs,) bool: whether an episode that ends so is a success."""

    @abstractmethod
    def reward_terms(self, figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(num_envs,) each; the reward is their sum."""

    def reset(self, seed: int | None = None) -> tuple[Obs, dict[str, Any]]:
        if seed is not None:
            self._generator.manual_seed(seed)
            self.touch.seed(seed)
        self.restart(torch.ones(self.num_envs, dtype=torch.bool))
        return self.observe(), {}

    def restart(self, mask: Tensor) -> None:
        """New grips for the environments in `mask` (num_envs,) bool. What is drawn does not depend on the mask."""
        c, n, rows = self.config, self.num_envs, mask.nonzero()[:, 0]
        uniform = lambda *size: torch.rand(n, *size, generator=self._generator)  # noqa: E731
        low, high = torch.tensor(START_LOW_M), torch.tensor(START_HIGH_M)
        start, place = low + (high - low) * uniform(3), low + (high - low) * uniform(3)
        place[:, 2] = 0.0
        error = c.place_error_m * (2.0 * uniform(3) - 1.0)
        error[:, 2] = 0.0
        tilt = c.tilt_rad * (2.0 * uniform() - 1.0)
        along = ALONG_M + c.along_m * (2.0 * uniform() - 1.0)
        squeeze = c.squeeze_n[0] + (c.squeeze_n[1] - c.squeeze_n[0]) * uniform()
        stiffness = 1.0 + c.stiffness_share * (2.0 * uniform() - 1.0)
        self.arm_position[rows], self.place_m[rows], self.told_m[rows] = start[rows], place[rows], (place + error)[rows]
        self.arm_quat_wxyz[rows] = torch.tensor([1.0, 0.0, 0.0, 0.0])
        self.tilt_in_grip[rows], self.along_in_grip[rows], self.applied[rows] = tilt[rows], along[rows], 0.0
        self.episode_length_buf.masked_fill_(mask, 0)
        self.gripper.restart(rows, start[rows], tilt[rows], along[rows], squeeze[rows], place[rows])
        self.touch.restart(rows, stiffness[rows])

    def observe(self) -> Obs:
        """What touch says is what it said after the last step: a taxel is read once a period."""
        c, n, gripper, touch = self.config, self.num_envs, self.gripper, self.touch
        noise = torch.randn(n, 6, generator=self._generator)
        position = gripper.pose[:, :3] + c.position_noise_m * noise[:, :3]
        rotation = _rotation_vector(gripper.pose[:, 3:]) + c.turn_noise_rad * noise[:, 3:]
        parts = [
            position, rotation, self.arm_position, _rotation_vector(self.arm_quat_wxyz), self.told_m,
            touch.field_n, touch.skin_ut, *([] if touch.image is None else [touch.image]), self.applied,
            *self.privileged(),
        ]  # fmt: skip
        return Obs(torch.cat([p.flatten(1) for p in parts], 1), self.layout)

    @property
    def peg_axis(self) -> Tensor:
        """(num_envs, 3) in the world's frame, up where the peg stands."""
        w, x, y, z = self.gripper.peg_pose[:, 3:].unbind(1)
        return torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)

    @property
    def pushed_n(self) -> Tensor:
        """(num_envs,) what the peg is pushed along its axis with, N."""
        # rows run upwards on both pads, and what pushes the peg up pushes them up
        return self.touch.load_n[:, :, 1].sum(1).abs()

    def advance(self, action: Tensor) -> None:
        """Envelope and workspace, then the arm: `applied` is how far its target moved."""
        asked = torch.minimum(torch.maximum(action, -self._limit), self._limit)
        moved = torch.minimum(torch.maximum(self.arm_position + asked[:, :3], self._low), self._high)
        turned = _turned(self.arm_quat_wxyz, asked[:, 3:])
        within = 2.0 * turned[:, 0].clamp(-1.0, 1.0).acos() <= TURN_LIMIT_RAD
        self.applied[:, :3] = moved - self.arm_position
        self.applied[:, 3:] = asked[:, 3:] * within[:, None]
        self.arm_position.copy_(moved)
        self.arm_quat_wxyz.copy_(torch.where(within[:, None], turned, self.arm_quat_wxyz))
        self.gripper.step(self.arm_position, self.arm_quat_wxyz)
        self.touch.sense()

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Obs, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.advance(action)
        self.episode_length_buf += 1
        figures = self.figures()
        terms = self.reward_terms(figures)
        away = (self.gripper.peg_pose[:, :3] - self.gripper.pose[:, :3]).norm(dim=1)
        dropped = away > 0.5 * self.gripper.peg.length_m
        truncated = (self.episode_length_buf >= self.max_episode_length) & ~dropped
        final = self.observe()
        extras: dict[str, Any] = {
            "reward_terms": terms,
            "success": truncated & self.succeeded(figures),
            "final_obs": final,
            **figures,
            "tilt_in_grip_rad": self.tilt_in_grip.clone(),
        }
        reward, done, obs = torch.stack([*terms.values()]).sum(0), dropped | truncated, final
        if done.any():
            self.restart(done)
            obs = Obs(torch.where(done[:, None], self.observe().flat, final.flat), self.layout)
        return obs, reward, dropped, truncated, extras

    def evaluation(self, num_envs: int) -> Self:
        return type(self)(replace(self.config, num_envs=num_envs))

    def snapshot(self) -> Mapping[str, Tensor]:
        """`peg_in_pads`: how the peg lies in each pad's frame, as `Grip.relative`, from which its image is drawn."""
        return {
            "arm": self.gripper.pose,
            "peg": self.gripper.peg_pose,
            **{name.rpartition("_")[0]: value[:, None] for name, value in self.figures().items()},
            "force_field": self.touch.field_n.flatten(1),
            "peg_in_pads": self.touch.grip.relative.flatten(1),
            "pad_load": self.touch.load_n.flatten(1),
        }

    def snapshot_units(self) -> Mapping[str, str]:
        own = dict(name.rpartition("_")[::2] for name in self.figures())
        return {"arm": "m, quat_wxyz", "peg": "m, quat_wxyz", **own, "force_field": "N",
                "peg_in_pads": "1, m, m/s, rad/s", "pad_load": "N"}  # fmt: skip

    def state_dict(self) -> dict[str, Tensor]:
        own = {name: getattr(self, name) for name in self._STATE}
        parts: dict[str, Any] = {"gripper": self.gripper, "touch": self.touch}
        nested = {f"{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}
        return {**own, **nested, "generator": self._generator.get_state()}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        for name in self._STATE:
            getattr(self, name).copy_(kept[name])
        self._generator.set_state(kept["generator"])
        for name, part in (("gripper", self.gripper), ("touch", self.touch)):
            part.load_state_dict({k.partition(".")[2]: v for k, v in kept.items() if k.startswith(f"{name}.")})


def quantile_rows(ends: Mapping[str, Any], figures: Sequence[tuple[str, str, float, str]]) -> list[dict[str, Any]]:
    """Half and 95 % of evaluated episodes, of figures: in words, its name in `ends`, scale to its unit, unit."""
    return [
        {"what": f"{what}, {rank} of episodes", "value": scale * float(np.nanquantile(ends[name], share)),
         "unit": unit, "bar": None, "better": "lower"}
        for what, name, scale, unit in figures
        for rank, share in (("half", 0.5), ("95 %", 0.95))
    ]  # fmt: skip


def _rotation_vector(quat_wxyz: Tensor) -> Tensor:
    """(n, 4) -> (n, 3) rad"""
    return torch.from_numpy(quaternion.to_rotation_vector(quat_wxyz.double().numpy())).float()


def _turned(quat_wxyz: Tensor, turn_rad: Tensor) -> Tensor:
    """(n, 4) turned on by a rotation vector (n, 3) in the world's frame."""
    turn = quaternion.from_rotation_vector(turn_rad.double().numpy())
    turned = torch.from_numpy(quaternion.multiply(turn, quat_wxyz.double().numpy())).float()
    return turned / turned.norm(dim=1, keepdim=True)
