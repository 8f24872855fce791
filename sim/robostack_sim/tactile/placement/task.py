"""Placement: bring a gripped peg to a place on a table and stand it upright there. How it leans in the grip is unknown.

TacSL's first task (Akinola et al. 2024): who feels nothing can but keep the wrist upright, and succeeds where the peg
leans by less than it may, 15 of 36 degrees. Touch says how it leans before the table does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from robostack.task import Scenario
from robostack_sim.tactile import interface
from robostack_sim.tactile.manipulation import Manipulation, quantile_rows
from robostack_sim.tactile.placement.config import PlacementConfig

if TYPE_CHECKING:
    from robostack.evaluate.flight import Flight


class TactilePlacement(Manipulation):
    """Where the peg is to stand is `place_m`."""

    name = "tactile_placement"
    Config = PlacementConfig
    config: PlacementConfig
    critic_channels = interface.CRITIC

    def __init__(self, config: PlacementConfig | None = None, seed: int = 0) -> None:
        c = config or PlacementConfig()
        self.channels, self.features = interface.channels(c, "the place that is told"), interface.features(c)
        super().__init__(c, seed)

    def privileged(self) -> tuple[Tensor, ...]:
        in_grip = torch.stack([self.tilt_in_grip, self.along_in_grip], 1)
        return self.gripper.peg_pose[:, :3] - self.told_m, self.peg_axis, in_grip, self.touch.load_n

    def figures(self) -> dict[str, Tensor]:
        """Tilt of the peg from upright, its middle's distance from the place over the table, and the height of its
        lowest point."""
        upright = self.peg_axis[:, 2]
        gap = self.gripper.peg.lowest_m(self.gripper.peg_pose[:, 2], upright)
        return {
            "tilt_rad": upright.clamp(-1.0, 1.0).acos(),
            "off_centre_m": (self.gripper.peg_pose[:, :2] - self.place_m[:, :2]).norm(dim=1),
            "gap_m": gap.clamp(min=0.0),
        }

    def succeeded(self, figures: Mapping[str, Tensor]) -> Tensor:
        stands: Tensor = self.config.stands(**figures)
        return stands

    def reward_terms(self, figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The distance is from the place that is told: nobody can do better than that."""
        c, tilt, gap = self.config.costs, figures["tilt_rad"], figures["gap_m"]
        centre = (self.gripper.peg_pose[:, :2] - self.told_m[:, :2]).norm(dim=1)
        right = torch.exp(-(tilt / 0.1).square() - (centre / 0.006).square() - (gap / 0.002).square())
        pushed = (self.pushed_n - c.free_n).clamp(min=0.0)
        return {
            "centre": -c.centre * (centre / 0.1).clamp(max=2.0),
            "upright": -c.upright * tilt / 0.5,
            "height": -c.height * (gap / 0.1).clamp(max=2.0),
            "placed": c.placed * right,
            "press": -c.press * (pushed / 10.0).clamp(max=4.0),
            "effort": -c.effort * (self.applied / self._limit).square().mean(1),
        }

    def judge_episodes(self, ends: Mapping[str, Any]) -> list[dict[str, Any]]:
        figures = (
            ("tilt of the peg at the end", "tilt_rad", math.degrees(1.0), "degrees"),
            ("its distance from the place", "off_centre_m", 1e3, "mm"),
        )
        return quantile_rows(ends, figures)

    def scenarios(self) -> Sequence[Scenario]:
        from robostack_sim.tactile.placement.scenarios import scenarios

        return scenarios(self.config)

    def judge_flights(self, flights: Sequence[Flight]) -> list[dict[str, Any]]:
        from robostack_sim.tactile.placement.scenarios import judge_flights

        return judge_flights(flights, self.config)
