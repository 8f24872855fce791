"""A whole clip retargeted, and the figures that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robostack_sim.avatar.character import Character
from robostack_sim.avatar.motion.contacts import contacts
from robostack_sim.avatar.reference import Reference
from robostack_sim.avatar.retarget import Retargeter

SOLE_M = 0.06
"""that the support reaches beyond the led points of the feet"""


@dataclass(frozen=True)
class Retargeted:
    """T frames."""

    qpos: np.ndarray
    """(T, nq)"""
    error_m: dict[str, np.ndarray]
    """(T,) of each led part from where it was led"""
    standing: np.ndarray
    """(T, 2) left and right foot, of the person"""
    rate_hz: float

    def figures(self, character: Character) -> dict[str, Any]:
        found: dict[str, Any] = {
            f"{part}, p95 cm": 100.0 * float(np.percentile(e, 95.0)) for part, e in self.error_m.items()
        }
        model, data = character.model, mujoco.MjData(character.model)
        foot = np.zeros((len(self.qpos), 2, 3))
        over = np.zeros(len(self.qpos))
        for k, qpos in enumerate(self.qpos):
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            foot[k] = data.site("left_foot").xpos, data.site("right_foot").xpos
            over[k] = _beyond(foot[k, :, :2], data.subtree_com[0, :2])
        speed = np.linalg.norm(np.gradient(foot[..., :2], 1.0 / self.rate_hz, axis=0), axis=-1)
        both = self.standing.all(1)
        found["centre of mass inside, %"] = 100.0 * float((over[both] <= SOLE_M).mean()) if both.any() else float("nan")
        found["feet skate, cm/s"] = 100.0 * float(speed[self.standing].mean()) if self.standing.any() else float("nan")
        found["joints past their limits, %"] = 100.0 * _past_limits(model, self.qpos)
        return found


def retargeted(character: Character, reference: Reference) -> Retargeted:
    """Frame by frame, as it would go live."""
    retargeter = Retargeter(character, reference.wearer)
    poses, errors = [], []
    for frame, parts in enumerate(reference):
        targets = retargeter.targets(parts)
        for _ in range(20 if frame == 0 else 1):  # the first pose is far from rest
            pose = retargeter.solve(targets, 1.0 / reference.clip.rate_hz)
        poses.append(pose)
        errors.append(retargeter.error_m(targets))
    standing = contacts(reference.clip, [reference.parts["left_foot"], reference.parts["right_foot"]])
    table = {part: np.array([e[part] for e in errors]) for part in errors[0]}
    return Retargeted(np.stack(poses), table, standing, reference.clip.rate_hz)


def _beyond(feet: np.ndarray, point: np.ndarray) -> float:
    """m from `point` to the line between both feet (2, 2)."""
    along = feet[1] - feet[0]
    share = np.clip((point - feet[0]) @ along / max(float(along @ along), 1e-12), 0.0, 1.0)
    return float(np.linalg.norm(point - feet[0] - share * along))


def _past_limits(model: mujoco.MjModel, qpos: np.ndarray, slack_rad: float = 1e-3) -> float:
    """Share of joint values outside their ranges."""
    joints = np.flatnonzero(model.jnt_limited & (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE))
    values = qpos[:, model.jnt_qposadr[joints]]
    low, high = model.jnt_range[joints].T
    return float(((values < low - slack_rad) | (values > high + slack_rad)).mean())
