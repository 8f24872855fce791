"""A driven character in simulated physics: inverse kinematics leads its drives, a policy keeps it on its feet.

The policy acts at its own rate behind its envelope, whatever the headset's. Where it fails its envelope leaves the
drives to inverse kinematics alone; where the body falls all the same, inverse kinematics is shown for a while, and the
body set up from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import mujoco
import numpy as np

from robostack.runtime.controller import Controller
from robostack.runtime.runner import Runner
from robostack.signature import load_signed
from robostack.spec import ContractError
from robostack_sim.avatar.body import LED, Body
from robostack_sim.avatar.character import Character
from robostack_sim.avatar.motion.parts import TRACKED
from robostack_sim.avatar.retarget import Target

LIES_S = 1.0
"""that inverse kinematics is shown after a fall"""
MOST_S = 0.1
"""of physics in one step: who was held up longer is not caught up with"""


class LiveBody:
    """`step` as often as there is a new pose. `falls` counts.

    Raises ContractError for a policy of another task or another character.
    """

    def __init__(self, character: Character, policy: Runner) -> None:
        self.body = body = Body.of(character)
        spec, joints = policy.spec, tuple(body.joints[k].lower() for k in body.balancing)
        if spec.task != "avatar" or spec.action_names != joints:
            raise ContractError(
                f"{policy.policy.origin}: a policy of task {spec.task!r} that drives {len(spec.action_names)} joints "
                f"from {spec.action_names[0]!r} on; {character.name} has {len(joints)} from {joints[0]!r} on: train "
                f"one for it, robostack train avatar --character {character.name}"
            )
        self.falls = 0
        self.by_what = policy.policy.origin
        self._controller = Controller(policy, spec)
        self._data = mujoco.MjData(body.model)
        self._pose: np.ndarray | None = None
        self._lies_s, self._due_s, self._substep = 0.0, 0.0, 0

    @classmethod
    def by(cls, character: Character, policy: str | None, keys: Sequence[str | Path] = ()) -> LiveBody | None:
        """On its feet by a policy.onnx, or by `own`, in the character's folder; None is `own` where it has one. No body
        where there is no policy, or `none`. One of the keys in the files `keys`, if any, has to have signed it."""
        if policy == "none" or (policy is None and not character.has_policy):
            return None
        path = character.policy if policy in (None, "own") else policy
        return cls(character, Runner(load_signed(path, keys)))

    @property
    def fell_back(self) -> bool:
        """Whether its envelope has taken the policy's place."""
        return self._controller.status.tripped

    def step(self, led: np.ndarray, targets: Mapping[str, Target], dt_s: float) -> np.ndarray:
        """The pose `led` (nq,) that is wanted of the character, and where its parts are led -> (nq,) as it stands."""
        body, data = self.body, self._data
        self._lies_s -= dt_s
        if self._lies_s > 0.0:
            return led
        if self._pose is None:
            self._stand(led)
        tracked = np.array([targets[p].position_m + body.up_m for p in TRACKED])
        self._due_s = min(self._due_s + dt_s, MOST_S)
        while self._due_s > 0.5 * body.model.opt.timestep:
            if self._substep % body.substeps == 0:
                self._control(led, tracked)
            mujoco.mj_step(body.model, data)
            self._substep += 1
            self._due_s -= body.model.opt.timestep
        if body.fallen(data.sensordata[None, LED].reshape(1, 3, 3), tracked[None])[0]:
            self.falls, self._lies_s, self._pose = self.falls + 1, LIES_S, None
            return led
        return body.shown(data.qpos, led)

    def _stand(self, led: np.ndarray) -> None:
        mujoco.mj_resetData(self.body.model, self._data)
        self._data.qpos[:] = self.body.pose(led)
        self._pose = self._data.qpos[self.body.qpos_of]
        self._due_s, self._substep = 0.0, 0
        self._controller.arm(False)
        self._controller.arm()

    def _control(self, led: np.ndarray, tracked: np.ndarray) -> None:
        body, data = self.body, self._data
        mujoco.mj_forward(body.model, data)
        wanted = body.pose(led)
        pose = wanted[body.qpos_of]
        seen = body.measured(data.qpos[None], data.qvel[None], data.sensordata[None], tracked.reshape(1, 9), pose[None])
        samples = {c.name: (seen[c.name][0], 0.0) for c in self._controller.spec.observations}
        offset = body.spread(self._controller.tick(samples).astype(float))
        data.ctrl[:] = body.drive(pose, pose if self._pose is None else self._pose, body.sag(wanted) + offset)
        self._pose = pose
