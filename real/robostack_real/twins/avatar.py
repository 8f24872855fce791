"""A character that is driven live: a headset's poses -> calibration -> retargeting -> bones out, stage after stage;
with a body, physics and a policy between the last two.

Each part is led by `Steady`: what falls silent is held, then stood. A period is a headset's frame, as soon as it is
there, and one goes by without a frame while it is silent. The time of each stage is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np

from robostack import quaternion as quat
from robostack_real.headset.poses import TRACKED, Headset
from robostack_real.headset.steady import Steady
from robostack_real.headset.vmc import VmcSender
from robostack_real.twins.avatar_body import LiveBody
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.figure import figure
from robostack_sim.avatar.retarget import Retargeter, Target
from robostack_sim.avatar.wearer import Calibration, PoseValue, TPose, Wearer

STAGES = ("read", "retarget", "policy", "send")
"""policy: of a body in simulated physics, its steps included"""
HINGE = mujoco.mjtJoint.mjJNT_HINGE
LONGEST_DT_S = 0.1
"""that one period counts for, however long it took to come"""


@dataclass
class Timing:
    """Seconds of each stage, a row a period."""

    rows: list[tuple[float, ...]] = field(default_factory=list)

    def percentile_s(self, share: float) -> dict[str, float]:
        """By stage, and of all of them."""
        table = np.array(self.rows).reshape(-1, len(STAGES))
        found = dict(zip(STAGES, np.percentile(table, share, axis=0).tolist(), strict=True))
        return {**found, "all": float(np.percentile(table.sum(1), share))}


class LiveAvatar:
    """`follow` once a frame, or `tick` once a period of one's own. `calibration` is None until the wearer has stood in
    a T, or was said.

    `qpos` is the character's pose, `led` where the wearer's parts are, `targets` where its own are led, `dropped` how
    many frames were passed over.
    """

    def __init__(
        self,
        character: Character,
        headset: Headset,
        send: VmcSender | None = None,
        calibration: Calibration | None = None,
        body: LiveBody | None = None,
    ) -> None:
        self.character, self.headset, self._send = character, headset, send
        self.body = body
        self.timing = Timing()
        self.dropped = 0
        self._ticked_s = time.monotonic()
        self.led: dict[str, PoseValue] = {}
        self.targets: dict[str, Target] = {}
        self._anew, self._t_pose = False, TPose()
        self.calibration: Calibration | None = None
        self.qpos = character.rest.copy()
        self._data = character.data()
        model = character.model
        self._names = [model.body(b).name for b in range(2, model.nbody)]
        self.root = model.body(1).name
        self.parents = {n: model.body(model.body_parentid[b]).name for b, n in enumerate(self._names, 2)}
        """of each body below the root, by name"""
        self.joints = {model.joint(j).name: int(model.jnt_qposadr[j]) for j in np.flatnonzero(model.jnt_type == HINGE)}
        """where the angle of each is in `qpos`"""
        if calibration is not None:
            self._start(calibration)

    @classmethod
    def of(
        cls, character: str, headset: Headset, *, policy: str | None = None, keys: Sequence[str | Path] = ()
    ) -> LiveAvatar:
        """By the character's name or folder; `policy` and `keys` as `LiveBody.by` has them."""
        who = Character.load(character)
        return cls(who, headset, body=LiveBody.by(who, policy, keys))

    @property
    def waits_for(self) -> str:
        """What the wearer has yet to do; empty once it is driven."""
        return "" if self.calibration else self._t_pose.missing

    @property
    def wearer_bones_m(self) -> np.ndarray | None:
        """(N, 2, 3) ends of the wearer's bones, as far as head and hands tell; None until there is a wearer."""
        return figure(self.calibration.wearer, self.led) if self.calibration else None

    def recalibrate(self) -> None:
        """From the next period on; from any thread."""
        self._anew = True

    def follow(self, longest_s: float) -> np.ndarray:
        """`tick` on the headset's next frame, or after `longest_s` without one."""
        self.dropped += max(0, self.headset.wait(longest_s) - 1)
        now = time.monotonic()
        dt_s, self._ticked_s = now - self._ticked_s, now
        return self.tick(min(dt_s, LONGEST_DT_S))

    def tick(self, dt_s: float) -> np.ndarray:
        """(nq,) the pose of this period."""
        begin = time.perf_counter()
        poses = self.headset.read()
        if self._anew:
            self._anew, self.calibration, self._t_pose = False, None, TPose()
        if self.calibration is None:
            fresh = {p: (pose.position_m, pose.rotation) for p, pose in poses.items() if pose.age_s < 0.5}
            if (found := self._t_pose.step(fresh, dt_s)) is not None:
                self._start(found)
        if self.calibration is not None:
            there = self.calibration.poses({p: (pose.position_m, pose.rotation) for p, pose in poses.items()})
            ages = {p: pose.age_s for p, pose in poses.items()}
            self.led = {p: s.step(there.get(p), ages.get(p, np.inf), dt_s) for p, s in self._steady.items()}
        read = time.perf_counter()
        if self.calibration is not None:
            self.targets = self._retargeter.targets(self.led)
            self.qpos = self._retargeter.solve(self.targets, dt_s)
        solved = time.perf_counter()
        if self.calibration is not None and self.body is not None:
            self.qpos = self.body.step(self.qpos, self.targets, dt_s)
        acted = time.perf_counter()
        if self._send is not None:
            self._send.send(*self.bones())
        self.timing.rows.append((read - begin, solved - read, acted - solved, time.perf_counter() - acted))
        return self.qpos

    def _start(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self._retargeter = Retargeter(self.character, calibration.wearer, self.body.body.ahead_m if self.body else None)
        self._steady = {p: Steady(stand) for p, stand in _standing(calibration.wearer).items()}

    def bones(self) -> tuple[PoseValue, Mapping[str, PoseValue]]:
        """Root in the world, and each body in its parent's frame."""
        model, data = self.character.model, self._data
        data.qpos[:] = self.qpos
        mujoco.mj_kinematics(model, data)
        parents = model.body_parentid[2:]
        back = quat.inverse(data.xquat[parents])
        place = quat.rotate(back, data.xpos[2:] - data.xpos[parents])
        turn = quat.multiply(back, data.xquat[2:])
        return (data.xpos[1].copy(), data.xquat[1].copy()), {
            name: (p, q) for name, p, q in zip(self._names, place, turn, strict=True)
        }


def _standing(wearer: Wearer) -> dict[str, PoseValue]:
    """Upright, the arms hanging: where a wearer of whom nothing is heard is led."""
    down = {hand: side for hand, side in (("left_hand", 1.0), ("right_hand", -1.0))}
    found: dict[str, PoseValue] = {"head": (np.array([0.0, 0.0, wearer.head_m]), quat.IDENTITY)}
    for hand, side in down.items():
        place = np.array([0.0, side * 0.6 * wearer.width_m, wearer.shoulder_m - 0.95 * wearer.arm_m])
        found[hand] = place, quat.from_rotation_vector(np.array([-side * 0.5 * np.pi, 0.0, 0.0]))
    assert tuple(found) == TRACKED
    return found
