"""What the beam's tasks share: a run of theirs goes on to the bit from the tensors that they name."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from robostack.task import Task


class BeamTask(Task):
    """`STATE` names the attributes, tensors, that the readings to come depend on."""

    STATE: ClassVar[tuple[str, ...]]
    _generator: torch.Generator

    def state_dict(self) -> dict[str, Tensor]:
        kept = {name: getattr(self, name) for name in (*self.STATE, "episode_length_buf")}
        return {**kept, "generator": self._generator.get_state()}

    def load_state_dict(self, kept: dict[str, Tensor]) -> None:
        for name in (*self.STATE, "episode_length_buf"):
            getattr(self, name).copy_(kept[name])
        self._generator.set_state(kept["generator"])
