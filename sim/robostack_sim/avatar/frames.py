"""Frames of many motions end to end: what an episode begins from and is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np

from robostack.spec import ContractError
from robostack_sim.avatar.body import CONTROL_DT_S, SOLES, Body
from robostack_sim.avatar.config import AvatarConfig
from robostack_sim.avatar.motion.clip import Clip
from robostack_sim.avatar.motion.reading import named, read_all, shipped
from robostack_sim.avatar.motions import Motion, motions


class Frames:
    """F frames in all: `qpos` (F, nq), `qvel` (F, nv), `sag` (F, A), `tracked_m` (F, 3, 3), and of the motion that each
    is of `begin` and `last`, its first and last frame, `stance_m` (F, 6) where the led points of the feet stand,
    `support_m` (F, 2) the middle of the soles."""

    @classmethod
    def of(cls, body: Body, config: AvatarConfig) -> Frames:
        """Raises MotionError for a file or folder that is none, or where nothing is planted, ContractError where
        `without` leaves out what is not there."""
        return cls(body, motions(body, _clips(config), config.synthetic, config.mirror))

    def __init__(self, body: Body, every: Sequence[Motion]) -> None:
        model, data = body.model, mujoco.MjData(body.model)
        self.names = [m.name for m in every]
        self.qpos = np.concatenate([m.qpos for m in every])
        self.tracked_m = np.concatenate([m.tracked_m for m in every])
        length = np.array([len(m.qpos) for m in every])
        self.motion = np.repeat(np.arange(len(every)), length)
        ends = np.cumsum(length)
        self.begin, self.last = (ends - length)[self.motion], (ends - 1)[self.motion]
        self.recorded = np.array([m.recorded for m in every])[self.motion]
        self.qvel = np.zeros((len(self.qpos), model.nv))
        for k in np.flatnonzero(np.arange(len(self.qpos)) < self.last):
            mujoco.mj_differentiatePos(model, self.qvel[k], CONTROL_DT_S, self.qpos[k], self.qpos[k + 1])
        self.qvel[ends - 1] = self.qvel[ends - 2]
        self.sag = np.array([body.sag(qpos) for qpos in self.qpos])
        stance, support = np.zeros((len(every), 6)), np.zeros((len(every), 2))
        for i, m in enumerate(every):
            frames = m.qpos[:: max(1, len(m.qpos) // 20)]
            for qpos in frames:
                data.qpos[:] = qpos
                mujoco.mj_kinematics(model, data)
                stance[i] += np.concatenate([data.site(f).xpos for f in SOLES]) / len(frames)
                support[i] += data.geom_xpos[list(body.soles), :2].mean(0) / len(frames)
        self.stance_m, self.support_m = stance[self.motion], support[self.motion]

    def starts(self, left: int) -> np.ndarray:
        """Frames with so many left after them; recordings together as often as what was made up."""
        possible = np.flatnonzero(np.arange(len(self.qpos)) + left <= self.last)
        recorded = self.recorded[possible]
        groups = [g for g in (possible[recorded], possible[~recorded]) if len(g)]
        most = max(map(len, groups), default=0)
        return np.concatenate([np.resize(g, most) for g in groups]) if groups else possible


def _clips(config: AvatarConfig) -> list[Clip]:
    found: list[Clip] = []
    for name in config.clips:
        found += read_all(Path(name)) if name not in shipped() and Path(name).is_dir() else [named(name)]
    if unknown := sorted(set(config.without) - {c.name for c in found}):
        raise ContractError(f"without: no clip is called {unknown[0]!r}; there are {', '.join(c.name for c in found)}")
    return [c for c in found if c.name not in config.without]
