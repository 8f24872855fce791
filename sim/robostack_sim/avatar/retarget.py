"""Kinematic retargeting: head and hands (and, of a whole clip, feet) of a person lead a character by inverse kinematics.

What a person's part does away from where it was at rest, the character's part does away from where its own is at rest:
turns as they are, ways scaled by size. Sizes are heights of the head for the head and the feet, lengths of the arms for
the hands, which are led about the character's own shoulders. Solved as a quadratic program with the joints' limits inside
(`mink`), from the last frame's pose on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mink
import numpy as np

from robostack import quaternion as quat
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.wearer import HANDS, PoseValue, Wearer

ITERATIONS = 2
REACH = 0.98
"""of an arm's length, that a hand is led at most"""
COSTS: dict[str, tuple[float, float]] = {
    "head": (10.0, 1.0), "left_hand": (10.0, 0.2), "right_hand": (10.0, 0.2),
    "left_foot": (10.0, 2.0), "right_foot": (10.0, 2.0),
}  # fmt: skip
"""of a metre and of a radian off"""
BALANCE_COST, POSTURE_COST = 2.0, 0.02


@dataclass(frozen=True)
class Target:
    """Of one part of the character, in its world."""

    position_m: np.ndarray
    rotation: np.ndarray
    """(4,) wxyz, away from rest"""


class Retargeter:
    """`solve` a frame after the other. `qpos` is the newest pose."""

    def __init__(self, character: Character, wearer: Wearer) -> None:
        self.character, self.wearer = character, wearer
        self._configuration = mink.Configuration(character.model, q=character.rest)
        self._tasks = {
            part: mink.FrameTask(part, "site", position_cost=p, orientation_cost=o, lm_damping=1e-3)
            for part, (p, o) in COSTS.items()
        }
        self._posture = mink.PostureTask(character.model, cost=POSTURE_COST)
        self._posture.set_target(character.rest)
        self._balance = mink.ComTask(cost=np.array([BALANCE_COST, BALANCE_COST, 0.0]))
        self._limits = [mink.ConfigurationLimit(character.model)]
        rest = character.rest_m
        self._size = rest["head"][2] / wearer.head_m
        self._arms = {hand: _arm_m(character, hand) for hand in HANDS}
        self._shoulders = {hand: _shoulder_m(character, hand) for hand in self._arms}

    @property
    def qpos(self) -> np.ndarray:
        return np.array(self._configuration.q)

    def targets(self, poses: Mapping[str, PoseValue]) -> dict[str, Target]:
        """`poses` of parts of the wearer, position (3,) and rotation (4,) away from the T, standing at the origin,
        nose along x. Parts that are not given are led where they are at rest."""
        rest, found = self.character.rest_m, {}
        head_m, head_turn = poses["head"]
        yaw = 0.5 * float(quat.yaw(head_turn))
        heading = np.array([np.cos(yaw), 0.0, 0.0, np.sin(yaw)])
        away = head_m - np.array([0.0, 0.0, self.wearer.head_m])
        head = rest["head"] + self.character.head_scale * self._size * away
        found["head"] = Target(head, head_turn)
        for hand, side in (("left_hand", 1.0), ("right_hand", -1.0)):
            place, turn = poses[hand]
            w = self.wearer
            below = np.array([0.0, side * 0.5 * w.width_m, w.shoulder_m - w.head_m])
            reach = (place - head_m - quat.rotate(heading, below)) * self._arms[hand] / w.arm_m
            reach *= self.character.hand_scale
            size = float(np.linalg.norm(reach))
            reach *= min(1.0, REACH * self._arms[hand] / max(size, 1e-9))
            shoulder = head + quat.rotate(heading, self._shoulders[hand] - rest["head"])
            found[hand] = Target(shoulder + reach, turn)
        for foot in ("left_foot", "right_foot"):
            if foot in poses:
                place, turn = poses[foot]
                found[foot] = Target(rest[foot] + self._size * place, turn)
            else:
                found[foot] = Target(rest[foot], quat.IDENTITY)
        return found

    def solve(self, targets: Mapping[str, Target], dt_s: float) -> np.ndarray:
        """(nq,) the pose of this frame."""
        for part, target in targets.items():
            self._tasks[part].set_target(mink.SE3(np.concatenate([target.rotation, target.position_m])))
        middle = 0.5 * (targets["left_foot"].position_m + targets["right_foot"].position_m)
        self._balance.set_target(np.array([middle[0], middle[1], 0.0]))
        for _ in range(ITERATIONS):
            velocity = mink.solve_ik(
                self._configuration, [*self._tasks.values(), self._balance, self._posture], dt_s, "daqp",
                limits=self._limits,
            )  # fmt: skip
            self._configuration.integrate_inplace(velocity, dt_s)
        return self.qpos

    def error_m(self, targets: Mapping[str, Target]) -> dict[str, float]:
        """How far each part is from where it is led."""
        data = self._configuration.data
        return {p: float(np.linalg.norm(data.site(p).xpos - t.position_m)) for p, t in targets.items()}


def _chain(character: Character, hand: str) -> list[int]:
    """Bodies from the hand up to the first that carries the chest's site."""
    model = character.model
    chest, body, found = model.site("chest").bodyid[0], model.site(hand).bodyid[0], []
    while body not in (chest, 0):
        found.append(int(body))
        body = model.body_parentid[body]
    return found


def _shoulder_m(character: Character, hand: str) -> np.ndarray:
    """(3,) at rest: the highest body of the arm, the first with three degrees of freedom counted from the chest."""
    model, data = character.model, character.data()
    chain = _chain(character, hand)
    shoulder = next(b for b in reversed(chain) if model.body_dofnum[b] >= 3)
    return np.array(data.xpos[shoulder])


def _arm_m(character: Character, hand: str) -> float:
    """From the shoulder to the hand, stretched: the sum of its bones."""
    model, data = character.model, character.data()
    chain = _chain(character, hand)
    shoulder = next(i for i, b in reversed(list(enumerate(chain))) if model.body_dofnum[b] >= 3)
    points = [data.site(hand).xpos, *(data.xpos[b] for b in chain[: shoulder + 1])]
    return float(sum(np.linalg.norm(a - b) for a, b in zip(points[:-1], points[1:], strict=True)))
