"""Insertion: put a gripped peg into a hole. How it leans in the grip is unknown, and where the hole is only roughly.

TacSL's second task (Akinola et al. 2024): the place that is told is off by up to 5 mm in x and y, twice the clearance
on a side. Who feels nothing succeeds where lean and place happen to be right; touch says how the peg leans, and where
the rim pushes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from robostack.features import Difference, Pick
from robostack.spec import Channel
from robostack.task import Scenario
from robostack_sim.tactile import interface
from robostack_sim.tactile.gripper import Peg
from robostack_sim.tactile.insertion.config import InsertionConfig
from robostack_sim.tactile.manipulation import Manipulation, quantile_rows

if TYPE_CHECKING:
    from robostack.evaluate.flight import Flight

NEAR_M = 0.01
FINE = Difference(Pick("arm_position"), Pick("place"), limit=0.02, gain=100.0)
"""where millimetres count; the other one says where far away is"""
KEYPOINTS = (-0.5, -1.0 / 6.0, 1.0 / 6.0, 0.5)
"""on the peg's axis, in lengths from its middle: four, as Factory's tasks have (Narang et al. 2022)"""


class TactileInsertion(Manipulation):
    """The middle of the hole's floor is `place_m`."""

    name = "tactile_insertion"
    Config = InsertionConfig
    config: InsertionConfig
    critic_channels = (*interface.CRITIC, "foot_near")

    def __init__(self, config: InsertionConfig | None = None, seed: int = 0) -> None:
        c = config or InsertionConfig()
        near = Channel(name="foot_near", shape=(3,), unit="m", frame="world ENU, from the hole's floor, within 10 mm",
                       privileged=True)  # fmt: skip
        self.channels = (*interface.channels(c, "the hole's floor"), near)
        self.features = (*interface.features(c), FINE)
        super().__init__(c, seed, Peg(shape=c.peg), c.socket)

    @property
    def foot(self) -> Tensor:
        """(num_envs, 3) m: middle of the peg's lower end, from the middle of the hole's floor."""
        lower = 0.5 * self.gripper.peg.length_m * self.peg_axis
        return self.gripper.peg_pose[:, :3] - lower - self.place_m

    def privileged(self) -> tuple[Tensor, ...]:
        in_grip, foot = torch.stack([self.tilt_in_grip, self.along_in_grip], 1), self.foot
        offset = self.gripper.peg_pose[:, :3] - self.place_m
        return offset, self.peg_axis, in_grip, self.touch.load_n, foot.clamp(-NEAR_M, NEAR_M)

    def figures(self) -> dict[str, Tensor]:
        """Tilt of the peg from upright; the distance of its foot from the hole's axis, and its height above the floor;
        and TacSL's measure: mean distance of points on its axis from where they are when it is wholly in."""
        axis, foot, length = self.peg_axis, self.foot, self.gripper.peg.length_m
        up = torch.tensor([0.0, 0.0, 1.0])
        away = [(foot + (share + 0.5) * length * (axis - up)).norm(dim=1) for share in KEYPOINTS]
        return {
            "tilt_rad": axis[:, 2].clamp(-1.0, 1.0).acos(),
            "off_centre_m": foot[:, :2].norm(dim=1),
            "foot_m": foot[:, 2].clamp(min=0.0),
            "keypoints_m": torch.stack(away).mean(0),
        }

    def succeeded(self, figures: Mapping[str, Tensor]) -> Tensor:
        is_in: Tensor = self.config.is_in(figures["foot_m"], figures["off_centre_m"])
        return is_in

    def reward_terms(self, figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
        c, tilt, off, foot = self.config.costs, *(figures[name] for name in ("tilt_rad", "off_centre_m", "foot_m"))
        depth = (1.0 - foot / self.config.depth_m).clamp(min=0.0) * (off < self.config.socket.apothem_m)
        pushed = (self.pushed_n - c.free_n).clamp(min=0.0)
        return {
            "centre": -c.centre * (off / 0.1).clamp(max=2.0),
            "near": -c.near * (off / 0.01).clamp(max=1.0),
            "upright": -c.upright * tilt / 0.5,
            "height": -c.height * (foot / 0.1).clamp(max=2.0),
            "inserted": c.inserted * depth,
            "press": -c.press * (pushed / 10.0).clamp(max=4.0),
            "effort": -c.effort * (self.applied / self._limit).square().mean(1),
        }

    def judge_episodes(self, ends: Mapping[str, Any]) -> list[dict[str, Any]]:
        figures = (
            ("tilt of the peg at the end", "tilt_rad", math.degrees(1.0), "degrees"),
            ("height of its foot above the hole's floor", "foot_m", 1e3, "mm"),
        )
        like_tacsl = 100.0 * float(np.mean(ends["keypoints_m"] < self.config.keypoints_m))
        what = f"within TacSL's {1e3 * self.config.keypoints_m:g} mm of where it belongs"
        return [
            {"what": what, "value": like_tacsl, "unit": "%", "bar": None, "better": "higher"},
            *quantile_rows(ends, figures),
        ]

    def scenarios(self) -> Sequence[Scenario]:
        from robostack_sim.tactile.insertion.scenarios import scenarios

        return scenarios(self.config)

    def judge_flights(self, flights: Sequence[Flight]) -> list[dict[str, Any]]:
        from robostack_sim.tactile.insertion.scenarios import judge_flights

        return judge_flights(flights, self.config)
