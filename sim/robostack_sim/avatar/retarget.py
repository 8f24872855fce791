"""Kinematic retargeting: a person's head and hands (of a clip, feet too) lead a character by inverse kinematics.

What a person's part does away from where it was at rest, the character's part does away from where its own is at rest:
turns as they are, ways scaled by size, in a frame that goes and turns with the hips where they are known. Sizes are
heights of the head for the head and the feet, lengths of the arms for the hands, which are led about the character's
own shoulders. Solved as a quadratic program with the joints' limits inside
(`mink`), from the last frame's pose on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import mink
import mujoco
import numpy as np

from robostack import quaternion as quat
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.wearer import HANDS, PoseValue, Wearer, about_up

ITERATIONS = 2
REACH = 0.98
"""of an arm's length, that a hand is led at most"""
COSTS: dict[str, tuple[float, float]] = {
    "head": (10.0, 0.1), "left_hand": (10.0, 0.02), "right_hand": (10.0, 0.02),
    "left_foot": (10.0, 0.2), "right_foot": (10.0, 0.2),
}  # fmt: skip
"""of a metre and of a radian off: places come first, and turns as far as they leave room"""
BALANCE_COST, POSTURE_COST, IDLE_COST = 0.5, 0.02, 0.2
"""of a metre of the centre of mass off the middle of the feet, and of a radian off rest: where there is a choice; of
joints that carry nothing that is led, a tail's, more, or it would be bent through the floor for the balance"""
STANDING_COSTS = 2.0, 1.5
"""of a radian of a sole, and a metre of the centre of mass, where the pose is one to stand in"""
STANDING_DAMPING, CROUCH = 0.15, 0.025
"""of a solution, so that joints do not tremble where there is a choice; and of the head's height that it stands lower:
stretched legs leave no choice of where the centre of mass is"""
FASTEST_RAD_S = 20.0
"""of a joint, as an elbow in a punch"""


@dataclass(frozen=True)
class Target:
    """Of one part of the character, in its world."""

    position_m: np.ndarray
    rotation: np.ndarray
    """(4,) wxyz, away from rest"""


class Retargeter:
    """`solve` a frame after the other. `qpos` is the newest pose."""

    def __init__(self, character: Character, wearer: Wearer, ahead_m: float | None = None) -> None:
        """With `ahead_m` the pose is one to stand in: soles flat, knees a little bent, the centre of mass so far
        before the led points of the feet."""
        self.character, self.wearer, self._ahead = character, wearer, np.array([ahead_m or 0.0, 0.0, 0.0])
        sole, balance = (None, BALANCE_COST) if ahead_m is None else STANDING_COSTS
        self._damping, crouch = (1e-12, 0.0) if ahead_m is None else (STANDING_DAMPING, CROUCH)
        self._configuration = mink.Configuration(character.model, q=character.rest)
        self._tasks = {
            part: mink.FrameTask(
                part, "site", position_cost=p, orientation_cost=sole if sole and "foot" in part else o, lm_damping=1e-3
            )
            for part, (p, o) in COSTS.items()
        }
        self._posture = mink.PostureTask(character.model, cost=_posture_cost(character.model))
        self._posture.set_target(character.rest)
        self._balance = mink.ComTask(cost=np.array([balance, balance, 0.0]))
        hinges = {character.model.joint(j).name: FASTEST_RAD_S / ITERATIONS for j in range(1, character.model.njnt)}
        self._limits = [mink.ConfigurationLimit(character.model), mink.VelocityLimit(character.model, hinges)]
        rest = character.rest_m
        self._size = rest["head"][2] / wearer.head_m
        self._stands_m = rest["head"] * [1.0, 1.0, 1.0 - crouch]
        self._arms = {hand: _arm_m(character, hand) for hand in HANDS}
        self._shoulders = {hand: _shoulder_m(character, hand) for hand in self._arms}

    @property
    def qpos(self) -> np.ndarray:
        return np.array(self._configuration.q)

    def targets(self, poses: Mapping[str, PoseValue]) -> dict[str, Target]:
        """`poses` of parts of the wearer away from the T, standing at the origin, nose along x (see `Reference` for
        hips and feet). Without hips the body stays where it began; feet that are not given stand at rest."""
        rest, w = self.character.rest_m, self.wearer
        place, turn = poses.get("hips", (np.zeros(3), quat.IDENTITY))
        middle, heading = place * [1.0, 1.0, 0.0], about_up(float(quat.yaw(turn)))
        back = quat.inverse(heading)

        def led(local: np.ndarray, turn: np.ndarray) -> Target:
            return Target(self._size * middle + quat.rotate(heading, local), turn)

        head_m, head_turn = poses["head"]
        head = quat.rotate(back, head_m - middle)
        away = head - np.array([0.0, 0.0, w.head_m])
        head_local = self._stands_m + self.character.head_scale * self._size * away
        found = {"head": led(head_local, head_turn)}
        for hand, side in zip(HANDS, (1.0, -1.0), strict=True):
            hand_m, hand_turn = poses[hand]
            shoulder = head + np.array([0.0, side * 0.5 * w.width_m, w.shoulder_m - w.head_m])
            reach = self.character.hand_scale * (quat.rotate(back, hand_m - middle) - shoulder) / w.arm_m
            reach *= self._arms[hand] * min(1.0, REACH / max(float(np.linalg.norm(reach)), 1e-9))
            found[hand] = led(head_local + self._shoulders[hand] - rest["head"] + reach, hand_turn)
        for foot in ("left_foot", "right_foot"):
            foot_m, foot_turn = poses.get(foot, (np.zeros(3), quat.IDENTITY))
            found[foot] = led(rest[foot] + self._size * quat.rotate(back, foot_m - middle), foot_turn)
        return found

    def solve(self, targets: Mapping[str, Target], dt_s: float) -> np.ndarray:
        """(nq,) the pose of this frame."""
        for part, target in targets.items():
            self._tasks[part].set_target(mink.SE3(np.concatenate([target.rotation, target.position_m])))
        feet = [targets["left_foot"], targets["right_foot"]]
        middle = np.mean([f.position_m + quat.rotate(f.rotation, self._ahead) for f in feet], axis=0)
        self._balance.set_target(np.array([middle[0], middle[1], 0.0]))
        for _ in range(ITERATIONS):
            velocity = mink.solve_ik(
                self._configuration, [*self._tasks.values(), self._balance, self._posture], dt_s, "daqp",
                damping=self._damping, limits=self._limits,
            )  # fmt: skip
            self._configuration.integrate_inplace(velocity, dt_s)
        return self.qpos

    def error_m(self, targets: Mapping[str, Target]) -> dict[str, float]:
        """How far each part is from where it is led."""
        data = self._configuration.data
        return {p: float(np.linalg.norm(data.site(p).xpos - t.position_m)) for p, t in targets.items()}


def _posture_cost(model: mujoco.MjModel) -> np.ndarray:
    """(nv,)"""
    carries = set()
    for part in COSTS:
        body = int(model.site(part).bodyid[0])
        while body not in carries:
            carries.add(body)
            body = int(model.body_parentid[body])
    return np.array([POSTURE_COST if int(b) in carries else IDLE_COST for b in model.dof_bodyid])


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
    return float(sum(np.linalg.norm(a - b) for a, b in itertools.pairwise(points)))
