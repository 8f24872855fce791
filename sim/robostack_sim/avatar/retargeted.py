"""A whole clip retargeted, and the figures that it is judged by."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robostack_sim.avatar.character import Character
from robostack_sim.avatar.motion.contacts import contacts
from robostack_sim.avatar.reference import Reference
from robostack_sim.avatar.retarget import Retargeter

AROUND = np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False)


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
        soles = _soles(character)
        foot = np.zeros((len(self.qpos), 2, 3))
        over = np.zeros(len(self.qpos))
        for k, qpos in enumerate(self.qpos):
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            foot[k] = data.site("left_foot").xpos, data.site("right_foot").xpos
            over[k] = _beyond(_outline(model, data, soles), data.subtree_com[0, :2])
        speed = np.linalg.norm(np.gradient(foot[..., :2], 1.0 / self.rate_hz, axis=0), axis=-1)
        both = self.standing.all(1)
        found["feet stand, %"] = 100.0 * float(both.mean())
        found["centre of mass inside, %"] = 100.0 * float((over[both] <= 0.0).mean()) if both.any() else float("nan")
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


def _soles(character: Character) -> np.ndarray:
    """Geoms of the feet and of what hangs on them."""
    model = character.model
    feet = {int(model.site(f).bodyid[0]) for f in ("left_foot", "right_foot")}
    for body in range(1, model.nbody):  # parents come before their children
        if model.body_parentid[body] in feet:
            feet.add(body)
    return np.flatnonzero(np.isin(model.geom_bodyid, sorted(feet)))


def _outline(model: mujoco.MjModel, data: mujoco.MjData, geoms: np.ndarray) -> np.ndarray:
    """(N, 2) on the floor below the corners of boxes around geoms."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    box = model.geom_aabb[geoms]
    local = box[:, None, :3] + signs * box[:, None, 3:]
    turn = data.geom_xmat[geoms].reshape(-1, 3, 3)
    return np.asarray((data.geom_xpos[geoms][:, None] + np.einsum("gij,gcj->gci", turn, local)).reshape(-1, 3)[:, :2])


def _beyond(points: np.ndarray, point: np.ndarray) -> float:
    """m that `point` (2,) is outside of the hull of `points` (N, 2); below 0 inside. By lines that touch the hull."""
    across = np.stack([np.cos(AROUND), np.sin(AROUND)])
    return float((point @ across - (points @ across).max(0)).max())


def _past_limits(model: mujoco.MjModel, qpos: np.ndarray, slack_rad: float = 1e-3) -> float:
    """Share of joint values outside their ranges."""
    joints = np.flatnonzero(model.jnt_limited & (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE))
    values = qpos[:, model.jnt_qposadr[joints]]
    low, high = model.jnt_range[joints].T
    return float(((values < low - slack_rad) | (values > high + slack_rad)).mean())
